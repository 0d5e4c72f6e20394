"""Which pictures of a drop are usable and unique, and why the others aren't."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.contracts import CONTRACTS, ISSUES
from dataops_assets.imaging.decode import shrunk
from dataops_assets.imaging.duplicates import lead, near_duplicates, same_colours
from dataops_assets.imaging.measures import THRESHOLDS, calc_odd_size
from dataops_assets.imaging.screening import Measured, Preparation, Prepared, measure, prepare
from dataops_assets.imaging.workers import ITEMS_PER_MESSAGE, map_blobs
from dataops_assets.manifest import conform
from dataops_assets.spec import Cleaning

CARRIED = ["image_id", "drop_id", "vendor", "path", "category", "group_id"]
Steps = Callable[[str, int, int], None]
Look = TypeVar("Look", Measured, Prepared)


def screen(
    raw: pd.DataFrame,
    earlier: pd.DataFrame,
    spec: Cleaning,
    pixels: int,
    blobs: Blobs,
    decisions: pd.DataFrame | None = None,
    progress: Steps | None = None,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Screen the accepted pictures of one drop: each comes out as kept, rejected or waiting for review.

    Every picture is measured on one small decode. Those that no measure rejects and that are no duplicates are then prepared:
    decoded in full and written anew as the cleaned picture. The reason is, in this order: the code for which a picture can't be
    decoded; the issues below their threshold, joined by `|`; `exact_duplicate`; `near_duplicate`. What a person decided on a
    picture in review stands. Near duplicates show the same shapes in the same colours; the one of the earlier drop wins, inside
    the drop a kept one before one in review, then the larger, the sharper, the lower id. Where a winner can't be prepared,
    the next one takes its place. The same input gives the same frame.

    Args:
        raw: `raw_images` of one drop; rows not `accepted` are passed over.
        earlier: `cleaned_set` rows of drops screened earlier; only kept ones count. Needs image_id, phash and status;
            near_duplicate_group and colour_grid are used where they are there.
        spec: Thresholds and limits.
        pixels: Most pixels a picture may have.
        blobs: Where the delivered bytes are and the cleaned ones go.
        decisions: Columns image_id, decision (keep, reject), by. Where people disagree, reject stands.
        progress: Called with (what is being done, pictures done, pictures in all).
        checkpoint: Keeps what was found of each picture; the caller discards it when the frame is kept.

    Returns:
        A frame of the contract `cleaned_set`, one row for each accepted row of `raw`.

    Raises:
        WorkerError: when a picture can't be read from or put into the store.
    """
    eyes = _Eyes(spec, blobs, progress, checkpoint or Checkpoint())
    rows = raw.loc[raw["status"] == "accepted", [*CARRIED, "sha256"]].sort_values("image_id", kind="stable", ignore_index=True)
    shas = list(rows["sha256"])
    measured = eyes.look(Measured, partial(measure, max_pixels=pixels), shas, "images measured")
    kept = earlier[earlier["status"] == "kept"].sort_values("image_id", kind="stable").drop_duplicates("image_id")
    base = rows[CARRIED].join(_measures(measured, spec))
    prepared: dict[int, Prepared] = {}
    while True:
        frame = _judge(base, prepared, spec)
        if decisions is not None:
            _decide(frame, decisions)
        _mark_exact_duplicates(frame, kept)
        _mark_near_duplicates(frame, kept, spec.near_duplicate_bits)
        open_ = [position for position in frame.index[frame["status"] != "rejected"] if position not in prepared]
        if not open_:
            return conform(frame.drop(columns=["area_px", "decode_reason"]), CONTRACTS["cleaned_set"])
        task = partial(prepare, how=Preparation(spec.max_side_px, pixels))
        found = eyes.look(Prepared, task, [shas[position] for position in open_], "images cleaned")
        prepared.update(zip(open_, found, strict=True))


class _Eyes:
    """Looks at pictures in bounded children, each once: what a killed run has seen stands in the checkpoint."""

    def __init__(self, spec: Cleaning, blobs: Blobs, progress: Steps | None, checkpoint: Checkpoint) -> None:
        self._spec, self._blobs, self._progress, self._checkpoint = spec, blobs, progress, checkpoint

    def look(self, kind: type[Look], task: Callable[[Blobs, str], Look], shas: Sequence[str], what: str) -> list[Look]:
        """What `task` finds in each blob, in their order."""
        held = self._checkpoint.held
        missing = [sha256 for sha256 in dict.fromkeys(shas) if f"{kind.__name__} {sha256}" not in held]
        done = len(shas) - len(missing)
        limits = {"memory_bytes": self._spec.worker_memory_bytes, "seconds": self._spec.image_seconds}
        results = map_blobs(
            task, missing, self._blobs, workers=self._spec.workers, items_per_message=ITEMS_PER_MESSAGE, **limits  # type: ignore[arg-type]
        )  # fmt: skip
        for index, result in results:
            found = result if isinstance(result, kind) else kind(reason=result.reason)
            self._checkpoint.add(f"{kind.__name__} {missing[index]}", asdict(found))
            if self._progress is not None:
                self._progress(what, done + index + 1, len(shas))
        self._checkpoint.flush()
        return [kind(**held[f"{kind.__name__} {sha256}"]) for sha256 in shas]


