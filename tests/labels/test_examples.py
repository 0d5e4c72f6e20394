"""Examples teach, and give away no more gold than was agreed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels.examples import Example, Stock, choose, dumped, loaded, mixed_up
from dataops_assets.manifest import conform
from tests.labels.world import COLOUR, MARKS, PARTS, make_spec

SPEC = make_spec(COLOUR, MARKS, PARTS)
NOTHING = pd.DataFrame(columns=["attribute", "right", "given", "image_id", "n"])


def answered(*rows: tuple[str, str, str], boxes: dict[str, tuple[float, ...]] | None = None) -> pd.DataFrame:
    """(image, attribute, label) as gold is kept."""
    frame = pd.DataFrame(rows, columns=["image_id", "attribute", "label"])
    sides = [(boxes or {}).get(image, (None,) * 4) if name == "parts" else (None,) * 4 for image, name in rows_of(rows)]
    return frame.join(pd.DataFrame(sides, columns=["x", "y", "w", "h"], dtype="float64")).assign(object_id="")


def rows_of(rows: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str]]:
    return [(image, name) for image, name, _ in rows]


def twelve(label: str = "red") -> pd.DataFrame:
    """Twelve gold pictures of one colour, and one of another."""
    return answered(*((f"g{n:02d}", "colour", label if n else "blue") for n in range(12)))


def stock(gold: pd.DataFrame, settled: pd.DataFrame | None = None, mixed: pd.DataFrame = NOTHING, **more: object) -> Stock:
    settled = gold.head(0) if settled is None else settled
    everything = {*gold["image_id"], *settled["image_id"]}
    return Stock(gold, settled, mixed, **{"may_show": everything, **more})  # type: ignore[arg-type]


def images(found: list[Example]) -> set[str]:
    return {one.image_id for one in found}


def test_every_answer_gets_a_picture_from_as_little_gold_as_will_do() -> None:
    found = choose(SPEC.ontology, stock(twelve()), (), share=0.5)
    assert {(one.attribute, one.value) for one in found} == {("colour", "red"), ("colour", "blue")}
    assert len(images(found)) == 2  # one of each colour, though six might be shown


def test_no_more_than_the_share_is_given_away_and_what_is_hidden_in_a_batch_on_its_way_stays() -> None:
    assert images(choose(SPEC.ontology, stock(twelve()), (), share=0.1)) == {"g00"}
    assert choose(SPEC.ontology, stock(twelve()), (), share=0.0) == []
    found = choose(SPEC.ontology, stock(twelve(), busy={"g00", "g01"}), (), share=0.5)
    assert images(found) == {"g02"}
    assert choose(SPEC.ontology, stock(twelve(), may_show=()), (), share=0.5) == []


def test_known_gold_is_shown_first_and_a_second_choice_gives_nothing_more_away() -> None:
    assert "g07" in images(choose(SPEC.ontology, stock(twelve(), known={"g07"}), (), share=0.0))
    first = choose(SPEC.ontology, stock(twelve()), (), share=0.25)
    again = choose(SPEC.ontology, stock(twelve(), known=images(first)), (), 0.25, first)
    assert again == first


def test_what_people_differed_on_is_shown_before_what_is_plain() -> None:
    mixed = pd.DataFrame(
        [("colour", "red", "blue", "g05", 1), ("colour", "red", "blue", "g06", 3), ("colour", "red", "NA", "g04", 1)],
        columns=["attribute", "right", "given", "image_id", "n"],
    )
    found = choose(SPEC.ontology, stock(twelve(), mixed=mixed), (), share=0.1)
    wrong = [one for one in found if one.is_mixed_up]
    assert wrong == [Example("colour", "red", "g06", given="blue", answers=4)]  # one picture may be shown: the one most erred on
    assert Example("colour", "red", "g06") in found
    hidden = choose(SPEC.ontology, stock(twelve(), mixed=mixed, busy={"g05", "g06"}), (), share=0.5)
    assert images(hidden) == {"g04", "g00"}


def test_a_mistake_is_shown_with_a_picture_that_gives_no_gold_away_where_there_is_one() -> None:
    mixed = pd.DataFrame(
        [("colour", "red", "blue", "g05", 9), ("colour", "red", "blue", "p1", 1), ("colour", "blue", "red", "p1", 1)],
        columns=["attribute", "right", "given", "image_id", "n"],
    )
    found = choose(SPEC.ontology, stock(twelve(), answered(("p1", "colour", "red")), mixed), (), share=0.0)
    assert [(one.value, one.image_id, one.answers) for one in found if one.is_mixed_up] == [("red", "p1", 10), ("blue", "p1", 1)]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_there_is_a_second_choice_is_the_same_and_gives_nothing_more_away(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [f"i{n:02d}" for n in range(20)]
    asked = {"colour": ["red", "blue", "NA"], "marks": ["logo", "text|dots"]}
    rows = [(image, name, str(rng.choice(values))) for image in images for name, values in asked.items()]
    everything, golden = answered(*rows), set(rng.choice(images, 12, replace=False))
    mixed = pd.DataFrame(
        sorted({(name, right, given, image) for image, name, right in rows for given in rng.choice(["red", "blue", "NA"], 2)
         if name == "colour" and given != right and rng.random() < 0.5}),
        columns=["attribute", "right", "given", "image_id"],
    ).assign(n=lambda frame: rng.integers(1, 4, len(frame)))  # fmt: skip
    gold, settled = (everything[everything["image_id"].isin(golden) == yes] for yes in (True, False))
    busy, known = set(rng.choice(images, 4)), set(rng.choice(sorted(golden), 2))
    share = rng.choice([0.1, 0.25, 0.5])
    first = choose(SPEC.ontology, stock(gold, settled, mixed, busy=busy - known, known=known), (), share)
    given_away = images_of_gold = images_in(first, golden) - known
    assert len(given_away | known) <= max(int(share * 12), len(known)) and not images_of_gold & (busy - known)
    again = choose(SPEC.ontology, stock(gold, settled, mixed, busy=busy - known, known=known | given_away), (), share, first)
    assert again == first


def images_in(found: list[Example], among: set[str]) -> set[str]:
    return {one.image_id for one in found} & among


def test_pictures_that_are_no_gold_cost_nothing_and_values_no_longer_there_are_left_out() -> None:
    settled = answered(("p1", "colour", "NA"), ("p2", "colour", "mauve"), ("p3", "marks", "logo|text"), ("p4", "colour", "cant_tell"))
    found = choose(SPEC.ontology, stock(twelve().head(0), settled), (), share=0.0)
    assert found == [Example("colour", "NA", "p1"), Example("marks", "logo", "p3"), Example("marks", "text", "p3")]


def test_boxes_come_with_the_picture_they_are_drawn_in() -> None:
    settled = answered(("p1", "parts", "bag"), boxes={"p1": (1, 2, 10, 8)})
    both = pd.concat([settled, settled.assign(label="hat", x=20.0)], ignore_index=True)
    found, other = choose(SPEC.ontology, stock(twelve().head(0), both), (), share=0.0)
    assert other == Example("parts", "hat", "p1", boxes=(("hat", 20.0, 2.0, 10.0, 8.0),))  # each with its own
    assert found == Example("parts", "bag", "p1", boxes=(("bag", 1.0, 2.0, 10.0, 8.0),))
    assert loaded([dumped([found]), None]) == [found]


def test_what_a_person_names_comes_first() -> None:
    stated = [Example("colour", "red", "p9"), Example("colour", "red", sha256="f" * 64), Example("colour", "red", "p8", given="red")]
    found = choose(SPEC.ontology, stock(twelve()), stated, share=1.0)
    assert [one for one in found if one.value == "red"] == stated and "g00" in images(found)


@pytest.mark.parametrize(
    ("given", "n"), [("blue", 2), ("red", 0), ("not_applicable", 0)], ids=["wrong", "right", "left out is no answer to show"]
)
def test_wrong_answers_are_told_by_what_is_settled(given: str, n: int) -> None:
    rows = [
        {"batch_id": "b", "row_id": str(i), "image_id": "g01", "attribute": "colour", "label": given, "status": "accepted"} for i in (1, 2)
    ]
    rows.append({**rows[0], "row_id": "3", "label": "blue", "status": "rejected"})
    found = mixed_up(conform(pd.DataFrame(rows), CONTRACTS["labeled_batches"]), twelve())
    assert found["n"].sum() == n
