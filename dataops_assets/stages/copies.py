"""Which pictures of a drop show what another one does: a better one, one that a later drop holds, or one that a person refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.contracts import DECIDED
from dataops_assets.imaging.duplicates import find_first, find_leaders
from dataops_assets.spec import FOUND_BY, MORE_OF, Cleaning

NOTHING_TO_REDACT, NEAR_REFUSED = "NOTHING_TO_REDACT", "near_refused"
NOT_DRAWN = (NOTHING_TO_REDACT, NEAR_REFUSED)  # what a person saw in these can't be covered, as no search finds it
REFUSED = ["image_id", "phash", "colour_grid", "near_duplicate_group"]  # what has to be known of a picture that a person refused
SEEN = {kind for kind, search in MORE_OF.items() if search != "metadata"}.union(*(FOUND_BY[search] for search in ("face", "text", "plate")))


@dataclass(frozen=True)
class Taken:
    """What drops that this one isn't compared with hold: those that came later, and were compared with what it had kept until then.

    Attributes:
        rows: Their `cleaned_set` rows that the drop wasn't compared with; only kept ones count.
        standing: Pictures, by image_id, that this drop had kept before: the later drops gave way to them, so they stand.
    """

    rows: pd.DataFrame
    standing: frozenset[str] = frozenset()


def copies(frame: pd.DataFrame, others: pd.DataFrame, spec: Cleaning) -> pd.DataFrame:
    """Column image_id: kept pictures that are near duplicates of other kept ones, of this drop or of those that it was compared with.

    Screening leaves none; the gate asks all the same.
    """
    held, kept = (
        rows[(rows["status"] == "kept") & rows["phash"].notna()] for rows in (others[~others["drop_id"].isin(frame["drop_id"])], frame)
    )
    led = leaders(held, kept, spec)[len(held) :] != np.arange(len(held), len(held) + len(kept))
    return pd.DataFrame({"image_id": kept["image_id"][led]}).reset_index(drop=True)


def is_refused(rows: pd.DataFrame) -> pd.Series:
    """Which rows of `cleaned_set` are pictures that a person refused for what they show of people, whether a search sees it or not.

    What is written in the metadata, or an issue such as `blurry`, is a matter of that one file.
    """
    by_person = (rows["status"] == "rejected") & rows["decided_by"].notna()
    is_seen = rows["reason"].where(by_person).map(lambda reason: not SEEN.isdisjoint(reason.split("|")), na_action="ignore")
    return (rows["reason"] == NOTHING_TO_REDACT) | is_seen.eq(True)


def follow_refused(frame: pd.DataFrame, refused: pd.DataFrame, spec: Cleaning) -> None:
    """Reject what shows the same as pictures that people refused for what they show of people, unless a person decided about it too.

    Args:
        frame: Rows of one drop; changed in place.
        refused: Such pictures, of this drop and others, with the columns `REFUSED`.
        spec: How near is near.
    """
    if refused.empty:
        return
    refused = refused[refused["phash"].notna()].sort_values("image_id", kind="stable").drop_duplicates("image_id")
    open_ = frame[(frame["status"] != "rejected") & frame["decided_by"].isna() & frame["phash"].notna()]
    if refused.empty or open_.empty:
        return
    (theirs, their_grids), (hashes, grids) = _looks(refused), _looks(open_)
    winners = find_first(hashes, theirs, spec.near_duplicate_bits, (grids, their_grids), spec.near_duplicate_turns)
    near = np.flatnonzero(winners >= 0)
    ids, groups = list(refused["image_id"]), _column(refused, "near_duplicate_group")
    lost = open_.index[near]
    reject(frame, lost, NEAR_REFUSED, [ids[place] for place in winners[near].tolist()])
    frame.loc[lost, "near_duplicate_group"] = [groups[place] or ids[place] for place in winners[near].tolist()]


def mark_exact_duplicates(frame: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Reject what was kept in an earlier drop, byte for byte; inside a drop, the intake has found those."""
    again = frame.index[frame["image_id"].isin(kept["image_id"]) & frame["decode_reason"].isna()]
    reject(frame, again, "exact_duplicate", list(frame.loc[again, "image_id"]))


