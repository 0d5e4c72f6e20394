"""A pilot tells how long it takes, where people differ, and which of two tools is the better one."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.labels import label_studio
from dataops_assets.labels.formats import labelbox
from dataops_assets.labels.formats.carries import Carry
from dataops_assets.labels.tables import write_csv
from dataops_assets.manifest import empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_tasks, pilot, qualification
from dataops_assets.stages.labeled_batches import accept
from tests.conftest import changed
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, make_sources, make_spec, make_tasks

SIZE = {"name": "size", "values": {"s": "Small.", "l": "Large."}}
GOLD = pd.DataFrame({"image_id": ["i0", "i1", "i2"], "attribute": "colour", "label": ["red", "blue", "red"]})


def answers(*rows: tuple[int, str, str, str, float | None], status: str = "accepted") -> pd.DataFrame:
    """(picture, attribute, worker, label, seconds)."""
    frame = pd.DataFrame(rows, columns=["n", "attribute", "worker_id", "label", "seconds"]).astype({"seconds": "float64"})
    return frame.assign(task_id="t" + frame["n"].astype(str), image_id="i" + frame["n"].astype(str), status=status, reason="LABEL")


def test_a_picture_takes_as_long_as_its_answers_together() -> None:
    rows = answers((0, "colour", "a", "red", 4), (0, "size", "a", "s", 2), (1, "colour", "a", "red", 8), (1, "size", "a", "s", 4))
    seen = pilot.times(rows).set_index("what")
    assert seen["median_s"].to_dict() == {"item": 9.0, "colour": 6.0, "size": 3.0}
    assert seen.loc["item", "p90_s"] == pytest.approx(11.4)
    assert pilot.times(answers((0, "colour", "a", "red", None))).empty


@pytest.mark.parametrize("name", ["labels.csv", "export", "labelbox.ndjson"])
def test_a_picture_takes_as_long_whatever_the_format_times(name: str) -> None:
    spec = make_spec(COLOUR, SIZE, PARTS)
    tasks = make_tasks(spec)
    tasks.loc[1, "attributes"] = "colour|size"  # nothing is boxed in it, so that its having no box is no answer
    given = []
    for (item, names), label in zip(tasks[["task_id", "attributes"]].itertuples(index=False), ("hat", "none"), strict=True):
        said = {"colour": "red", "size": "s", "parts": label}
        for question in names.split("|"):
            sides = {"x": 4.0, "y": 3.0, "w": 20.0, "h": 15.0} if said[question] == "hat" else dict.fromkeys("xywh", "")
            n = len(names.split("|")) if name == "labels.csv" else 1
            head = {
                "annotator": "ann",
                "submitted_at": "2026-01-02T00:00:00Z",
                "seconds": 12.0 / n,
                "fault": "",
                "row": 0,
                "part": 0,
                "answer": 0,
            }
            given.append(head | {"item_id": item, "attribute": question, "label": said[question]} | sides)
    rows, sizes = pd.DataFrame(given), dict.fromkeys(tasks["task_id"], (40, 30))
    asked = spec.ontology.attributes
    written = {"labels.csv": lambda: write_csv(rows), "export": lambda: label_studio.write(rows, sizes, asked)["label_studio.json"],
               "labelbox.ndjson": lambda: labelbox.write(rows, sizes, asked)["labelbox.ndjson"]}  # fmt: skip
    labeled = accept([("acme", name, written[name]())], tasks, spec, KEY)
    assert list(labeled["status"]) == ["accepted"] * 5
    seen = pilot.times(labeled).set_index("what")
    assert seen["median_s"].to_dict() == {"item": 12.0, "colour": 5.0, "parts": 4.0, "size": 5.0}
    assert qualification.offers(verdict_of(spec), labeled, spec).set_index("vendor").loc["acme", "median s an answer"] == 4.0


def verdict_of(spec: ProjectSpec) -> pd.DataFrame:
    names = [attribute.name for attribute in spec.ontology.attributes]
    batch = {"vendor": "acme", "batch_id": "production-001", "n": 5, "correct": 5, "lower": 0.5, "matters": True, "is_passed": False}
    return pd.DataFrame([batch | {"attribute": name} for name in names])


def test_agreement_is_told_by_attribute() -> None:
    rows = answers(
        (0, "colour", "a", "red", 1), (0, "colour", "b", "red", 1), (1, "colour", "a", "red", 1), (1, "colour", "b", "blue", 1),
        (0, "size", "a", "s", 1),
    )  # fmt: skip
    seen = pilot.agreed(rows).set_index("attribute")
    assert seen.loc["colour", ["pairs", "agreement"]].tolist() == [2, 0.5]
    assert seen.loc["size", "pairs"] == 0
    told = " ".join(pilot.advice(rows, make_spec(COLOUR, SIZE)))
    assert "agree on colour in 50% of 2: mend its definitions" in told
    assert "One person alone answered size" in told
    assert "Most confused: colour blue and red (1)." in told
    assert "Nobody used colour NA" in told and "Nobody used size l" in told


def test_agreement_is_told_beyond_chance_too() -> None:
    usual = [(n, "colour", who, "red", 1) for n in range(9) for who in ("a", "b")]
    rows = answers(
        *usual, (9, "colour", "a", "red", 1), (9, "colour", "b", "blue", 1), (0, "marks", "a", "logo|text", 1),
        (0, "marks", "b", "logo", 1), (1, "marks", "a", "dots", 1), (1, "marks", "b", "dots", 1), (0, "size", "a", "s", 1),
    )  # fmt: skip
    spec = make_spec(COLOUR, MARKS, SIZE)
    seen = pilot.beyond_chance(rows, spec).set_index("attribute")
    assert seen.loc["colour", "agreement"] == 0.9 and seen.loc["colour", "alpha"] == pytest.approx(0.0, abs=0.06)
    assert 0 < seen.loc["marks", "alpha"] < 1 and seen.loc["marks", "agreement"] == 0.5  # two of three marks are half right
    assert pd.isna(seen.loc["size", "alpha"])  # nobody else answered
    assert "agree on colour in 90% of 10, but hardly beyond chance" in " ".join(pilot.advice(rows, spec))


def test_confused_values_come_with_their_pictures_whoever_said_which() -> None:
    rows = answers(
        *((n, "colour", "a", "red", 1) for n in range(3)), (0, "colour", "b", "blue", 1), (1, "colour", "b", "NA", 1),
        (2, "colour", "b", "blue", 1), (3, "colour", "a", "blue", 1), (3, "colour", "b", "red", 1),
    )  # fmt: skip
    assert pilot.confused(rows) == [
        pilot.Confused("colour", ("blue", "red"), ("i0", "i2", "i3")),
        pilot.Confused("colour", ("NA", "red"), ("i1",)),
    ]


def test_a_value_that_is_one_of_several_choices_is_used() -> None:
    rows = answers((0, "marks", "a", "logo|text", 1))
    assert pilot.unused(rows, make_spec(MARKS)) == {"marks": ["dots"]}


def test_the_forecast_follows_from_measured_times() -> None:
    spec = changed(make_spec(COLOUR, SIZE), brief={"volume": {"colour": {"red": 600}}, "budget": 9000})
    rows = answers(*((n, name, "a", "red", 5) for n in range(4) for name in ("colour", "size")))
    hours, people, money, price = pilot.forecast(rows, spec)
    items = (600 + 120) * 3  # with gold, three answers each
    assert hours.startswith(f"At 10 s a picture, {items:,} pictures to answer are 6.0 hours of work")
    # 120 batches of 10 labels: all are looked at in the first ten, nine in each of the others
    assert "and rework 0.9 more; adjudicating 34 questions (3%) and auditing 1,090 labels take our own people 1.6." in hours
    assert hours.endswith("One person who does all of it and begins on 2026-01-01 is done on 2026-01-02.")  # 8.5 hours
    labels = items * 2 * 0.1  # two questions a picture
    assert money == f"Labels, rework, adjudication and audit cost {labels * 1.15 + (34 + 1090) * 0.5:,.2f} of 9,000.00 EUR."
    both = pd.concat([rows, answers(*((n, name, "b", "blue" if n == 0 else "red", 5) for n in range(4) for name in ("colour", "size")))])
    assert "adjudicating 300 questions (25%)" in pilot.forecast(both, spec)[0]  # as many as the two differed on
    assert people.startswith("5,000 answers a day, as acme says, take 1.0 people") and "it takes 1." in people
    assert price == "0.1 EUR an answer is 72.00 EUR an hour of a person's work."
    assert pilot.forecast(rows.head(0), spec) == []


def test_two_tools_are_compared_on_the_pictures_both_showed() -> None:
    one = answers(*((n, "colour", "a", label, 6) for n, label in enumerate(["red", "blue", "red"])))
    other = answers(*((n, "colour", "b", label, 3) for n, label in enumerate(["red", "red", "red", "blue"])))
    broken = answers((5, "colour", "b", "mauve", 1), status="rejected")
    table, told = pilot.compare(one, pd.concat([other, broken]), GOLD, ("studio", "cvat"))
    seen = table.set_index("what")
    assert seen.loc["pictures"].tolist() == [3, 3]
    assert seen.loc["median seconds a picture"].tolist() == [6.0, 3.0]
    assert seen.loc["right on gold"].tolist() == [1.0, 0.6667]
    assert seen.loc["rows that could not be read"].tolist() == [0, 1]
    assert told[1] == "studio and cvat come to the same answer on 67% of 3 questions."
    assert "cvat is faster: 3.0 s a picture, 50% less than 6.0 s." in told
    assert told[-1].startswith("On gold studio alone is right 1 times and cvat alone 0 times: no difference")


def test_what_a_format_loses_is_told_and_what_it_keeps_is_not() -> None:
    table = {"yolo": {"box": Carry(True), "annotator": Carry(False, "folders")}, "coco": {"seconds": Carry(False)}}
    assert pilot.losses(table) == [
        {"format": "yolo", "loses": "Who answered", "instead": "folders"},
        {"format": "coco", "loses": "How long it took", "instead": ""},
    ]


def test_a_pilot_can_be_cut_again_from_the_same_pictures() -> None:
    spec, sources = make_spec(pilot_overlap=2), make_sources(12)
    first = label_tasks.plan("pilot", spec, sources, empty("batch_plans")).batches[0]
    again = label_tasks.plan("pilot", spec, sources, first, like="pilot-001").batches[0]
    assert set(again["image_id"]) == set(first["image_id"]) and set(again["batch_id"]) == {"pilot-002"}
    assert set(first["overlap"]) == set(again["overlap"]) == {2}
    for kind, like in (("pilot", "pilot-009"), ("production", "pilot-001")):
        with pytest.raises(ValueError, match="only a pilot may be labelled again"):
            label_tasks.plan(kind, spec, sources, first, like=like)  # type: ignore[arg-type]
