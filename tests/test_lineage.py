import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataops_assets import chain, lineage
from dataops_assets.contracts import CONTRACTS
from dataops_assets.exports import checksums
from dataops_assets.home import Home
from dataops_assets.manifest import Inputs, Manifest, digest
from dataops_assets.store import NotReleased, Store

AT = datetime(2026, 11, 20, tzinfo=UTC)
P = "shop"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


A, B, VARIANT = sha("a"), sha("b"), sha("a mirrored")


def put(
    store: Store, asset: str, partition: str, rows: list[dict[str, Any]], inputs: Inputs | None = None, outcome: str = "pass"
) -> Inputs:
    """Store a manifest and, unless outcome is "", its gate's row."""
    candidate = Manifest(asset, P, partition, pd.DataFrame(rows), inputs or {})
    store.write(candidate)
    files = json.dumps(store.files(asset, P, partition, candidate.version), sort_keys=True)
    row = {"project": P, "asset": asset, "partition": partition, "version": candidate.version, "outcome": outcome, "suite_digest": "5ee"}
    row |= {"files": files, "at": AT} | ({"by": "ann", "reason": "known and small"} if outcome == "waived" else {})
    if outcome:
        store.gates.append(lambda rows: [row])
    return candidate.input


def fill(root: Path, skip: str = "") -> Store:
    """One drop of two pictures, one variant, a batch and its rework, release r1. `skip` leaves a stage's rows out."""
    store = Store(Home.at(root))
    store.drops.append(
        lambda rows: [{"project": P, "vendor": "acme", "drop_id": "d1", "name": "autumn", "status": "accepted", "received_at": AT}]
    )
    image = [
        {"image_id": key, "drop_id": "d1", "vendor": "acme", "path": name, "sha256": key} for key, name in ((A, "a.jpg"), (B, "b.jpg"))
    ]
    kept = [row for row in image if skip != "raw_images" or row["image_id"] != B]
    raw = put(store, "raw_images", "d1", [row | {"license": "CC0-1.0", "status": "accepted"} for row in kept])
    clean = [{"image_id": key, "drop_id": "d1", "status": "kept", "clean_sha256": sha("clean" + key)} for key in (A, B)]
    cleaned = put(store, "cleaned_set", "d1", clean, raw, "waived")
    sources = [{"image_id": key, "source_image_id": key, "kind": "source", "sha256": sha("clean" + key), "drop_id": "d1"} for key in (A, B)]
    variant = sources[0] | {"image_id": VARIANT, "kind": "variant", "recipe": "mirror", "seed": 7, "sha256": VARIANT}
    augmented = put(store, "augmented_set", "d1", [*sources, variant], cleaned)
    approved: dict[str, str] = {}
    for batch, key, parent in (("b1", A, None), ("b2", B, "b1")):
        task = {"batch_id": batch, "task_id": f"task-{batch}", "image_id": key}
        plan = {"batch_id": batch, "kind": "production", "image_id": key, "vendor": "works", "parent_batch_id": parent, "round": 0}
        put(store, "batch_plans", batch, [plan], outcome="")
        tasks = put(store, "label_tasks", batch, [task | {"kind": "production", "parent_batch_id": parent}], augmented, outcome="")
        answers = [
            task | {"row_id": f"f:{n}:1", "attribute": "colour", "worker_id": f"w-{n}", "label": "red", "status": "accepted"}
            for n in (1, 2)
        ]
        labeled = put(store, "labeled_batches", batch, answers, tasks)
        quality = task | {"attribute": "colour", "object_id": "-", "label": "red", "posterior": 1.0, "decision": "accept"}
        judged = put(store, "label_quality", batch, [quality], labeled)
        label = {"image_id": key, "attribute": "colour", "object_id": "-", "label": "red", "batch_id": batch, "decided_by": "majority_vote"}
        approved |= put(store, "approved_labels", batch, [label], judged)["approved_labels"]
    whole = {"release": "r1", "split": "train", "labels": '{"colour": "red"}', "drop_id": "d1", "vendor": "acme"}
    rows = [
        whole | {"image_id": key, "source_image_id": source, "batch_ids": batch, "file": f"images/{key}.jpg", "sha256": sha(key)}
        for key, source, batch in ((A, A, "b1"), (B, B, "b2"), (VARIANT, A, "b1"))
    ]
    put(store, "training_export", "r1", rows, {**augmented, "approved_labels": approved})
    images = store.home.exports(P) / "r1" / "images"
    images.mkdir(parents=True)
    for row in rows:
        (images / f"{row['image_id']}.jpg").write_bytes(str(row["image_id"]).encode())
    checksums.write(images.parent)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("home"))


