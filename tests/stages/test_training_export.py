import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.exports import card
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import training_export
from dataops_assets.stages.training_export import Assembly, ReleaseExists, assemble


def spec_of(**export: Any) -> ProjectSpec:
    return ProjectSpec.model_validate({
        "name": "shop",
        "brief": {"goal": "g", "requester": "r", "budget": 1, "start": "2026-01-01", "deadline": "2026-02-01", "volume": {}},
        "sources": {"vendors": [{"name": "acme"}]},
        "ontology": {"attributes": [
            {"name": "colour", "values": {"red": "", "blue": ""}},
            {"name": "tags", "kind": "multi", "values": {"x": "", "y": ""}},
        ]},
        "labeling": {"vendors": [{"name": "own", "internal": True}]},
        "export": export,
    })  # fmt: skip


SPEC = spec_of()


def frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return manifest.conform(pd.DataFrame(rows), CONTRACTS[name])


class World:
    """Sources a, b, ... with one variant each, fully labelled unless said otherwise."""

    def __init__(self, images: dict[str, dict[str, Any]]) -> None:
        self.images = images

    def build(self, spec: ProjectSpec = SPEC, **kwargs: Any) -> Assembly:
        augmented, cleaned, approved = [], [], []
        for image, facts in self.images.items():
            row = {
                "image_id": image, "source_image_id": image, "kind": "source", "sha256": "0" * 64, "drop_id": facts.get("drop", "d1"),
                "vendor": facts.get("vendor", "acme"), "group_id": facts.get("group"), "near_duplicate_group": facts.get("near"),
            }  # fmt: skip
            augmented.append(row)
            augmented.append(row | {"image_id": f"{image}-v", "kind": "variant", "breaks": facts.get("breaks")})
            cleaned.append({"image_id": image, "drop_id": row["drop_id"], "status": facts.get("status", "kept")})
            for attribute, label in facts.get("labels", {"colour": "red", "tags": "y|x"}).items():
                approved.append({
                    "image_id": image, "attribute": attribute, "label": label, "object_id": "-", "batch_id": "b1", "kind": "production",
                    "ontology_version": "1",
                })  # fmt: skip
        frames = frame("approved_labels", approved), frame("augmented_set", augmented), frame("cleaned_set", cleaned)
        return assemble(*frames, spec, kwargs.pop("release", "r1"), **kwargs)


def reasons(assembly: Assembly) -> dict[str, str]:
    return dict(zip(assembly.left_out["image_id"], assembly.left_out["reason"], strict=True))


def test_each_reason_to_leave_out() -> None:
    world = World({
        "good": {}, "bare": {"labels": {}}, "half": {"labels": {"colour": "red"}}, "odd": {"labels": {"colour": "pink", "tags": "x"}},
        "taken": {}, "recalled": {"drop": "d2"}, "screened": {"status": "rejected"}, "variant": {}, "blank": {"breaks": "colour|tags"},
    })  # fmt: skip
    spec = spec_of(splits={"train": 1.0})
    assembly = world.build(spec, withdrawn=({"d2"}, {"taken", "variant-v"}))
    assert set(assembly.frame["image_id"]) == {"good", "good-v", "variant", "blank"}
    assert reasons(assembly) == {
        "bare": "unlabelled", "half": "partly_labelled", "odd": "label_not_in_ontology", "taken": "withdrawn", "recalled": "withdrawn",
        "screened": "not_kept", "variant-v": "withdrawn", "blank-v": "no_label_kept",
        **{f"{name}-v": "source_left_out" for name in ("bare", "half", "odd", "taken", "recalled", "screened")},
    }  # fmt: skip
    details = dict(zip(assembly.left_out["image_id"], assembly.left_out["detail"], strict=True))
    assert details["half"] == "no approved label for tags"


def test_the_same_file_left_out_of_another_drop_takes_no_picture_out() -> None:
    augmented = frame("augmented_set", [{"image_id": "a", "source_image_id": "a", "kind": "source", "sha256": "0" * 64, "drop_id": "z"}])
    drops = (("b", "rejected"), ("z", "kept"))
    cleaned = pd.concat([frame("cleaned_set", [{"image_id": "a", "drop_id": drop, "status": status}]) for drop, status in drops])
    said = {"image_id": "a", "object_id": "-", "ontology_version": "1", "batch_id": "b1", "kind": "production"}
    approved = frame("approved_labels", [said | {"attribute": name, "label": label} for name, label in (("colour", "red"), ("tags", "x"))])
    assert list(assemble(approved, augmented, cleaned, SPEC, "r1").frame["image_id"]) == ["a"]


