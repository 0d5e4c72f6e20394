"""Which pictures of a drop are usable and unique, and why the others aren't."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.apart import Apart
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.contracts import CONTRACTS, DECIDED, ISSUES, QUALITY_ISSUES, RELEVANCE_ISSUES
from dataops_assets.imaging import measures, relevance
from dataops_assets.imaging.decode import shrunk
from dataops_assets.imaging.likeness import Compared, rows_of
from dataops_assets.imaging.measures import calc_odd_size
from dataops_assets.imaging.relevance import disagrees, neighbours, outliers, score
from dataops_assets.imaging.screening import Measured, Preparation, Prepared, prepare
from dataops_assets.manifest import conform
from dataops_assets.spec import Cleaning
from dataops_assets.stages.copies import (
    NOT_DRAWN,
    REFUSED,
    Taken,
    find_taken,
    follow_refused,
    give_way,
    is_refused,
    mark_exact_duplicates,
    mark_near_duplicates,
)  # fmt: skip
from dataops_assets.stages.decided import decide, settled_by
from dataops_assets.stages.lasting import searched
from dataops_assets.stages.looking import Eyes, Steps
from dataops_assets.stages.marked import Scores, measure_drop, watermark_scores

CARRIED = ["image_id", "drop_id", "vendor", "path", "category", "group_id"]
COMPARED = ["image_id", "phash", "colour_grid", "area_px", "blurry_score", "decode_reason"]  # by these pictures of a drop are compared
NOTHING = Prepared()
VERDICT = ["status", "reason", "duplicate_of", "near_duplicate_group", *DECIDED]
OF_DROP = ("odd_size", "watermark")  # measured beside the rest of the drop


def screen(
    raw: pd.DataFrame,
    earlier: pd.DataFrame,
    spec: Cleaning,
    pixels: int,
    apart: Apart,
    decisions: pd.DataFrame | None = None,
    lasting: pd.DataFrame | None = None,
    compared: Compared | None = None,
    progress: Steps | None = None,
    checkpoint: Checkpoint | None = None,
    taken: Taken | None = None,
    workers: Callable[[], int] | None = None,
    may_look: bool = True,
    missing: Mapping[str, str] | None = None,
    refused: pd.DataFrame | None = None,
    before: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Screen the accepted pictures of one drop: each comes out as kept, rejected or waiting for review.

    Every picture is measured on one small decode. Those that no measure rejects and that are no duplicates are then prepared: decoded as
    large as the cleaned picture will be, and written anew. The reason is, in this order: the code for which a picture can't be decoded; the
    issues below their threshold and the kinds of personal data, joined by `|`; `exact_duplicate`; `near_duplicate`. What a person decided
    on a picture in review stands; a refusal also when no measure finds fault with it any more. Near duplicates show the same shapes in the
    same colours; the one of the earlier drop wins, inside the drop a kept one before one in review, then the larger, the sharper, the
    lower id. Where a winner can't be used after all, the next one takes its place. A picture that is kept only now, because a person said
    so, gives way to its copy in a later drop, which is in use already. What shows the same as a picture that a person refused for what it
    shows of people is refused with it (`near_refused`), unless a person decided about it too. The same input gives the same frame.

    Args:
        raw: `raw_images` of one drop; rows not `accepted` are passed over.
        earlier: `cleaned_set` rows of drops screened earlier; only kept ones count. Needs image_id, phash and status;
            near_duplicate_group and colour_grid are used where they are there.
        spec: Thresholds and limits.
        pixels: Most pixels a picture may have.
        apart: Where the delivered bytes are and the cleaned ones go.
        decisions: Columns image_id, decision (keep, redact, reject), by, perhaps at, answered_by (pseudonyms), answered_at and asked:
            the reasons that people knew of, joined by |. Where people disagree, the more careful answer stands; for a reason that nobody
            was asked about a picture stays in review.
        lasting: Rows of an earlier screening of this drop that stand as they are: nobody can look at these pictures again.
        compared: Reference pictures; None: relevance isn't looked at.
        progress: Called with (what is being done, pictures done, pictures in all).
        checkpoint: Keeps what was found of each picture; the caller discards it when the frame is kept.
        taken: What later drops hold; None: there are none.
        workers: How many pictures may be looked at together, asked again and again; None: what the spec says.
        may_look: Whether to look at pictures; if not, the checkpoint has to hold what is to be known of them.
        missing: image_id -> what a lasting picture wasn't searched for, joined by |: its cleaned file is.
        refused: Pictures of other drops that people refused for what they show of people, with the columns `copies.REFUSED`.
        before: The drop's rows in use. What they say of a picture beside the rest of the drop stands once pictures of it are deleted.

    Returns:
        A frame of the contract `cleaned_set`, one row for each accepted row of `raw`.

    Raises:
        WorkerError: when a picture can't be read from or put into the store.
        Unseen: when there is a picture to look at and one may not.
    """
    eyes = Eyes(spec, apart, progress, checkpoint or Checkpoint(), workers, may_look)
    rows = raw.loc[raw["status"] == "accepted", [*CARRIED, "sha256"]]
    personal = spec.personal_data
    how = Preparation(spec.max_side_px, pixels, personal.look_for, personal.actions, personal.cover, personal.phone_regions)
    refused = refused[REFUSED] if refused is not None else pd.DataFrame(columns=REFUSED, dtype="object")
    if lasting is not None:
        lasting = searched(lasting, missing or {}, eyes.look, how)
        refused = pd.concat([refused, lasting.loc[is_refused(lasting), REFUSED]])
        follow_refused(lasting, refused, spec)
        rows = rows[~rows["image_id"].isin(lasting["image_id"])]
    rows = rows.sort_values("image_id", kind="stable", ignore_index=True)
    ids, shas = list(rows["image_id"]), list(rows["sha256"])
    measured, marks = measure_drop(shas, eyes, pixels)
    marked = watermark_scores(shas, measured, marks, eyes.look, pixels)
    is_whole = (lasting is None or lasting.empty) and all(one.reason != "PURGED" for one in measured)
    known = before.set_index("image_id").reindex(rows["image_id"]) if before is not None and not is_whole else None
    base = rows[CARRIED].join(_measures(measured, marked, spec, known))
    settled = settled_by(decisions)
    asked = settled["asked"].where(settled["asked"].notna(), "")
    decided = dict(zip(settled.index, zip(settled["decision"], asked, strict=True), strict=True))
    ahead = 0  # followers to prepare beside a leader: where many copies fall one after the other, twice as many each time
    how = replace(how, model=compared.model) if compared is not None else how
    prepared: dict[int, Prepared] = {}
    late: list[tuple[int, str, str]] = []  # position, the picture of a later drop that shows the same, its group
    careful = settled.index[settled["decision"] != "keep"]

    def clean(positions: Sequence[int]) -> None:
        items = [(shas[position], *decided.get(ids[position], ("", ""))) for position in positions]
        found = eyes.look(Prepared, partial(prepare, how=how), items, "images cleaned")
        prepared.update(zip(positions, found, strict=True))

    while True:
        looks = [prepared.get(position, NOTHING) for position in base.index]
        findings = _findings(base, looks, spec, compared)
        frame = _judge(base, looks, findings, spec)
        decide(frame, settled, prepared)
        unseen = [position for position in frame.index[frame["image_id"].isin(careful) & (frame["status"] != "rejected")]
                  if position not in prepared]  # fmt: skip
        if unseen:  # a refusal counts, also of what would be a copy: what shows the same goes with it
            clean(unseen)
            continue
        own = frame.loc[is_refused(frame), REFUSED]
        follow_refused(frame, pd.concat([refused, own]), spec)
        if lasting is not None:
            follow_refused(lasting, own, spec)  # before others would give way to one that goes too
        kept = _kept(earlier, lasting)
        give_way(frame, late)
        mark_exact_duplicates(frame, kept)
        mark_near_duplicates(frame, kept, spec)
        more = find_taken(frame, taken, spec) if taken is not None and len(taken.rows) else []
        if more:
            late += more
            continue
        open_ = [position for position in frame.index[frame["status"] != "rejected"] if position not in prepared]
        if not open_:
            columns = pd.concat([base.drop(columns=["area_px", "decode_reason"]), findings, frame[VERDICT]], axis=1)
            frame = conform(columns, CONTRACTS["cleaned_set"])
            if lasting is None or lasting.empty:
                return frame
            return conform(pd.concat([frame, lasting], ignore_index=True), CONTRACTS["cleaned_set"])
        open_ += _next_in_line(frame, open_, prepared, ahead)
        ahead = 2 * ahead + 1
        clean(open_)


