"""What becomes of labels that were given under another version of the ontology: kept, renamed, or to be asked again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.manifest import is_true
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE, Change, Ontology

BUILT_IN = (CANT_TELL, NOT_APPLICABLE, NO_OBJECT)
_UNIT = ["image_id", "attribute"]


def fate(ontology: Ontology, attribute: str, label: str, version: str | None) -> tuple[str | None, str]:
    """A label in the present version's words and "", or None and a sentence why it must be given anew.

    Args:
        ontology: The present version.
        attribute: Name of the attribute.
        label: One value, or several joined by `|`.
        version: Under which it was given; None: the present one.
    """
    if version is None or version == ontology.version or ontology.attribute(attribute) is None:
        return label, ""
    now: list[str] = []
    for value in label.split("|"):
        told, why = _value(ontology, attribute, value, version)
        if told is None:
            return None, why
        now.append(told)
    return "|".join(sorted(set(now))) if len(now) > 1 else now[0], ""


def _value(ontology: Ontology, attribute: str, value: str, version: str) -> tuple[str | None, str]:
    known = ontology.attribute(attribute)
    if value in BUILT_IN and (known is None or value not in known.values):
        return value, ""
    about = [change for change in ontology.changes if change.attribute == attribute]
    path = ontology.path(version)
    if path is None:
        doubtful = {name for change in about for name in (*change.old, *change.redefine)}
        lost = value in doubtful or known is None or value not in known.values
        return (None, f"no change says what became of {value} after version {version}") if lost else (value, "")
    for step in path:
        for change in about:
            if change.to_version != step:
                continue
            if value in change.split:
                return None, f"{value} was split into {' and '.join(change.split[value])} in version {step}"
            if value in change.remove:
                return None, f"{value} was removed in version {step}"
            if value in change.redefine:
                return None, f"{value} was defined anew in version {step}"
        moved = {old: new for change in about if change.to_version == step for old, new in (change.rename | change.merge).items()}
        value = moved.get(value, value)
    return value, ""


def restate(rows: pd.DataFrame, ontology: Ontology) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split labels into those that hold, in the present version's words, and those that must be given anew.

    Boxes of a picture stand and fall together.

    Args:
        rows: Columns image_id, attribute, label, ontology_version; one answer an image and attribute. `ontology_version` stays what it was.
        ontology: The present version.

    Returns:
        (rows that hold, the others with a column `why`).
    """
    old = rows["ontology_version"].notna() & (rows["ontology_version"] != ontology.version) & rows["label"].notna()
    if not old.any():
        return rows, rows.head(0).assign(why=pd.Series(dtype="object"))
    given = rows.loc[old, ["attribute", "label", "ontology_version"]]
    kinds = given.drop_duplicates().reset_index(drop=True)
    fates = [fate(ontology, *row) for row in kinds.itertuples(index=False, name=None)]
    place = pd.MultiIndex.from_frame(kinds).get_indexer(pd.MultiIndex.from_frame(given))
    told = np.array([label for label, _ in fates], dtype="object")[place]
    why = np.array([sentence or None for _, sentence in fates], dtype="object")[place]
    made = rows.assign(why=None)
    made.loc[old, "label"], made.loc[old, "why"] = told, why
    lost = made[made["why"].notna()].drop_duplicates(_UNIT)[[*_UNIT, "why"]]
    made = made.drop(columns="why").merge(lost, on=_UNIT, how="left")
    return made[made["why"].isna()].drop(columns="why"), made[made["why"].notna()]


def former(ontology: Ontology, attribute: str) -> set[str]:
    """Values that an attribute had in some version and has no longer: labels from then may still hold them."""
    known = ontology.attribute(attribute)
    gone = {value for change in ontology.changes if change.attribute == attribute for value in change.old}
    return gone - set(known.values if known else ())


def outdated(approved: pd.DataFrame, planned: pd.DataFrame, ontology: Ontology) -> pd.DataFrame:
    """Questions that must be asked again of pictures, or for the first time, because the ontology changed since.

    Args:
        approved: `approved_labels` rows, one answer an image and attribute (`approved_labels.current`).
        planned: `batch_plans` rows of the project.
        ontology: The present version.

    Returns:
        batch_id (where the answer came from, or the picture was first planned), image_id, attribute.
    """
    _, void = restate(approved, ontology)
    again = void[["batch_id", *_UNIT]]
    first = planned[planned["kind"].isin(["pilot", "production"]) & ~is_true(planned["is_gold"])]
    asked = planned[["image_id", "attributes"]].assign(attribute=planned["attributes"].str.split("|")).explode("attribute")
    asked_of = pd.MultiIndex.from_frame(asked[_UNIT])
    home = first.drop_duplicates("image_id")[["batch_id", "image_id"]]
    home = home[home["image_id"].isin(set(approved["image_id"]))]  # what is on its way is judged when it is back
    new = [home.assign(attribute=attribute.name) for attribute in ontology.attributes]
    unasked = pd.concat(new, ignore_index=True)
    unasked = unasked[~pd.MultiIndex.from_frame(unasked[_UNIT]).isin(asked_of)]
    return pd.concat([again, unasked], ignore_index=True).drop_duplicates()


