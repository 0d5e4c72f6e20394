"""Which pictures explain a value: those chosen by a person, gold, and those that annotators got wrong.

Whatever gold is shown with its answer can't be hidden gold any more, so at most a quarter of it ever is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec

A_VALUE = 2  # pictures that show it
MIXED = 3  # of an attribute: values that are taken for each other
GOLD_SHARE = 0.25  # of the gold pictures may be shown
_NO_VALUE = (CANT_TELL, NOT_APPLICABLE, "none")


class Example(NamedTuple):
    """A picture of a value; where `given` isn't empty, one that was taken for `given` by so many answers (0: said by a person)."""

    attribute: str
    value: str
    sha256: str
    image_id: str = ""
    given: str = ""
    answers: int = 0


def mixed_up(labeled: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Answers that lost against the batch's winner: attribute, right, given, n, image_id (one of them) and batch_id, most frequent first.

    Args:
        labeled: `labeled_batches` rows.
        quality: `label_quality` rows of the same batches. Gold, and questions answered with boxes, are left out.
    """
    unit = ["batch_id", "task_id", "attribute"]
    settled = quality[(quality["decision"] == "accept") & ~quality["is_gold"].astype("boolean").fillna(False).astype(bool)]
    settled = settled[settled["x"].isna() & settled["label"].notna()]
    given = labeled.loc[(labeled["status"] == "accepted") & labeled["x"].isna(), [*unit, "image_id", "label"]]
    both = given.rename(columns={"label": "given"}).merge(settled[[*unit, "label"]].rename(columns={"label": "right"}), on=unit)
    wrong = both[both["given"] != both["right"]].sort_values(["image_id", "batch_id"])
    groups = wrong.groupby(["attribute", "right", "given"], as_index=False)
    made = groups.agg(n=("image_id", "size"), image_id=("image_id", "first"), batch_id=("batch_id", "first"))
    return made.sort_values(["n", "attribute", "right", "given"], ascending=[False, True, True, True], ignore_index=True)


def choose(
    spec: ProjectSpec,
    gold: pd.DataFrame,
    settled: pd.DataFrame,
    mixed: pd.DataFrame,
    shas: Mapping[str, str],
    stated: Collection[Example] = (),
    exposed: Collection[str] = (),
    busy: Collection[str] = (),
) -> list[Example]:
    """A few examples of every value and of what is mixed up; the same state gives the same choice, and a second one exposes no more.

    Args:
        spec: The project.
        gold: `approved_labels.gold_of` rows.
        settled: `approved_labels` rows that aren't gold; those with all answers alike are shown where gold may not be.
        mixed: What `mixed_up` gives.
        shas: image_id -> the picture to show; only these may be shown.
        stated: What the YAML names.
        exposed: Gold that was shown before.
        busy: Gold in batches that aren't back yet: it stays hidden.
    """
    names = {(attribute.name, value) for attribute in spec.ontology.attributes for value in attribute.values}
    golden = set(gold["image_id"])
    shows = _by_image(gold[gold["image_id"].isin(list(shas))], names)
    held = {key for image in shows.keys() & set(exposed) for key in shows[image]} | {(one.attribute, one.value) for one in stated}
    picked = sorted(shows.keys() & set(exposed))
    free = {image: keys for image, keys in shows.items() if image not in exposed and image not in busy}
    for _ in range(int(GOLD_SHARE * len(golden)) - len(golden & set(exposed))):
        best = max(sorted(free), key=lambda image: len(free[image] - held), default=None)
        if best is None or not free[best] - held:
            break
        held |= free.pop(best)
        picked.append(best)
    alike = settled[(settled["posterior"] >= 1) & (settled["n_labels"] > 1) & settled["image_id"].isin(list(shas))]
    others = _by_image(alike[~alike["image_id"].isin(golden)].drop_duplicates(["attribute", "label"]), names)
    found: dict[tuple[str, str], list[Example]] = {}
    for one in stated:
        found.setdefault((one.attribute, one.value), []).append(one)
    for image, keys in [*((image, shows[image]) for image in picked), *sorted(others.items())]:
        for key in sorted(keys):
            if sum(not one.given for one in found.get(key, [])) < A_VALUE:
                found.setdefault(key, []).append(Example(*key, shas[image], image))
    rows = mixed[mixed["image_id"].isin(list(shas)) & ~mixed["image_id"].isin(golden - set(exposed))]
    known = [(name, value) in names for name, value in zip(rows["attribute"], rows["right"], strict=True)]
    rows = rows[np.array(known, dtype=bool)].groupby("attribute").head(MIXED)
    wrong = [
        Example(row["attribute"], row["right"], shas[row["image_id"]], row["image_id"], row["given"], int(row["n"]))
        for row in rows.to_dict("records")
    ]
    return [*_in_turn(found), *wrong]


def _in_turn(found: Mapping[tuple[str, str], list[Example]]) -> Iterator[Example]:
    """The first example of every value, then the second: where room is short, each value keeps one."""
    for turn in range(max((len(held) for held in found.values()), default=0)):
        for key in sorted(found):
            yield from found[key][turn : turn + 1]


def _by_image(rows: pd.DataFrame, names: Collection[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """image -> the (attribute, value)s it shows."""
    parts = rows[["image_id", "attribute", "label"]].dropna()
    parts = parts.assign(label=parts["label"].str.split("|")).explode("label").sort_values("image_id")
    found: dict[str, set[tuple[str, str]]] = {}
    for image, name, value in parts.itertuples(index=False, name=None):
        if (name, value) in names and value not in _NO_VALUE:
            found.setdefault(image, set()).add((name, value))
    return found
