"""Gold knows its votes and its source, may be disputed and settled, and leaves use when it is known."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform, empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import approved_labels, gold, label_tasks
from tests.labels.world import COLOUR, make_sources, make_spec

SIZE = {"name": "size", "values": {"s": "Small.", "l": "Large."}}
SPEC = make_spec(COLOUR, SIZE, gold_exposures=3, pilot_overlap=2)
SOURCES = make_sources(12)
PILOT = label_tasks.plan("pilot", SPEC, SOURCES, empty("batch_plans")).batches[0]
IMAGES = list(PILOT["image_id"])
APPROVED = conform(
    pd.DataFrame(
        [
            {"image_id": image, "attribute": name, "object_id": "", "label": label, "n_labels": 2, "batch_id": "pilot-001", "kind": "pilot",
             "decided_by": "majority_vote"}
            for image in IMAGES for name, label in (("colour", "red"), ("size", "s"))
        ]
    ),
    CONTRACTS["approved_labels"],
)  # fmt: skip


def found(
    *entries: tuple[str, str, str | None, str | None],
    shown: pd.DataFrame = PILOT,
    spec: ProjectSpec = SPEC,
    approved: pd.DataFrame = APPROVED,
) -> pd.DataFrame:
    """The registry after what people entered: (action, image, attribute, label)."""
    columns = ["action", "image_id", "attribute", "label"]
    rows = pd.DataFrame(entries, columns=columns).assign(reason="why", by="ann").reset_index(names="seq")
    return gold.registry(approved_labels.gold_of(approved, shown), approved, shown, empty("labeled_batches"), rows, spec)


def exposed(vendor: str, times: int) -> pd.DataFrame:
    batches = [
        PILOT.head(1).assign(batch_id=f"production-{vendor}{n}", kind="production", vendor=vendor, is_gold=True) for n in range(times)
    ]
    return pd.concat([PILOT, *batches], ignore_index=True)


def test_an_answer_knows_its_votes_and_its_source() -> None:
    seen = found()
    assert len(seen) == 8 and set(seen["status"]) == {"active"}
    assert set(zip(seen["votes"], seen["batch_id"], strict=True)) == {(2, "pilot-001")}
    assert len(gold.usable(seen)) == len(gold.measuring(seen)) == 8


def test_one_vote_is_no_gold_to_hide_unless_the_project_asks_one_person_only() -> None:
    alone = APPROVED.assign(n_labels=[1, *[2] * (len(APPROVED) - 1)])
    image, name = alone.loc[0, ["image_id", "attribute"]]
    seen = found(approved=alone)
    (row,) = seen[seen["status"] != "active"].to_dict("records")
    assert (row["image_id"], row["attribute"], row["status"], row["reason"]) == (image, name, "unconfirmed", "1 of 2 votes")
    batch = label_tasks.plan("qualification", SPEC, SOURCES, PILOT, gold=gold.usable(seen), vendor="acme").batches[0]
    assert set(batch["image_id"]) == set(IMAGES) - {image}
    one = make_spec(COLOUR, SIZE, pilot_overlap=1)
    assert set(found(approved=alone, spec=one)["status"]) == {"active"}
    settled = found(("dispute", image, name, None), ("settle", image, name, None), approved=alone)
    assert set(settled["status"]) == {"active"}  # a second person has looked
    assert type(SPEC.labeling)(vendors=SPEC.labeling.vendors).pilot_overlap == 2


def test_who_labelled_the_pilot_counts_in_what_was_adjudicated_from_it() -> None:
    again = PILOT.head(1).assign(batch_id="adjudication-001", kind="adjudication", parent_batch_id="pilot-001", overlap=1)
    settled = APPROVED[APPROVED["image_id"] == again["image_id"].iloc[0]].assign(
        batch_id="adjudication-001", kind="adjudication", n_labels=1, decided_by="adjudication"
    )
    approved = pd.concat([APPROVED[~APPROVED["image_id"].isin(again["image_id"])], settled], ignore_index=True)
    seen = found(shown=pd.concat([PILOT, again], ignore_index=True), approved=approved)
    assert set(seen["status"]) == {"active"}
    assert list(seen.loc[seen["image_id"].isin(again["image_id"]), "votes"]) == [3, 3]  # two who differed, and a third


def test_a_disputed_answer_measures_nobody_and_its_picture_is_not_planned() -> None:
    seen = found(("dispute", IMAGES[0], "colour", None))
    assert len(gold.measuring(seen)) == 7
    batch = label_tasks.plan("qualification", SPEC, SOURCES, PILOT, gold=gold.usable(seen), vendor="acme").batches[0]
    assert set(batch["image_id"]) == set(IMAGES) - {IMAGES[0]}
    row = seen[(seen["image_id"] == IMAGES[0]) & (seen["attribute"] == "colour")].iloc[0]
    assert (row["status"], row["reason"], row["by"]) == ("disputed", "why", "ann")


def test_a_settled_answer_is_used_again_with_what_was_decided() -> None:
    seen = found(("dispute", IMAGES[0], "colour", None), ("settle", IMAGES[0], "colour", "blue"))
    row = gold.usable(seen).set_index(["image_id", "attribute"]).loc[(IMAGES[0], "colour")]
    assert row["label"] == "blue"
    kept = found(("dispute", IMAGES[0], "colour", None), ("settle", IMAGES[0], "colour", None))
    assert set(kept["label"]) == {"red", "s"} and set(kept["status"]) == {"active"}


def test_leaked_gold_is_hidden_no_more_and_what_it_measured_stands() -> None:
    for entry in (("retire", IMAGES[0], None, None), ("retire", IMAGES[0], "size", None)):
        seen = found(entry, ("settle", IMAGES[0], "size", None))  # nobody brings it back
        assert IMAGES[0] not in set(gold.usable(seen)["image_id"])
        assert len(gold.measuring(seen)) == 8


def test_gold_that_one_vendor_has_seen_too_often_is_retired() -> None:
    assert set(found(shown=exposed("acme", 2))["status"]) == {"active"}
    worn = found(shown=exposed("acme", 3))
    row = worn[worn["image_id"] == IMAGES[0]].iloc[0]
    assert (row["status"], row["exposures"], row["reason"]) == ("retired", 3, "shown 3 times to one vendor")
    two = pd.concat([exposed("acme", 2), exposed("other", 2)], ignore_index=True)
    shared = found(shown=two).set_index("image_id").loc[IMAGES[0]].iloc[0]
    assert (shared["status"], shared["exposures"], shared["most_exposed"]) == ("active", 4, 2)


def test_gold_that_everybody_answers_at_once_shows() -> None:
    shown = exposed("acme", 1)
    batch = "production-acme0"
    rows = [
        {"batch_id": batch, "row_id": f"{who}{n}", "image_id": image, "attribute": "colour", "worker_id": who, "status": "accepted",
         "seconds": 1.0 if n == 0 else 8.0}
        for who in ("a", "b") for n, image in enumerate([IMAGES[0], "x", "y"])
    ]  # fmt: skip
    labeled = conform(pd.DataFrame(rows), CONTRACTS["labeled_batches"])
    seen = gold.registry(approved_labels.gold_of(APPROVED), APPROVED, shown, labeled, empty("gold"), SPEC).set_index("image_id")
    assert (seen.loc[IMAGES[0], "pace"] < 0.2).all() and (seen.loc[IMAGES[0], "workers"] == 2).all()
    assert seen.loc[IMAGES[1], "pace"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dispute", "zzz", "colour", None), "no gold pictures begin with 'zzz'"),
        (("dispute", "", "colour", None), "4 gold pictures begin with"),
        (("dispute", IMAGES[0], "smell", None), "has no gold for 'smell'"),
        (("dispute", IMAGES[0], None, None), "name the attribute"),
        (("settle", IMAGES[0], "colour", "blue"), "is not disputed"),
    ],
)
def test_what_cannot_be_entered_is_refused_with_a_sentence(arguments: tuple[str, str, str | None, str | None], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gold.entry(found(), *arguments, SPEC)


def test_a_dispute_is_settled_within_the_ontology() -> None:
    seen = found(("dispute", IMAGES[0], "colour", None))
    assert gold.entry(seen, "settle", IMAGES[0][:10], "colour", "blue", SPEC)["image_id"] == IMAGES[0]
    with pytest.raises(ValueError, match="'mauve' is no value of colour: red, blue, NA"):
        gold.entry(seen, "settle", IMAGES[0], "colour", "mauve", SPEC)


def compared(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """`references.compare` rows on gold: (worker, attribute, right, label)."""
    frame = pd.DataFrame(rows, columns=["worker_id", "attribute", "right", "label"])
    frame = frame.assign(image_id=[f"i{number}" for number in range(len(frame))], task_id="t")
    return frame.assign(vendor="acme", on_gold=True, is_judged=True, is_right=frame["right"] == frame["label"])


def test_accuracy_has_wilson_bounds_for_whatever_it_is_grouped_by() -> None:
    rows = compared(*[("a", "colour", "red", "red")] * 8, *[("a", "colour", "red", "blue")] * 2, *[("b", "colour", "red", "red")] * 10)
    by_worker = gold.accuracy(rows, ["vendor", "worker_id"])
    assert by_worker.loc[("acme", "a"), ["n", "correct"]].tolist() == [10, 8]
    assert by_worker.loc[("acme", "a"), ["lower", "upper"]].tolist() == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Wilson 1927
    assert by_worker.loc[("acme", "b"), "lower"] == pytest.approx(0.7225, abs=1e-4)
    assert gold.accuracy(rows, ["attribute"]).loc["colour", "n"] == 20
    elsewhere = rows.assign(on_gold=rows["worker_id"] != "a")
    assert list(gold.accuracy(elsewhere, ["worker_id"]).index) == ["b"]


def test_several_answers_to_one_gold_picture_count_for_fewer() -> None:
    """By vendor, attribute and class; each person by himself answers every picture once."""
    rows = compared(
        *[(who, "colour", right, given) for right, given in (("red", "red"), ("red", "blue"), ("blue", "blue")) for who in "abc"]
    )
    alike = rows.assign(image_id=["i0"] * 3 + ["i1"] * 3 + ["i2"] * 3)
    for by in (["vendor"], ["attribute"]):
        plain, wider = gold.accuracy(rows, by).iloc[0], gold.accuracy(alike, by).iloc[0]
        assert (plain["n"], plain["correct"]) == (wider["n"], wider["correct"]) == (9, 6)
        assert wider["lower"] < plain["lower"] and plain["upper"] < wider["upper"]
        assert gold.accuracy(alike, by, believed=0.9)["lower"].iloc[0] < wider["lower"]
    assert gold.accuracy(alike, ["worker_id"]).equals(gold.accuracy(rows, ["worker_id"]))
    plain, wider = gold.errors_by_class(rows), gold.errors_by_class(alike)
    counts = ["n", "missed", "others", "false"]
    assert wider[counts].astype(int).equals(plain[counts].astype(int)) and plain.loc[("colour", "blue"), counts].tolist() == [3, 0, 6, 3]
    assert (wider["missed_upper"] > plain["missed_upper"]).all()
    assert wider.loc[("colour", "blue"), "false_upper"] > plain.loc[("colour", "blue"), "false_upper"]


def test_errors_of_each_class_are_counted_both_ways() -> None:
    rows = compared(*[("a", "colour", "red", "red")] * 6, *[("a", "colour", "red", "blue")] * 2, *[("b", "colour", "blue", "blue")] * 4)
    found = gold.errors_by_class(rows)
    red, blue = found.loc[("colour", "red")], found.loc[("colour", "blue")]
    assert (red["n"], red["missed"], red["others"], red["false"]) == (8, 2, 4, 0)
    assert (blue["n"], blue["missed"], blue["others"], blue["false"]) == (4, 0, 8, 2)
    assert red["missed_share"] == 0.25 and red["missed_lower"] < 0.25 < red["missed_upper"]
    assert blue["false_share"] == 0.25 and (blue["false_lower"], blue["false_upper"]) == (red["missed_lower"], red["missed_upper"])


def test_of_several_values_each_is_right_or_wrong_by_itself() -> None:
    rows = compared(("a", "marks", "logo|text", "logo"), ("b", "marks", "logo", "logo|dots"), ("c", "marks", "text", "text"))
    found = gold.errors_by_class(rows)[["n", "missed", "others", "false"]]
    assert found.loc[("marks", "logo")].tolist() == [2, 0, 1, 0]
    assert found.loc[("marks", "text")].tolist() == [2, 1, 1, 0]
    assert found.loc[("marks", "dots")].tolist() == [0, 0, 3, 1]


def test_gold_that_somebody_has_seen_too_often_stops_counting_for_that_person_alone() -> None:
    seen = pd.DataFrame(
        [("a", "i", f"b{n}") for n in range(3)] + [("a", "i", "b0"), ("b", "i", "b1")], columns=["worker_id", "image_id", "batch_id"]
    )
    labeled = pd.DataFrame({"worker_id": ["a", "b", "a"], "image_id": ["i", "i", "other"], "task_id": ["t", "t", "u"]})
    assert gold.worn(labeled, {"t"}, seen, make_spec(COLOUR, gold_sights=3)).tolist() == [True, False, False]
    assert not gold.worn(labeled, {"t"}, seen, make_spec(COLOUR, gold_sights=4)).any()
    assert not gold.worn(labeled, {"u"}, seen, make_spec(COLOUR, gold_sights=1)).any()
    assert not gold.worn(labeled, {"t"}, seen.head(0), SPEC).any()


def test_gold_that_too_many_answer_at_once_is_suspected_and_easy_gold_is_not() -> None:
    shown = exposed("acme", 1)
    rows = [
        {"batch_id": "production-acme0", "row_id": f"{who}{n}", "image_id": image, "attribute": "colour", "worker_id": f"w{who}",
         "status": "accepted", "seconds": (1.0 if n == 0 else 8.0) + n / 100}
        for who in range(10) for n, image in enumerate([IMAGES[0], *(f"x{k}" for k in range(12))])
    ]  # fmt: skip
    labeled = conform(pd.DataFrame(rows), CONTRACTS["labeled_batches"])
    seen = gold.registry(approved_labels.gold_of(APPROVED), APPROVED, shown, labeled, empty("gold"), SPEC).set_index("image_id")
    assert set(seen.loc[IMAGES[0], "suspicion"]) == {"10 of 10 people took less than half of their usual time on it, 1% do elsewhere"}
    calm = labeled.assign(seconds=8.0)
    seen = gold.registry(approved_labels.gold_of(APPROVED), APPROVED, shown, calm, empty("gold"), SPEC)
    assert seen["suspicion"].isna().all()


def test_gold_that_is_shown_with_its_answers_is_hidden_no_more_and_counts_as_seen() -> None:
    seen = found(("show", IMAGES[0], None, None), ("practise", IMAGES[1], None, None), ("practise", IMAGES[1], None, None))
    by_image = seen.drop_duplicates("image_id").set_index("image_id")
    assert by_image.loc[IMAGES[:3], "status"].tolist() == ["retired", "retired", "active"]
    assert by_image.loc[IMAGES[:3], "exposures"].tolist() == [1, 2, 0]
    assert by_image.loc[IMAGES[0], "reason"] == "shown with its answers: why"
    assert set(gold.usable(seen)["image_id"]) == set(IMAGES[2:])
    assert len(gold.measuring(seen)) == 8  # what it measured stands


def test_what_is_known_may_still_be_wrong() -> None:
    seen = found(("show", IMAGES[0], None, None), ("dispute", IMAGES[0], "colour", None))
    assert len(gold.measuring(seen)) == 7
    settled = found(("show", IMAGES[0], None, None), ("dispute", IMAGES[0], "colour", None), ("settle", IMAGES[0], "colour", "blue"))
    row = settled[(settled["image_id"] == IMAGES[0]) & (settled["attribute"] == "colour")].iloc[0]
    assert (row["status"], row["label"]) == ("retired", "blue") and len(gold.measuring(settled)) == 8


def test_an_exposure_is_entered_once_and_only_of_gold() -> None:
    def entries(*rows: tuple[str, str, str]) -> pd.DataFrame:
        return (
            pd.DataFrame(rows, columns=["image_id", "action", "reason"]).assign(attribute=None, label=None, by="x").reset_index(names="seq")
        )

    shown = [IMAGES[1], "stranger", IMAGES[0]]
    new = gold.exposure(found(), entries(), shown, gold.SHOW, "guidelines")
    assert [row["image_id"] for row in new] == sorted(IMAGES[:2])
    assert gold.exposure(found(), entries((IMAGES[0], "show", "guidelines")), shown, gold.SHOW, "guidelines")[0]["image_id"] == IMAGES[1]
    packs = entries((IMAGES[0], "practise", "training-001"), (IMAGES[1], "practise", "training-001"))
    assert gold.exposure(found(), packs, shown, gold.PRACTISE, "training-001") == []
    assert len(gold.exposure(found(), packs, shown, gold.PRACTISE, "training-002")) == 2