def _kept(earlier: pd.DataFrame, lasting: pd.DataFrame | None) -> pd.DataFrame:
    """What pictures of a drop give way to: what earlier drops keep, and the drop itself of those that nobody can look at again."""
    rows = [earlier] if lasting is None else [earlier, lasting]
    found = [kept for kept in (one[one["status"] == "kept"] for one in rows) if len(kept)]
    kept = pd.concat(found, ignore_index=True) if found else earlier.head(0)
    return kept.sort_values("image_id", kind="stable").drop_duplicates("image_id")


def confidential(frame: pd.DataFrame, earlier: pd.DataFrame, spec: Cleaning) -> list[str]:
    """Originals of a drop that aren't for everybody's sight, by image_id.

    They show what the policy doesn't simply keep, or are duplicates of such pictures; a person saw something in them that couldn't be
    covered, or refused a picture that shows the same; or they were left out before anybody searched them, so that nobody knows what they
    show: by a measure, as a near duplicate (the other one was searched, but this one's metadata and edges are its own), or as no picture
    that we can open.

    Args:
        frame: `cleaned_set` rows of the drop.
        earlier: Those of the drops it was compared with, later ones that it gave way to too.
        spec: The policy.
    """
    kinds = {kind for kind, action in spec.personal_data.actions.items() if action != "keep"}
    known = pd.concat([rows[["image_id", "personal_data"]] for rows in (frame, earlier)])
    shown = set(known.loc[known["personal_data"].fillna("").str.split("|").map(kinds.intersection).map(bool), "image_id"])
    seen = frame["image_id"].isin(shown) | frame["duplicate_of"].isin(shown) | frame["reason"].isin(NOT_DRAWN)
    if spec.personal_data.look_for:
        is_known = is_searched(frame) | (frame["reason"] == "exact_duplicate")  # with the drop that keeps the same bytes
        is_known |= frame["image_id"].isin(frame["clean_sha256"].dropna())  # a cleaned file of ours, delivered
        # what waited for a person was searched then
        seen |= (frame["status"] == "rejected") & ~is_known & frame["decided_by"].isna()
    return list(frame.loc[seen, "image_id"])