def links(trace: lineage.Trace) -> dict[tuple[str, str], lineage.Link]:
    return {(link.stage, link.partition): link for link in trace.links}


def test_a_variant_is_traced_to_the_vendors_file(store: Store) -> None:
    trace = lineage.trace(store, VARIANT[:12])
    held = links(trace)
    assert (trace.project, trace.image_id, trace.source_image_id, trace.is_complete) == (P, VARIANT, A, True)
    assert list(held) == [
        ("training_export", "r1"),
        ("augmented_set", "d1"),
        ("cleaned_set", "d1"),
        ("raw_images", "d1"),
        ("drops", "d1"),
        ("approved_labels", "b1"),
        ("label_quality", "b1"),
        ("labeled_batches", "b1"),
        ("label_tasks", "b1"),
        ("batch_plans", "b1"),
    ]
    assert {row["recipe"] for row in held["augmented_set", "d1"].rows} == {"mirror", None}
    [raw] = held["raw_images", "d1"].rows
    assert (raw["vendor"], raw["path"], raw["license"], raw["sha256"]) == ("acme", "a.jpg", "CC0-1.0", A)
    assert [row["worker_id"] for row in held["labeled_batches", "b1"].rows] == ["w-1", "w-2"]
    gate = held["cleaned_set", "d1"].gate
    assert gate is not None
    assert (gate["outcome"], gate["by"], gate["reason"], gate["suite_digest"]) == ("waived", "ann", "known and small", "5ee")


def test_a_task_leads_to_its_picture_and_the_batch_it_reworks(store: Store) -> None:
    trace = lineage.trace(store, "task-b2", P)
    assert trace.image_id == B
    assert trace.is_complete
    assert ("label_tasks", "b2") in links(trace)


def test_a_trace_can_be_read_by_people_and_by_programs(store: Store) -> None:
    trace = lineage.trace(store, VARIANT)
    assert json.loads(json.dumps(trace.as_dict())) == trace.as_dict()
    text = "\n".join(trace.lines())
    for part in (
        f"a variant of {A}",
        "path a.jpg",
        "license CC0-1.0",
        "gate: waived",
        "known and small",
        "worker_id w-1",
    ):
        assert part in text
    assert text.endswith("The chain is whole.")


def test_what_is_unknown_or_ambiguous_is_said(store: Store) -> None:
    with pytest.raises(LookupError, match="no released image or task begins with 'zzz'"):
        lineage.trace(store, "zzz")
    with pytest.raises(LookupError, match=r"fits 2 images or tasks: task-b1 \(shop\), task-b2 \(shop\); give more"):
        lineage.trace(store, "task-")
    with pytest.raises(LookupError, match="give an image_id"):
        lineage.trace(store, "")


def test_an_old_release_keeps_its_chain_when_a_stage_runs_again(tmp_path: Path) -> None:
    store = fill(tmp_path)
    before = links(lineage.trace(store, A))["cleaned_set", "d1"]
    put(store, "cleaned_set", "d1", [{"image_id": A, "drop_id": "d1", "status": "rejected"}])
    assert store.released("cleaned_set", P)["d1"] != before.version
    after = links(lineage.trace(store, A))["cleaned_set", "d1"]
    assert after == before
    assert lineage.audit_rows(store, P, "r1")["is_complete"].all()


