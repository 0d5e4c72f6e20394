from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import pseudonym
from dataops_assets.manifest import conform
from dataops_assets.ontology import Ontology
from dataops_assets.stages.approved_labels import approve, current, gold_of, refuse_own
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from tests.labels.world import COLOUR, KEY, answer_all, make_spec, make_tasks

SPEC = make_spec(COLOUR)


def approved(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """(image, label, batch) -> rows of several batches."""
    made = [{"image_id": image, "label": label, "batch_id": batch, "kind": batch.split("-")[0]} for image, label, batch in rows]
    frames = [pd.DataFrame([row | {"attribute": "colour", "object_id": ""}]) for row in made]
    return pd.concat([conform(frame, CONTRACTS["approved_labels"]) for frame in frames])


def test_accepted_labels_without_gold():
    tasks = make_tasks(SPEC, 3)
    tasks["is_gold"] = [True, False, False]
    labeled = accept([("acme", "a.csv", answer_all(tasks.iloc[:2], SPEC))], tasks, SPEC, KEY)
    gold = pd.DataFrame([{"image_id": tasks["image_id"][0], "attribute": "colour", "label": "red"}])
    (row,) = approve(assess(labeled, tasks, gold, SPEC), tasks, SPEC, "eve").to_dict("records")
    assert (row["task_id"], row["label"], row["decided_by"], row["approved_by"]) == (tasks["task_id"][1], "red", "posterior", "eve")
    assert (row["ontology_version"], row["kind"], row["n_labels"]) == ("7", "production", 3)


def test_adjudicated_labels_say_so():
    tasks = make_tasks(SPEC, 1).assign(kind="adjudication", overlap=1)
    labeled = accept([("acme", "a.csv", answer_all(tasks, SPEC, ("me",)))], tasks, SPEC, KEY)
    assert set(approve(assess(labeled, tasks, None, SPEC), tasks, SPEC, "eve")["decided_by"]) == {"adjudication"}


def test_later_decisions_win():
    rows = [("i", "red", "adjudication-001"), ("i", "blue", "rework-002"), ("i", "NA", "rework-010"), ("i", "NA", "production-003")]
    assert list(current(approved(*rows))["label"]) == ["red"]
    assert list(current(approved(*rows[1:]))["batch_id"]) == ["rework-010"]
    assert list(current(approved(*rows, ("j", "blue", "production-001")))["image_id"]) == ["i", "j"]


def test_gold_is_what_pilots_said():
    rows = approved(("i", "red", "pilot-001"), ("j", "red", "production-001"), ("k", "blue", "adjudication-001"))
    assert list(gold_of(rows)["image_id"]) == ["i"]
    plans = pd.DataFrame([{"kind": "pilot", "image_id": "i"}, {"kind": "pilot", "image_id": "k"}])
    assert list(gold_of(rows, plans)["image_id"]) == ["i", "k"]
    assert gold_of(rows.head(0)).empty


def test_gold_is_read_in_the_words_of_today():
    changes = [{"from": "1", "to": "2", "attribute": "colour", "rename": {"rouge": "red"}, "split": {"dark": ["blue", "NA"]}}]
    today = Ontology.model_validate({"version": "2", "attributes": [COLOUR], "changes": changes})
    rows = approved(("i", "rouge", "pilot-001"), ("j", "dark", "pilot-001")).assign(ontology_version="1")
    assert [tuple(row) for row in gold_of(rows, None, today)[["image_id", "label"]].to_numpy()] == [("i", "red")]


@pytest.mark.parametrize("by", ["Ann Smith", "ann smith", " ANN  SMITH "])
def test_nobody_approves_labels_of_their_own(by: str) -> None:
    for name in ("Ann Smith", "ann smith"):
        rows = pd.DataFrame({"worker_id": [pseudonym(b"k", "us", name), pseudonym(b"k", "us", "Bob")], "status": "accepted"})
        with pytest.raises(ValueError, match="gave 1 of the answers behind these labels"):
            refuse_own(rows, by, ["acme", "us"], b"k")
        refuse_own(rows, "Cid", ["acme", "us"], b"k")
        refuse_own(rows.assign(status="rejected"), by, ["acme", "us"], b"k")