def _measures(measured: Sequence[Measured], spec: Cleaning) -> pd.DataFrame:
    """One row a picture: its measures, the size against the drop's median, and the issues."""
    frame = pd.DataFrame(
        {
            "decode_reason": pd.Series([one.reason for one in measured], dtype="object"),
            "phash": pd.Series([one.phash or None for one in measured], dtype="object"),
            "colour_grid": pd.Series([one.colour_grid or None for one in measured], dtype="object"),
            "area_px": np.array([one.sides_px[0] * one.sides_px[1] for one in measured], dtype=np.int64),
        }
    )
    readable = frame["decode_reason"].isna().to_numpy()
    sizes = [shrunk(*one.sides_px, spec.max_side_px) if one.reason is None else (None, None) for one in measured]
    frame["width_px"] = pd.array([width for width, _ in sizes], dtype="Int64")
    frame["height_px"] = pd.array([height for _, height in sizes], dtype="Int64")
    for issue in ISSUES:
        if issue == "odd_size":
            scores = np.full(len(measured), np.nan)
            scores[readable] = calc_odd_size([one.sides_px for one in measured if one.reason is None])
        else:
            scores = np.array([one.scores.get(issue, np.nan) for one in measured], dtype=np.float64)
        frame[f"{issue}_score"] = scores.round(6)
        threshold = spec.thresholds.get(issue, THRESHOLDS[issue])  # type: ignore[call-overload]
        frame[f"is_{issue}"] = pd.array(frame[f"{issue}_score"] < threshold, dtype="boolean")
        frame.loc[~readable, f"is_{issue}"] = pd.NA
    return frame


def _judge(base: pd.DataFrame, prepared: Mapping[int, Prepared], spec: Cleaning) -> pd.DataFrame:
    """Status and reason of each picture by itself; an issue in neither list is recorded and doesn't decide."""
    frame = base.copy()
    nothing = Prepared()
    looks = [prepared.get(position, nothing) for position in frame.index]
    frame["clean_sha256"] = pd.Series([look.clean_sha256 or None for look in looks], dtype="object")
    flags = {issue: frame[f"is_{issue}"].fillna(False).to_numpy(dtype=bool) for issue in ISSUES}
    statuses, reasons = [], []
    for position, code in enumerate(frame["decode_reason"]):
        code = code or looks[position].reason
        raised = [issue for issue in ISSUES if flags[issue][position]]
        deciding = [issue for issue in raised if issue in spec.reject or issue in spec.review]
        rejected = code is not None or any(issue in spec.reject for issue in raised)
        statuses.append("rejected" if rejected else "review" if deciding else "kept")
        reasons.append(code or "|".join(deciding) or None)
    frame["status"] = pd.Series(statuses, dtype="object")
    frame["reason"] = pd.Series(reasons, dtype="object")
    for column in ("duplicate_of", "near_duplicate_group", "decided_by"):
        frame[column] = pd.Series([None] * len(frame), dtype="object")
    return frame


def _decide(frame: pd.DataFrame, decisions: pd.DataFrame) -> None:
    ordered = decisions[decisions["decision"].isin(["keep", "reject"])].sort_values(["image_id", "decision", "by"], kind="stable")
    last = ordered.drop_duplicates("image_id", keep="last").set_index("image_id")  # reject sorts after keep
    decided = (frame["status"] == "review") & frame["image_id"].isin(last.index)
    ids = frame.loc[decided, "image_id"]
    kept = ids.map(last["decision"]) == "keep"
    frame.loc[decided, "status"] = np.where(kept, "kept", "rejected")
    frame.loc[decided, "decided_by"] = ids.map(last["by"])
    frame.loc[kept[kept].index, "reason"] = None


def _mark_exact_duplicates(frame: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Reject what was kept in an earlier drop, byte for byte; inside a drop, the intake has found those."""
    for position in frame.index[frame["image_id"].isin(kept["image_id"]) & frame["decode_reason"].isna()]:
        _reject(frame, position, "exact_duplicate", frame.at[position, "image_id"])


def _mark_near_duplicates(frame: pd.DataFrame, kept: pd.DataFrame, max_bits: int) -> None:
    """Reject pictures nearly the same as a better one, and name their group on all that stay together."""
    usable = frame[frame["status"] != "rejected"]
    usable = usable.sort_values(["status", "area_px", "blurry_score", "image_id"], ascending=[True, False, False, True], kind="stable")
    known = kept[kept["phash"].notna()]
    ids = [*known["image_id"], *usable["image_id"]]
    groups = [*_column(known, "near_duplicate_group"), *([None] * len(usable))]
    hashes = np.array([int(text, 16) for text in [*known["phash"], *usable["phash"]]], dtype=np.uint64)
    grids = [bytes.fromhex(text) if text else None for text in [*_column(known, "colour_grid"), *usable["colour_grid"]]]
    pairs = same_colours(near_duplicates(hashes, max_bits), grids)
    leaders = lead(pairs, len(hashes), settled=len(known))
    for place, position in enumerate(usable.index, start=len(known)):
        winner = int(leaders[place])
        if winner == place:
            continue
        group = groups[winner] or ids[winner]
        _reject(frame, position, "near_duplicate", ids[winner])
        frame.at[position, "near_duplicate_group"] = group
        if winner >= len(known):
            frame.at[usable.index[winner - len(known)], "near_duplicate_group"] = group


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    """Values of a column that a frame of an earlier drop may lack."""
    return [value if isinstance(value, str) else None for value in frame[name]] if name in frame else [None] * len(frame)


def _reject(frame: pd.DataFrame, position: int, reason: str, winner: Any) -> None:
    for column, value in (("status", "rejected"), ("reason", reason), ("duplicate_of", winner), ("decided_by", None)):
        frame.at[position, column] = value