def test_every_row_of_a_release_is_audited(store: Store) -> None:
    audit = lineage.audit_rows(store, P, "r1").set_index("image_id")
    assert audit["is_complete"].all()
    assert audit.loc[[A, B, VARIANT], "path"].tolist() == ["a.jpg", "b.jpg", "a.jpg"]
    assert audit["gates"].tolist() == [7, 7, 7]
    assert audit["waivers"].tolist() == [1, 1, 1]
    with pytest.raises(NotReleased):
        lineage.audit_rows(store, P, "r2")


def test_an_absent_link_is_named_in_audit_and_trace(tmp_path: Path) -> None:
    store = fill(tmp_path, skip="raw_images")
    audit = lineage.audit_rows(store, P, "r1").set_index("image_id")
    assert audit.at[B, "missing"] == "raw_images"
    assert not audit.at[B, "is_complete"]
    assert audit.loc[[A, VARIANT], "is_complete"].all()
    assert lineage.trace(store, B).missing == ["raw_images d1 has no row for it"]


def test_the_chain_holds_every_version_behind_a_release(store: Store) -> None:
    whole = chain.closure(store, "training_export", P, "r1", store.released("training_export", P)["r1"])
    assert whole.keys() == {
        ("training_export", "r1"),
        *((stage, "d1") for stage in lineage.DROP_STAGES),
        *((stage, batch) for stage in ("label_tasks", *lineage.BATCH_STAGES) for batch in ("b1", "b2")),
    }
    for (stage, partition), version in whole.items():
        held = store.read(stage, P, partition, version)
        assert digest(held.frame, CONTRACTS[stage], held.inputs) == version


def test_what_was_not_touched_verifies(store: Store) -> None:
    assert lineage.verify(store) == []
    assert lineage.verify(store, P, "r1") == []
    assert "r9 is not among" in lineage.verify(store, P, "r9")[0]


def test_a_changed_data_file_is_found(tmp_path: Path) -> None:
    store = fill(tmp_path)
    version = store.released("labeled_batches", P)["b1"]
    [uri] = store.uris("labeled_batches", [(P, "b1", version)])
    frame = pd.read_parquet(uri)
    frame["label"] = "blue"
    frame.to_parquet(uri)
    [problem] = lineage.verify(store, release="r1")
    assert problem.startswith(f"labeled_batches of shop/b1 version {version}: data file")
    assert problem.endswith("was changed after the gate judged it")
    Path(uri).unlink()
    assert "is gone" in lineage.verify(store)[0]


def test_a_changed_delivery_is_found_even_with_new_checksums(tmp_path: Path) -> None:
    store = fill(tmp_path)
    folder = store.home.exports(P) / "r1"
    (folder / "images" / f"{A}.jpg").write_bytes(b"another picture")
    assert lineage.verify(store) == [
        f"r1/images/{A}.jpg was changed after delivery",
    ]
    checksums.write(folder)
    assert lineage.verify(store) == [f"r1/images/{A}.jpg is not the picture that the released table names"]
    shutil.rmtree(folder)
    assert "is not there" in lineage.verify(store)[0]


def test_a_withdrawn_picture_says_so(tmp_path: Path) -> None:
    store = fill(tmp_path)
    store.withdrawals.append(lambda rows: [{"project": P, "image_id": A, "reason": "consent", "by": "ann", "at": AT}])
    assert links(lineage.trace(store, VARIANT))["withdrawals", "-"].rows[0]["reason"] == "consent"


def test_a_picture_that_was_not_delivered_is_traced_as_far_as_it_came(tmp_path: Path) -> None:
    store = fill(tmp_path)
    other = sha("c")
    put(store, "raw_images", "d2", [{"image_id": other, "drop_id": "d2", "path": "c.jpg", "sha256": other, "status": "accepted"}])
    trace = lineage.trace(store, other)
    assert links(trace)["raw_images", "d2"].rows[0]["path"] == "c.jpg"
    assert trace.missing[0] == "it is in no released training_export"