def told(ontology: Ontology) -> list[tuple[str, list[str]]]:
    """(from X to Y, sentences) of every version, the newest first."""
    steps: dict[tuple[str, str], list[str]] = {}
    for change in ontology.changes:
        steps.setdefault((change.from_version, change.to_version), []).extend(_sentences(change))
    return [(f"from version {old} to {new}", lines) for (old, new), lines in reversed(steps.items())]


def since(ontology: Ontology, version: str) -> tuple[list[str], set[tuple[str | None, str]]]:
    """Sentences on all that was stated after a version, the oldest first, and the (attribute, value)s they speak of."""
    path = ontology.path(version) or []
    steps = [change for step in path for change in ontology.changes if change.to_version == step]
    return [line for change in steps for line in _sentences(change)], {
        (change.attribute, value) for change in steps for value in change.old | change.new
    }


def _sentences(change: Change) -> list[str]:
    lines = [f"{old} is called {new} now" for old, new in change.rename.items()]
    lines += [f"{old} counts as {new} now" for old, new in change.merge.items()]
    lines += [
        f"{old} was split into {' and '.join(parts)}: look again at every picture that was {old}" for old, parts in change.split.items()
    ]
    lines += [f"{value} is new" for value in change.add]
    lines += [f"{value} is gone: look again at every picture that was {value}" for value in change.remove]
    lines += [
        f"{value} means something else now: read its definition, look again at every picture that was {value}" for value in change.redefine
    ]
    lines += [f"{value} is explained better and means the same" for value in change.reword]
    head = f"{change.attribute}: " if change.attribute else ""
    return [f"{head}{line}." for line in lines] + ([f"{head}{change.why}"] if change.why else [])


def unexplained(before: pd.DataFrame, now: pd.DataFrame, ontology: Ontology) -> list[str]:
    """What the guidelines' last released version had otherwise, and no stated change accounts for; a sentence each.

    Args:
        before: `guidelines` rows that were released last; empty: nothing was.
        now: The candidate's rows.
        ontology: The candidate's ontology.
    """
    if before.empty:
        return []
    old_version = str(before["ontology_version"].iloc[0])
    old, new = _by_value(before), _by_value(now)
    gone, added = [key for key in old if key not in new], [key for key in new if key not in old]
    differs = [key for key in old if key in new and old[key] != new[key]]
    if old_version == ontology.version:
        what = [f"{_name(key)} is {word}" for keys, word in ((gone, "gone"), (added, "new"), (differs, "told otherwise")) for key in keys]
        return [
            f"{one} and the version is {old_version} as before: raise ontology.version and say in ontology.changes what changed"
            for one in what
        ]
    path = ontology.path(old_version)
    if path is None:
        return [
            f"no change leads from version {old_version}, which was released last, to {ontology.version}: "
            "say in ontology.changes what changed"
        ]
    steps = [change for change in ontology.changes if change.to_version in path]
    ended = {(change.attribute, value) for change in steps for value in change.old}
    meant = {(change.attribute, value) for change in steps for value in (*change.redefine, *change.reword)}
    begun = {(change.attribute, value) for change in steps for value in change.new}
    return [
        *(
            f"{_name(key)} is gone and no change says why: rename, merge, split or remove it in ontology.changes"
            for key in gone
            if key not in ended
        ),
        *(f"{_name(key)} is new and no change says so: add it in ontology.changes" for key in added if key not in begun),
        *(
            f"{_name(key)} is told otherwise: say `redefine` in ontology.changes if it means something else, `reword` if not"
            for key in differs
            if key not in meant
        ),
    ]


def is_otherwise(before: pd.DataFrame, now: pd.DataFrame) -> bool:
    """Whether two versions of the guidelines differ in what is asked or what an answer means."""
    return _by_value(before) != _by_value(now)


def _by_value(rows: pd.DataFrame) -> dict[tuple[str, str], Sequence[str]]:
    """(attribute, value) -> what the answer means: its definition, how it is given, and when it is asked for."""
    columns = ["kind", "definition", "applies_when"]
    texts = rows.reindex(columns=columns).fillna("").apply(lambda column: column.str.split().str.join(" "))
    keys = zip(rows["attribute"], rows["value"], strict=True)
    return dict(zip(keys, texts.itertuples(index=False, name=None), strict=True))


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]} {key[1]}"