@pytest.mark.parametrize("order", [("d1", "d2"), ("d2", "d1")])
def test_a_picture_is_judged_by_the_drop_it_is_delivered_with(order: tuple[str, ...]) -> None:
    """Both drops keep it, cleaned under different policies; the first one is withdrawn."""
    files = {"d1": "1" * 64, "d2": "2" * 64}
    row = {"image_id": "a", "source_image_id": "a", "kind": "source"}
    augmented = pd.concat([frame("augmented_set", [row | {"drop_id": drop, "sha256": files[drop]}]) for drop in order])
    kept = {"image_id": "a", "status": "kept"}
    cleaned = pd.concat([frame("cleaned_set", [kept | {"drop_id": drop, "clean_sha256": files[drop]}]) for drop in order])
    said = {"image_id": "a", "object_id": "-", "ontology_version": "1", "batch_id": "b1", "kind": "production"}
    approved = frame("approved_labels", [said | {"attribute": name, "label": label} for name, label in (("colour", "red"), ("tags", "x"))])
    for parts in (augmented, augmented[augmented["drop_id"] == "d2"]):
        assembly = assemble(approved, parts, cleaned, SPEC, "r1", ({"d1"}, ()), forbidden={("d1", "a")})
        assert list(assembly.frame["sha256"]) == [files["d2"]] and assembly.left_out.empty
    assert reasons(assemble(approved, augmented, cleaned, SPEC, "r1", ({"d1"}, ()), forbidden={("d2", "a")})) == {"a": "personal_data"}
    assert reasons(assemble(approved, augmented, cleaned, SPEC, "r1", ({"d1", "d2"}, ()))) == {"a": "withdrawn"}


def test_what_a_person_saw_leaves_with_its_variants() -> None:
    assembly = World({"a": {}, "b": {}}).build(spec_of(splits={"train": 1.0}), hidden={"a"})
    assert reasons(assembly) == {"a": "personal_data", "a-v": "source_left_out"} and set(assembly.frame["image_id"]) == {"b", "b-v"}


def test_what_was_screened_again_waits_for_its_variants() -> None:
    augmented = [{"image_id": "a", "source_image_id": "a", "kind": "source", "sha256": "0" * 64, "drop_id": "d1"}]
    cleaned = frame("cleaned_set", [{"image_id": "a", "drop_id": "d1", "status": "kept", "clean_sha256": "1" * 64}])
    assembly = assemble(frame("approved_labels", []), frame("augmented_set", augmented), cleaned, SPEC, "r1")
    assert reasons(assembly) == {"a": "screened_again"} and "drop d1" in assembly.left_out["detail"].iloc[0]


def test_variants_inherit_what_their_recipe_keeps() -> None:
    assembly = World({"a": {"breaks": "colour"}}).build(spec_of(splits={"train": 1.0}))
    labels = dict(zip(assembly.frame["image_id"], assembly.frame["labels"].map(json.loads), strict=True))
    assert labels == {"a": {"colour": "red", "tags": ["x", "y"]}, "a-v": {"tags": ["x", "y"]}}


def test_a_label_without_a_picture_is_not_lost() -> None:
    approved = frame("approved_labels", [{"image_id": "gone", "attribute": "colour", "object_id": "-", "label": "red", "batch_id": "b1"}])
    assembly = assemble(approved, manifest.empty("augmented_set"), manifest.empty("cleaned_set"), SPEC, "r1")
    assert assembly.frame.empty
    assert reasons(assembly) == {"gone": "not_in_augmented_set"}


def test_adjudication_goes_before_production() -> None:
    world = World({"a": {}})
    built = world.build(spec_of(splits={"train": 1.0}))
    row = {"image_id": "a", "object_id": "-", "ontology_version": "1"}
    approved = pd.DataFrame([
        row | {"attribute": "colour", "label": "red", "batch_id": "b9", "kind": "production"},
        row | {"attribute": "colour", "label": "blue", "batch_id": "b2", "kind": "adjudication"},
        row | {"attribute": "tags", "label": "x", "batch_id": "b9", "kind": "production"},
    ]).reindex(columns=list(CONTRACTS["approved_labels"].columns))  # fmt: skip
    augmented = frame("augmented_set", [{"image_id": "a", "source_image_id": "a", "kind": "source", "sha256": "0" * 64}])
    cleaned = frame("cleaned_set", [{"image_id": "a", "status": "kept"}])
    assembly = assemble(approved, augmented, cleaned, SPEC, "r1")
    assert json.loads(assembly.frame["labels"].iloc[0]) == {"colour": "blue", "tags": ["x"]}
    assert assembly.frame["batch_ids"].iloc[0] == "b2|b9"
    assert len(built.frame) == 2