def is_searched(frame: pd.DataFrame) -> pd.Series:
    """Which pictures were prepared, and so searched for what the policy looks for."""
    return frame[["clean_sha256", "personal_data", "faces", "text_regions"]].notna().any(axis=1)


def _measures(measured: Sequence[Measured], marked: Scores, spec: Cleaning, known: pd.DataFrame | None) -> pd.DataFrame:
    """One row a picture: its measures, the size against the drop's median, the mark it shares with others, and the issues.

    The last two are taken from `known`, row by row, where it has them: they were measured when there was more of the drop.
    """
    readable = np.array([one.reason is None for one in measured], dtype=bool)
    sizes = [shrunk(*one.sides_px, spec.max_side_px) if one.reason is None else (None, None) for one in measured]
    columns: dict[str, Any] = {  # given one by one they would take half as long again
        "decode_reason": _texts(one.reason or "" for one in measured),
        "phash": _texts(one.phash for one in measured),
        "colour_grid": _texts(one.colour_grid for one in measured),
        "area_px": np.array([one.sides_px[0] * one.sides_px[1] for one in measured], dtype=np.int64),
        "width_px": pd.array([width for width, _ in sizes], dtype="Int64"),
        "height_px": pd.array([height for _, height in sizes], dtype="Int64"),
    }
    for issue in QUALITY_ISSUES:
        if issue == "odd_size":
            scores = np.full(len(measured), np.nan)
            scores[readable] = calc_odd_size([one.sides_px for one in measured if one.reason is None])
        elif issue == "watermark":
            scores = marked
        else:
            scores = np.array([one.scores.get(issue, np.nan) for one in measured], dtype=np.float64)
        if issue in OF_DROP and known is not None:
            held = known[f"{issue}_score"].to_numpy(dtype=np.float64, na_value=np.nan)
            scores = np.where(readable & ~np.isnan(held), held, scores)
        columns |= _scored(issue, scores, ~np.isnan(scores), spec)
    return pd.DataFrame(columns)


def _scored(issue: str, scores: np.ndarray[Any, Any], known: np.ndarray[Any, Any], spec: Cleaning) -> dict[str, Any]:
    """The columns of one issue: its score, and whether it is raised, null where nothing is known."""
    rounded = scores.round(6)
    return {f"{issue}_score": rounded, f"is_{issue}": pd.arrays.BooleanArray(rounded < limits(spec)[issue], ~known)}


