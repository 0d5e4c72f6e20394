"""Which pictures explain an answer: those a person names, gold, and those that people answered wrongly.

Gold that is shown with its answers can't be hidden any more. So pictures that are known already come first, then those that people
differed on, which teach better than they measure, and no more than a share of all gold is ever given away.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE, Ontology

A_VALUE = 2  # pictures that show it
MIXED = 3  # of a question: answers that are taken for each other
_NO_VALUE = (CANT_TELL, NOT_APPLICABLE, NO_OBJECT)
Box = tuple[str, float, float, float, float]  # value, x, y, w, h in px of the picture as it was sent
Key = tuple[str, str]  # attribute, value


class Example(NamedTuple):
    """A picture of an answer; where `given` isn't empty, one for which so many people gave that instead (0: as a person says).

    `image_id` is a picture of the store, which is shown as policy has it on the day; `sha256` a file of the project's own.
    """

    attribute: str
    value: str
    image_id: str = ""
    sha256: str = ""
    given: str = ""
    answers: int = 0
    boxes: tuple[Box, ...] = ()

    @property
    def is_mixed_up(self) -> bool:
        return bool(self.given) and self.answers > 0


def dumped(examples: Iterable[Example]) -> str:
    """Examples of one answer as JSON."""
    return json.dumps([list(one) for one in examples], ensure_ascii=False)


def loaded(texts: Iterable[str | None]) -> list[Example]:
    """What `dumped` made, of all rows of the guidelines."""
    found = [Example(*one) for text in texts if isinstance(text, str) for one in json.loads(text)]
    return [one._replace(boxes=tuple((str(box[0]), *map(float, box[1:])) for box in one.boxes)) for one in found]  # type: ignore[misc]


def mixed_up(labeled: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Answers that turned out wrong: attribute, right, given, image_id, n (answers); choices only.

    Args:
        labeled: `labeled_batches` rows, in the words of the present ontology.
        truth: image_id, attribute, label, x of settled answers, in the same words.
    """
    known = truth[truth["x"].isna() & truth["label"].notna() & ~truth["label"].isin(_NO_VALUE)].drop_duplicates(["image_id", "attribute"])
    given = labeled[(labeled["status"] == "accepted") & labeled["x"].isna() & labeled["label"].notna()]
    both = given[["image_id", "attribute", "label"]].rename(columns={"label": "given"})
    both = both.merge(known[["image_id", "attribute", "label"]].rename(columns={"label": "right"}), on=["image_id", "attribute"])
    wrong = both[(both["given"] != both["right"]) & ~both["given"].isin([NOT_APPLICABLE, NO_OBJECT])]
    return wrong.groupby(["attribute", "right", "given", "image_id"]).size().rename("n").reset_index()


@dataclass(frozen=True)
class Stock:
    """What there is to choose from.

    Attributes:
        gold: image_id, attribute, label, x, y, w, h: gold nobody disputes.
        settled: The same of other approved answers that are as good as certain.
        mixed: What `mixed_up` gives.
        may_show: Pictures that may be shown at all.
        known: Gold that people outside have seen with its answers, or that leaked.
        busy: Gold hidden in batches whose answers aren't judged yet: it stays hidden.
    """

    gold: pd.DataFrame
    settled: pd.DataFrame
    mixed: pd.DataFrame
    may_show: Collection[str]
    known: Collection[str] = field(default_factory=frozenset)
    busy: Collection[str] = field(default_factory=frozenset)