def test_shares_are_close_to_what_was_asked() -> None:
    world = World({f"{number:064x}": {} for number in range(3000)})
    sources = world.build().frame.query("kind == 'source'")
    assert sources["split"].value_counts(normalize=True).to_dict() == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.025)


def test_train_is_never_empty() -> None:
    spec = spec_of(splits={"train": 0.01, "test": 0.99})
    for number in range(5):
        assert "train" in set(World({f"only-{number}": {}}).build(spec).frame["split"])


vendors = st.sampled_from(["acme", "other"])
ties = st.fixed_dictionaries({}, optional={"group": st.sampled_from("pqrs"), "near": st.sampled_from("wxyz"), "vendor": vendors})
worlds = st.dictionaries(st.text("0123456789abcdef", min_size=6, max_size=6), ties, min_size=1, max_size=14)
EVEN = spec_of(splits={"train": 0.4, "val": 0.3, "test": 0.3})


def tied(images: dict[str, dict[str, Any]], one: str, other: str) -> bool:
    a, b = images[one], images[other]
    same_product = a.get("group") and (a.get("group"), a.get("vendor", "acme")) == (b.get("group"), b.get("vendor", "acme"))
    return bool(same_product) or bool(a.get("near") and a.get("near") == b.get("near"))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(worlds)
def test_what_belongs_together_is_in_one_split(images: dict[str, dict[str, Any]]) -> None:
    assembly = World(images).build(EVEN)
    split = dict(zip(assembly.frame["image_id"], assembly.frame["split"], strict=True))
    assert set(images) <= split.keys()
    for one in images:
        for other in images:
            if tied(images, one, other):
                assert split[one] == split[other]
    variants = assembly.frame[assembly.frame["kind"] == "variant"]
    assert set(variants["split"]) <= {"train"}
    assert len(assembly.frame) + len(assembly.left_out) == 2 * len(images)
    assert "train" in set(assembly.frame["split"])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(worlds, worlds)