def _findings(base: pd.DataFrame, looks: Sequence[Prepared], spec: Cleaning, compared: Compared | None) -> pd.DataFrame:
    """One row a picture: its cleaned file, and what was found in it."""
    columns = {
        "clean_sha256": _texts(look.clean_sha256 for look in looks),
        "faces": pd.array([look.faces for look in looks], dtype="Int64"),
        "text_regions": pd.array([look.text_regions for look in looks], dtype="Int64"),
        "personal_data": _texts("|".join(look.found) for look in looks),
        "open_personal_data": _texts("|".join(look.open) for look in looks),
        "regions": _texts(json.dumps(look.regions) if look.regions else "" for look in looks),
        **_compare(base, looks, spec, compared),
    }
    return pd.DataFrame(columns, index=base.index)


def _judge(base: pd.DataFrame, looks: Sequence[Prepared], findings: pd.DataFrame, spec: Cleaning) -> pd.DataFrame:
    """Columns COMPARED and VERDICT: status and reason of each picture by itself, the other columns of the verdict empty.

    An issue that the spec neither rejects nor reviews is recorded and doesn't decide.
    """
    actions: dict[str, str] = {**dict.fromkeys(spec.review, "review"), **dict.fromkeys(spec.reject, "reject")}
    actions |= spec.personal_data.actions
    flagged = {issue: (base if issue in QUALITY_ISSUES else findings)[f"is_{issue}"] for issue in ISSUES if issue in actions}
    raised = {issue: flags.to_numpy(dtype=bool, na_value=False) for issue, flags in flagged.items()}
    codes = [code or look.reason for code, look in zip(base["decode_reason"], looks, strict=True)]
    statuses, reasons = np.full(len(base), "kept", dtype=object), np.full(len(base), None, dtype=object)
    is_odd = np.array([code is not None or len(look.found) > 0 for code, look in zip(codes, looks, strict=True)], dtype=bool)
    for flags in raised.values():
        is_odd |= flags
    for position in np.flatnonzero(is_odd).tolist():  # most pictures are in order
        found = [*(issue for issue, flags in raised.items() if flags[position]), *looks[position].found]
        deciding = [issue for issue in found if actions.get(issue) in ("reject", "review")]
        rejected = codes[position] is not None or any(actions[issue] == "reject" for issue in deciding)
        statuses[position] = "rejected" if rejected else "review" if deciding else "kept"
        reasons[position] = codes[position] or "|".join(deciding) or None
    empty = {name: np.full(len(base), None, dtype=object) for name in VERDICT}
    return pd.DataFrame({**base[COMPARED], **empty, "status": statuses, "reason": reasons}, index=base.index)


def _compare(base: pd.DataFrame, looks: Sequence[Prepared], spec: Cleaning, compared: Compared | None) -> dict[str, Any]:
    """Columns that tell likeness to the reference pictures and to the rest of the drop."""
    scores = {issue: np.full(len(base), np.nan) for issue in RELEVANCE_ISSUES}
    nearest, suggested = np.full(len(base), None, dtype=object), np.full(len(base), None, dtype=object)
    places = [place for place, look in enumerate(looks) if look.embedding]
    if compared is not None and places:
        references = compared.references
        rows = rows_of([looks[place].embedding for place in places])
        found = score(rows, references)
        near = neighbours(rows, references.embeddings)
        classes = np.repeat(np.array(references.classes, dtype=object), np.diff(references.starts))
        doubt = disagrees(near, [*base["category"].iloc[places], *classes])
        scores["irrelevant"][places], scores["outlier"][places], scores["mislabelled"][places] = found.score, outliers(near), doubt.score
        nearest[places], suggested[places] = found.nearest, doubt.suggested
    columns: dict[str, Any] = {}
    for issue, values in scores.items():
        columns |= _scored(issue, values, ~np.isnan(values), spec)
    suggested[~columns["is_mislabelled"].to_numpy(dtype=bool, na_value=False)] = None
    return {"nearest_category": nearest, "suggested_category": suggested, **columns}


def limits(spec: Cleaning) -> dict[str, float]:
    """Issue -> the score below which it is raised."""
    return {**measures.THRESHOLDS, **relevance.THRESHOLDS, **dict(spec.thresholds.items())}


def _texts(values: Iterable[str]) -> pd.Series:
    return pd.Series([value or None for value in values], dtype="object")


def _next_in_line(frame: pd.DataFrame, leaders: Sequence[int], prepared: Mapping[int, Prepared], ahead: int) -> list[int]:
    """Positions of the first `ahead` followers of each leader that aren't prepared yet: one of them may have to take its place."""
    if not ahead:
        return []
    fallen = frame["image_id"][frame.index.isin(leaders)]
    followers = frame[frame["duplicate_of"].isin(fallen) & ~frame.index.isin(list(prepared))]
    return [int(place) for place in followers.groupby("duplicate_of").head(ahead).index]