def choose(ontology: Ontology, stock: Stock, stated: Sequence[Example], share: float, shown: Sequence[Example] = ()) -> list[Example]:
    """A few examples of every answer and of what is mixed up.

    The same state gives the same choice, and a second one from the same state gives no more gold away.

    Args:
        ontology: What is asked.
        stock: What there is.
        stated: Pictures a person names.
        share: Of the gold pictures, that may be known in the end.
        shown: Examples that the guidelines in use have: kept where they still hold.
    """
    names = {(attribute.name, value) for attribute in ontology.attributes for value in attribute.values}
    golden, may = set(stock.gold["image_id"]), set(stock.may_show)
    holds = _holds(stock.gold[stock.gold["image_id"].isin(may)], names)
    spare = int(share * len(golden)) - len(golden & set(stock.known))
    free = {image for image in holds if image in stock.known}
    fresh = {image for image in holds if image not in stock.known and image not in stock.busy}

    examples = list(_mixed(stock.mixed, ontology, may - (golden - free - fresh), fresh, spare, shown))
    picked = {one.image_id for one in examples} & fresh
    spare -= len(picked)
    known = picked | free
    covered = {key for image in known for key in holds[image]} | {(one.attribute, one.value) for one in stated if not one.given}
    rest = fresh - picked
    while spare > 0 and rest:
        best = max(sorted(rest), key=lambda image: len(holds[image] - covered))
        if not holds[best] - covered:
            break
        covered |= holds[best]
        known.add(best)
        rest.remove(best)
        spare -= 1
    before = {one.image_id for one in shown if not one.given}
    ordered = sorted(known, key=lambda image: (image not in before, image))
    others = _holds(stock.settled[stock.settled["image_id"].isin(may - golden)], names)
    boxes = _boxes(pd.concat([stock.gold, stock.settled], ignore_index=True))
    found: dict[Key, list[Example]] = {}
    for one in stated:
        found.setdefault((one.attribute, one.value), []).append(one)
    for image, keys in (*((image, holds[image]) for image in ordered), *sorted(others.items())):
        for key in sorted(keys):
            if sum(not one.given for one in found.get(key, ())) < A_VALUE:
                drawn = tuple(box for box in boxes.get((image, key[0]), ()) if box[0] == key[1])
                found.setdefault(key, []).append(Example(*key, image, boxes=drawn))
    return [*_in_turn(found), *examples]


def _mixed(
    mixed: pd.DataFrame, ontology: Ontology, may: set[str], dear: set[str], spare: int, shown: Sequence[Example]
) -> Iterator[Example]:
    """The most frequent confusions of each question, each with one picture: the one it has already, else one that gives no gold away.

    Only then gold that is hidden still (`dear`), as much of it as may be given away (`spare`).
    """
    before = {(one.attribute, one.value, one.given): one.image_id for one in shown if one.is_mixed_up}
    used: set[str] = set()
    for attribute in ontology.attributes:
        rows = mixed[(mixed["attribute"] == attribute.name) & mixed["image_id"].isin(may)]
        is_known = [
            set(right.split("|")) <= set(attribute.values) and set(given.split("|")) <= set(attribute.answers)
            for right, given in zip(rows["right"], rows["given"], strict=True)
        ]
        rows = rows[pd.Series(is_known, index=rows.index, dtype=bool)]
        total = rows.groupby(["right", "given"])["n"].sum().sort_index().sort_values(ascending=False, kind="stable")
        for right, given, n in total.head(MIXED).reset_index().itertuples(index=False, name=None):
            mine = rows[(rows["right"] == right) & (rows["given"] == given)]
            images: dict[str, int] = dict(zip(mine["image_id"], mine["n"], strict=True))
            kept = before.get((attribute.name, right, given))
            image = (
                kept
                if kept is not None and kept in images
                else min(images, key=lambda one: (one in dear - used, one in used, -images[one], one))
            )
            if image in dear - used and len(used & dear) >= spare:
                continue
            used.add(image)
            yield Example(attribute.name, right, image, given=given, answers=int(n))


def _in_turn(found: Mapping[Key, list[Example]]) -> Iterator[Example]:
    """The first example of every answer, then the second: where room is short, each keeps one."""
    for turn in range(max((len(held) for held in found.values()), default=0)):
        for key in sorted(found):
            yield from found[key][turn : turn + 1]


def _holds(rows: pd.DataFrame, names: Collection[Key]) -> dict[str, set[Key]]:
    """image -> the answers it shows."""
    parts = rows[["image_id", "attribute", "label"]].dropna()
    parts = parts.assign(label=parts["label"].str.split("|")).explode("label").sort_values("image_id")
    found: dict[str, set[Key]] = {}
    for image, name, value in parts.itertuples(index=False, name=None):
        if (name, value) in names and value not in _NO_VALUE:
            found.setdefault(image, set()).add((name, value))
    return found


def _boxes(rows: pd.DataFrame) -> dict[Key, tuple[Box, ...]]:
    """(image, attribute) -> what is drawn there."""
    drawn = rows[rows["x"].notna()]
    found: dict[Key, tuple[Box, ...]] = {}
    for (image, name), held in drawn.groupby(["image_id", "attribute"], sort=True):
        boxes = held[["label", "x", "y", "w", "h"]].drop_duplicates().sort_values(["x", "y", "label"])
        found[str(image), str(name)] = tuple((str(row[0]), *map(float, row[1:])) for row in boxes.itertuples(index=False, name=None))  # type: ignore[misc]
    return found