def test_extending_a_release_moves_nothing_and_leaks_nothing(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> None:
    first = World(old).build(EVEN)
    images = new | old
    second = World(images).build(EVEN, earlier=first.frame, release="r2")
    before = dict(zip(first.frame["image_id"], first.frame["split"], strict=True))
    after = dict(zip(second.frame["image_id"], second.frame["split"], strict=True))
    assert all(after.get(image) == split for image, split in before.items())
    for one in images:
        for other in images:
            if one in after and other in after and tied(images, one, other):
                assert after[one] == after[other]
    left = second.left_out[second.left_out["kind"] == "source"]
    assert set(left["reason"]) <= {"bridges_splits"}
    assert not set(left["image_id"]) & set(old)
    again = World(images).build(EVEN, earlier=second.frame, release="r2")
    pd.testing.assert_frame_equal(second.frame, again.frame)


def test_two_placed_groups_that_turn_out_to_be_one_lose_the_training_side() -> None:
    images = {f"{number:04d}": {} for number in range(40)}
    first = World(images).build(EVEN)
    split = dict(zip(first.frame["image_id"], first.frame["split"], strict=True))
    a, b = (next(image for image in images if split[image] == name) for name in ("train", "test"))
    second = World(images | {a: {"near": "n"}, b: {"near": "n"}}).build(EVEN, earlier=first.frame)
    assert reasons(second)[a] == "bridges_splits"
    assert b in set(second.frame["image_id"])


def test_another_salt_draws_again() -> None:
    images = {f"{number:04d}": {} for number in range(200)}
    first = World(images).build(EVEN).frame.set_index("image_id")["split"]
    other = spec_of(splits={"train": 0.4, "val": 0.3, "test": 0.3}, salt="2")
    second = World(images).build(other, earlier=World(images).build(EVEN).frame).frame.set_index("image_id")["split"]
    assert (first.reindex(list(images)) != second.reindex(list(images))).mean() > 0.3


def test_the_same_input_in_another_order_gives_the_same_release() -> None:
    images = {f"{number:04d}": {"near": str(number % 7)} for number in range(30)}
    first, second = World(images).build(), World(dict(reversed(images.items()))).build()
    pd.testing.assert_frame_equal(first.frame, second.frame)
    pd.testing.assert_frame_equal(first.left_out, second.left_out)


# ---- delivery


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def delivery(blobs: Blobs, n: int) -> Assembly:
    assembly = World({f"{number:04d}": {} for number in range(n)}).build(spec_of(splits={"train": 1.0}))
    pictures = [blobs.put(b"\xff\xd8 picture %d" % number) for number in range(len(assembly.frame))]
    return Assembly(assembly.frame.assign(sha256=pictures, width_px=4, height_px=4), assembly.left_out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_is_delivered_whole_and_the_same_again_is_free(tmp_path: Path, blobs: Blobs) -> None:
    folder = tmp_path / "exports" / "r1"
    training_export.write(delivery(blobs, 3), SPEC, folder, blobs)
    first = contents(folder)
    training_export.write(delivery(blobs, 3), SPEC, folder, blobs)
    training_export.write(delivery(blobs, 3), SPEC, tmp_path / "elsewhere" / "r1", blobs)
    assert contents(folder) == first == contents(tmp_path / "elsewhere" / "r1")
    assert [path.name for path in folder.parent.iterdir()] == ["r1"]


def test_a_release_never_changes(tmp_path: Path, blobs: Blobs) -> None:
    folder = tmp_path / "r1"
    training_export.write(delivery(blobs, 3), SPEC, folder, blobs)
    first = contents(folder)
    with pytest.raises(ReleaseExists, match="a release never changes"):
        training_export.write(delivery(blobs, 4), SPEC, folder, blobs)
    assert contents(folder) == first
    (folder / "labels.csv").write_text("touched")
    with pytest.raises(ReleaseExists, match=r"labels\.csv was changed after delivery"):
        training_export.write(delivery(blobs, 3), SPEC, folder, blobs)


def test_a_missing_picture_leaves_nothing_behind(tmp_path: Path, blobs: Blobs) -> None:
    assembly = delivery(blobs, 2)
    broken = Assembly(assembly.frame.assign(sha256="f" * 64), assembly.left_out)
    with pytest.raises(LookupError):
        training_export.write(broken, SPEC, tmp_path / "exports" / "r1", blobs)
    assert list((tmp_path / "exports").iterdir()) == []


def test_only_the_formats_asked_for_are_written(tmp_path: Path, blobs: Blobs) -> None:
    training_export.write(delivery(blobs, 1), spec_of(formats=["coco"]), tmp_path / "r1", blobs)
    held = {path.name for path in (tmp_path / "r1").iterdir()}
    assert held == {"README.md", "checksums.sha256", "coco", "images", "labels.csv", "left_out.csv"}


def test_an_empty_release_can_be_read(tmp_path: Path, blobs: Blobs) -> None:
    training_export.write(World({"a": {"labels": {}}}).build(), SPEC, tmp_path / "r1", blobs)
    assert pd.read_parquet(tmp_path / "r1" / "parquet" / "train.parquet").empty


DEPENDENT = ProjectSpec.model_validate({
    **SPEC.model_dump(mode="json"),
    "ontology": {"attributes": [
        {"name": "sleeves", "values": {"some": "", "none": ""}, "cant_tell": True},
        {"name": "length", "values": {"long": "", "short": ""}, "when": {"sleeves": ["some"]}},
        {"name": "extra", "values": {"bow": ""}, "required": False},
    ]},
})  # fmt: skip


def test_a_required_question_that_applies_is_missing_where_it_was_settled_as_not_applicable() -> None:
    made = World({
        "a": {"labels": {"sleeves": "some", "length": "not_applicable", "extra": "bow"}},
        "b": {"labels": {"sleeves": "none", "length": "not_applicable", "extra": "not_applicable"}},
        "c": {"labels": {"sleeves": "cant_tell", "length": "long", "extra": "bow"}},
    }).build(DEPENDENT)  # fmt: skip
    out = made.left_out[made.left_out["kind"] == "source"].set_index("image_id")
    assert out["reason"].to_dict() == {"a": "partly_labelled"} and "length" in out.loc["a", "detail"]
    rows = made.frame[made.frame["kind"] == "source"].set_index("image_id")
    assert json.loads(rows.loc["b", "unlabelled"]) == {"length": "not_applicable", "extra": "not_applicable"}
    assert json.loads(rows.loc["c", "unlabelled"])["sleeves"] == "cant_tell" and json.loads(rows.loc["c", "labels"])["extra"] == "bow"


def test_the_card_counts_answers_that_are_no_labels() -> None:
    made = World({
        "b": {"labels": {"sleeves": "none", "length": "not_applicable", "extra": "not_applicable"}},
        "c": {"labels": {"sleeves": "cant_tell", "length": "long", "extra": "bow"}},
    }).build(DEPENDENT)  # fmt: skip
    text = card.build(made.frame, made.left_out, DEPENDENT, "r1", {})
    assert "| sleeves | 1 | 0 |" in text and "| extra | 0 | 1 |" in text
    full = World({"a": {}}).build()
    assert "no label; they are here without it" not in card.build(full.frame, full.left_out, SPEC, "r1", {})
