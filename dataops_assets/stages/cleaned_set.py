"""Which pictures of a drop are usable and unique, and why the others aren't."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS, ISSUES
from dataops_assets.imaging.duplicates import lead, near_duplicates, same_colours
from dataops_assets.imaging.measures import THRESHOLDS, calc_odd_size
from dataops_assets.imaging.screening import Examined, examine
from dataops_assets.imaging.workers import map_blobs
from dataops_assets.manifest import conform
from dataops_assets.spec import Cleaning

CARRIED = ["image_id", "drop_id", "vendor", "path", "category", "group_id"]


def screen(
    raw: pd.DataFrame,
    earlier: pd.DataFrame,
    spec: Cleaning,
    pixels: int,
    blobs: Blobs,
    decisions: pd.DataFrame | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Screen the accepted pictures of one drop: each comes out as kept, rejected or waiting for review.

    The reason is, in this order: the code for which a picture can't be decoded; `exact_duplicate`; the issues below their
    threshold, joined by `|`; `near_duplicate`. What a person decided on a picture in review stands. Near duplicates show
    the same shapes in the same colours; the one of the earlier drop wins, inside the drop a kept one before one in
    review, then the larger, the sharper, the lower id. Cleaned pictures are put in the blob store. The same input gives
    the same frame.

    Args:
        raw: `raw_images` of one drop; rows not `accepted` are passed over.
        earlier: `cleaned_set` rows of drops screened earlier; only kept ones count. Needs image_id, phash and status;
            near_duplicate_group, clean_sha256 and colour_grid are used where they are there.
        spec: Thresholds and limits.
        pixels: Most pixels a picture may have.
        blobs: Where the delivered bytes are and the cleaned ones go.
        decisions: Columns image_id, decision (keep, reject), by. Where people disagree, reject stands.
        progress: Called with (pictures done, pictures in all).

    Returns:
        A frame of the contract `cleaned_set`, one row for each accepted row of `raw`.

    Raises:
        WorkerError: when a picture can't be read from or put into the store.
    """
    rows = raw.loc[raw["status"] == "accepted", [*CARRIED, "sha256"]].sort_values("image_id", kind="stable", ignore_index=True)
    examined = _examine(list(rows["sha256"]), spec, pixels, blobs, progress)
    frame = rows[CARRIED].join(_measures(examined, spec))
    _judge(frame, spec)
    if decisions is not None:
        _decide(frame, decisions)
    kept = earlier[earlier["status"] == "kept"].sort_values("image_id", kind="stable").drop_duplicates("image_id")
    _mark_exact_duplicates(frame, kept)
    _mark_near_duplicates(frame, kept, np.array([one.sides_px[0] * one.sides_px[1] for one in examined]), spec.near_duplicate_bits)
    return conform(frame, CONTRACTS["cleaned_set"])


def _examine(shas: list[str], spec: Cleaning, pixels: int, blobs: Blobs, progress: Callable[[int, int], None] | None) -> list[Examined]:
    task = partial(examine, max_side_px=spec.max_side_px, max_pixels=pixels)
    limits = {"memory_bytes": spec.worker_memory_bytes, "seconds": spec.image_seconds}
    examined = []
    for index, result in map_blobs(task, shas, blobs, workers=spec.workers, **limits):  # type: ignore[arg-type]
        examined.append(result if isinstance(result, Examined) else Examined(reason=result.reason))
        if progress is not None:
            progress(index + 1, len(shas))
    return examined


def _measures(examined: list[Examined], spec: Cleaning) -> pd.DataFrame:
    """One row a picture: what the worker found, the size against the drop's median, and the issues."""
    frame = pd.DataFrame(
        {
            "decode_reason": pd.Series([one.reason for one in examined], dtype="object"),
            "clean_sha256": pd.Series([one.clean_sha256 or None for one in examined], dtype="object"),
            "phash": pd.Series([f"{one.phash:016x}" if one.reason is None else None for one in examined], dtype="object"),
            "colour_grid": pd.Series([one.colour_grid.hex() or None for one in examined], dtype="object"),
            "width_px": pd.array([one.width_px or None for one in examined], dtype="Int64"),
            "height_px": pd.array([one.height_px or None for one in examined], dtype="Int64"),
        }
    )
    readable = frame["decode_reason"].isna().to_numpy()
    for issue in ISSUES:
        if issue == "odd_size":
            scores = np.full(len(examined), np.nan)
            scores[readable] = calc_odd_size([one.sides_px for one in examined if one.reason is None])
        else:
            scores = np.array([one.scores.get(issue, np.nan) for one in examined], dtype=np.float64)
        frame[f"{issue}_score"] = scores.round(6)
        threshold = spec.thresholds.get(issue, THRESHOLDS[issue])  # type: ignore[call-overload]
        frame[f"is_{issue}"] = pd.array(frame[f"{issue}_score"] < threshold, dtype="boolean")
        frame.loc[~readable, f"is_{issue}"] = pd.NA
    return frame


def _judge(frame: pd.DataFrame, spec: Cleaning) -> None:
    """Status and reason by decoding and issues alone; an issue in neither list is recorded and doesn't decide."""
    statuses, reasons = [], []
    flags = {issue: frame[f"is_{issue}"].fillna(False).to_numpy(dtype=bool) for issue in ISSUES}
    for position, code in enumerate(frame.pop("decode_reason")):
        raised = [issue for issue in ISSUES if flags[issue][position]]
        deciding = [issue for issue in raised if issue in spec.reject or issue in spec.review]
        rejected = code is not None or any(issue in spec.reject for issue in raised)
        statuses.append("rejected" if rejected else "review" if deciding else "kept")
        reasons.append(code or "|".join(deciding) or None)
    frame["status"] = pd.Series(statuses, dtype="object")
    frame["reason"] = pd.Series(reasons, dtype="object")
    for column in ("duplicate_of", "near_duplicate_group", "decided_by"):
        frame[column] = pd.Series([None] * len(frame), dtype="object")


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
    """Reject what was kept in an earlier drop, byte for byte or pixel for pixel, and pixel twins inside the drop."""
    by_pixels = dict(zip(kept["clean_sha256"], kept["image_id"], strict=True)) if "clean_sha256" in kept else {}
    known = set(kept["image_id"])
    preference = frame["status"].map({"kept": 0, "review": 1, "rejected": 2})
    for position in preference.sort_values(kind="stable").index:
        image_id, sha256 = frame.at[position, "image_id"], frame.at[position, "clean_sha256"]
        if sha256 is None:
            continue
        winner = image_id if image_id in known else by_pixels.get(sha256)
        if winner is not None:
            _reject(frame, position, "exact_duplicate", winner)
        elif preference[position] < 2:
            by_pixels[sha256] = image_id


def _mark_near_duplicates(frame: pd.DataFrame, kept: pd.DataFrame, areas: np.ndarray, max_bits: int) -> None:
    """Reject pictures nearly the same as a better one, and name their group on all that stay together."""
    usable = frame[frame["status"] != "rejected"].assign(area=areas[frame["status"] != "rejected"])
    usable = usable.sort_values(["status", "area", "blurry_score", "image_id"], ascending=[True, False, False, True], kind="stable")
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