def mark_near_duplicates(frame: pd.DataFrame, kept: pd.DataFrame, spec: Cleaning) -> None:
    """Reject pictures nearly the same as a better one, and name their group on all that stay together."""
    usable = frame.loc[frame["status"] != "rejected", ["image_id", "phash", "colour_grid", "status", "area_px", "blurry_score"]]
    usable = usable.sort_values(["status", "area_px", "blurry_score", "image_id"], ascending=[True, False, False, True], kind="stable")
    known = kept[kept["phash"].notna()]
    ids = [*known["image_id"], *usable["image_id"]]
    groups = [*_column(known, "near_duplicate_group"), *([None] * len(usable))]
    found = leaders(known, usable, spec)
    places = np.arange(len(known), len(ids))
    followers = np.flatnonzero(found[places] != places)
    winners = found[places[followers]]
    names = [groups[winner] or ids[winner] for winner in winners.tolist()]
    if len(followers) == 0:
        return
    lost = usable.index[followers]
    reject(frame, lost, "near_duplicate", [ids[winner] for winner in winners.tolist()])
    new = winners >= len(known)
    frame.loc[lost, "near_duplicate_group"] = names
    frame.loc[usable.index[winners[new] - len(known)], "near_duplicate_group"] = np.array(names, dtype=object)[new]


def find_taken(frame: pd.DataFrame, taken: Taken, spec: Cleaning) -> list[tuple[int, str, str]]:
    """Pictures that are kept only now and show what a later drop holds already: position, the first such picture there, its group."""
    new = frame[(frame["status"] == "kept") & ~frame["image_id"].isin(taken.standing)]
    held = taken.rows[(taken.rows["status"] == "kept") & taken.rows["phash"].notna()]
    held = held.sort_values("image_id", kind="stable").drop_duplicates("image_id")
    if new.empty or held.empty:
        return []
    winners = leaders(held, new, spec)[len(held) :].tolist()
    ids, groups = list(held["image_id"]), _column(held, "near_duplicate_group")
    return [
        (position, ids[winner], groups[winner] or ids[winner])
        for position, winner in zip(new.index, winners, strict=True)
        if winner < len(held)
    ]


def give_way(frame: pd.DataFrame, late: Sequence[tuple[int, str, str]]) -> None:
    """Reject what a later drop holds already."""
    for position, winner, group in late:
        reason = "exact_duplicate" if frame.at[position, "image_id"] == winner else "near_duplicate"
        reject(frame, pd.Index([position]), reason, [winner])
        frame.loc[position, "near_duplicate_group"] = group


def leaders(settled: pd.DataFrame, new: pd.DataFrame, spec: Cleaning) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For each picture of both frames the place of the one that leads it."""
    (theirs, their_grids), (hashes, grids) = _looks(settled), _looks(new)
    both, colours = np.concatenate([theirs, hashes]), [*their_grids, *grids]
    return find_leaders(both, spec.near_duplicate_bits, settled=len(settled), grids=colours, transforms=spec.near_duplicate_turns)


def _looks(rows: pd.DataFrame) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], list[bytes | None]]:
    """Hashes and colours of rows."""
    hashes = np.array([int(text, 16) for text in rows["phash"]], dtype=np.uint64)
    return hashes, [bytes.fromhex(text) if text else None for text in _column(rows, "colour_grid")]


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    """Values of a column that a frame of an earlier drop may lack."""
    return [value if isinstance(value, str) else None for value in frame[name]] if name in frame else [None] * len(frame)


def reject(frame: pd.DataFrame, positions: pd.Index[Any], reason: str, winners: Sequence[Any]) -> None:
    if len(positions) == 0:
        return
    frame.loc[positions, ["status", "reason"]] = ["rejected", reason]
    frame.loc[positions, "duplicate_of"] = winners
    frame.loc[positions, DECIDED] = None
