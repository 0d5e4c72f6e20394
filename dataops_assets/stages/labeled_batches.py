"""Every row that came back for a batch, accepted or rejected with a reason.

Rejections (one code a row, the first that applies):

| code | when |
|---|---|
| UNKNOWN_ITEM | the item was not sent out in this batch, or not to the vendor whose folder the file lay in |
| SCHEMA | cells missing or too many, no annotator, an attribute that wasn't asked for this item, no usable number, a rotated box |
| SCHEMA | a box on a picture that the file says has another size than the one sent out; a shape that is no box |
| UNKNOWN_LABEL | not a value of the attribute nor a synonym of one; an empty label; `cant_tell` beside a value |
| NOT_FINITE, OUT_OF_BOUNDS | coordinates that are no numbers, leave the picture by more than a pixel, or are smaller than one |
| BAD_TIME, CLOCK_SKEW | `submitted_at` is no ISO 8601 time, `seconds` is negative; submitted after we first saw the file |
| DUPLICATE_CONTENT | the same worker gave the same answer before |
| LABEL_CONFLICT | the same worker answered otherwise later; or twice at the same or an unknown time: then none of them counts; \
or answered a question that its answer to another one rules out (`when`) |
| NO_ROWS | a picture that was skipped, or cancelled, or holds no answer |
| ENCODING, TOO_DEEP, XML_FORBIDDEN, TOO_LARGE, NO_ROWS, SCHEMA, NOT_FINITE, or a zip's own | the whole file, as one row |
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import pseudonym
from dataops_assets.labels import changes, dependent, returned, tables
from dataops_assets.labels.questions import NO_OBJECT, questions
from dataops_assets.ontology import CANT_TELL, Attribute
from dataops_assets.spec import ProjectSpec

CLOCK_TOLERANCE = timedelta(minutes=5)
EDGE_PX = 1.0  # drawing tools round; beyond this a box is wrong, up to it it is cut
UNNAMED_PREFIX = "w-" + "0" * 8  # of a worker who stands for all whom a vendor's files don't name
MIN_PX = 1.0  # a box smaller than a pixel both ways is no object: most likely shares of the sides where pixels are asked for
_SIDES = ("x", "y", "w", "h")


def accept(
    files: Sequence[tuple[str, str, bytes | None]],
    tasks: pd.DataFrame,
    spec: ProjectSpec,
    key: bytes,
    first_seen: Mapping[tuple[str, str], datetime] | None = None,
) -> pd.DataFrame:
    """Judge every row of the files returned for one batch. Nothing a vendor sends raises.

    Args:
        files: (vendor whose folder it lay in, path below it, bytes, or None where it is too large to be read). A vendor's content
            twice counts once; completion markers and hidden files are no returns. How files belong together: `labels/returned.py`.
        tasks: `label_tasks` rows of the batch.
        spec: The project.
        key: Secret behind the workers' pseudonyms; the names themselves are in nothing that is returned.
        first_seen: When each file was first seen, by vendor and sha256; answers dated later are CLOCK_SKEW. Of a file that isn't in
            it no answer is.

    Returns:
        `labeled_batches` rows: as many as the files have rows, plus one for each file refused as a whole, and one for each picture
        that says by having no box that there is none, where boxes were asked for.
    """
    batch_id = str(tasks["batch_id"].iloc[0])
    asked = questions(spec, list(tasks["attributes"].unique()))
    sizes = _sizes(tasks)
    parts: list[pd.DataFrame] = []
    received: list[datetime | None] = []
    seen: set[tuple[str, str]] = set()
    own = str(tasks["vendor"].iloc[0])
    for vendor, group in itertools.groupby(sorted(files), key=lambda file: file[0]):
        for document in returned.documents((name, data) for _, name, data in group):
            key_ = document.key
            if (vendor, key_) in seen:
                continue
            seen.add((vendor, key_))
            if vendor != own:  # a copy in another vendor's folder has row ids of its own
                key_ = hashlib.sha256(f"{vendor}/{key_}".encode()).hexdigest()
            part = returned.read(document, sizes, asked)
            part["file"] = _pseudonymise(part, vendor, document.name, key)
            part["file_sha256"], part["vendor"], part["order"], part["document"] = document.sha256, vendor, len(parts), key_[:12]
            parts.append(part)
            received.append((first_seen or {}).get((vendor, document.sha256)))
    if not parts:
        return manifest.empty("labeled_batches")
    rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    parts.clear()
    rows = _settle_implied(rows, tasks.reset_index(drop=True))
    version = str(tasks["ontology_version"].iloc[0])
    former = {attribute.name: changes.former(spec.ontology, attribute.name) for attribute in asked if version != spec.ontology.version}
    latest = pd.to_datetime(pd.Series(received, dtype="object"), utc=True) + CLOCK_TOLERANCE
    rows = _judge(rows, tasks.reset_index(drop=True), asked, former, latest)
    rows["row_id"] = [f"{name}:{row}:{part}" for name, row, part in zip(rows["document"], rows["row"], rows["part"], strict=True)]
    rows["status"] = np.where(rows["reason"] == "", "accepted", "rejected")
    rows["is_superseded"] |= _stood_for(rows)
    rows["batch_id"] = batch_id
    rows["ontology_version"] = version
    contract = CONTRACTS["labeled_batches"]
    for column in ("file_sha256", "item_id", "attribute", "worker_id", "label"):
        rows[column] = rows[column].where(rows[column] != "", None)
    for column in set(rows.columns) - contract.columns.keys():
        del rows[column]  # in place: a copy of a million rows is dear
    return manifest.conform(rows, contract)


def _sizes(tasks: pd.DataFrame) -> dict[str, tuple[int, int]]:
    known = tasks.dropna(subset=["width_px", "height_px"])
    return {item: (int(w), int(h)) for item, w, h in zip(known["task_id"], known["width_px"], known["height_px"], strict=True)}


def alias(key: bytes, vendor: str, worker: str) -> str:
    """Pseudonym of a worker; "" for none, and one that can be told as such for those that the format doesn't name."""
    made = pseudonym(key, vendor, worker) if worker else ""
    return UNNAMED_PREFIX + made[-8:] if worker == tables.UNNAMED else made


def shown(name: str, vendor: str, key: bytes) -> str:
    """A returned file's path, with pseudonyms for the annotators that it names as such."""
    return returned.without_annotators(name, lambda worker: alias(key, vendor, worker))


def _pseudonymise(rows: pd.DataFrame, vendor: str, name: str, key: bytes) -> str:
    """Replace `annotator` by `worker_id`, in place; returns the file's name without annotators in it."""
    codes, names = pd.factorize(rows["annotator"])
    made = np.array([alias(key, vendor, worker) for worker in names], dtype="object")
    name = shown(name, vendor, key)
    bare = name.lower()
    for worker, other in zip(names, made, strict=True):
        if len(worker) > 2 and worker.lower() in bare:
            name = re.sub(re.escape(worker), other, name, flags=re.IGNORECASE)
    rows["worker_id"] = made[codes]
    secret = {worker for worker in names if worker}
    for column in ("item_id", "attribute", "label"):
        codes, texts = pd.factorize(rows[column])
        rows[column] = np.array([_harmless(text, secret) for text in texts], dtype="object")[codes]
    del rows["annotator"]
    return _printable(name)


def _harmless(text: str, secret: set[str]) -> str:
    """Text a table may hold; what may name a person, or is no plain word, becomes a digest of itself."""
    if len(text) <= 256 and "@" not in text and text not in secret and text.isprintable():
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _printable(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:256]


def _settle_implied(rows: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Rows that only follow from a picture's having no box become answers where its task asks for boxes.

    Elsewhere they go; one stays as NO_ROWS where an answer would have no row left.
    """
    implied = (rows["fault"] == tables.IMPLIED).to_numpy()
    if not implied.any():
        return rows
    place = pd.Index(tasks["task_id"]).get_indexer(pd.Index(rows["item_id"]))
    rows.loc[implied, "fault"] = ""
    needless = implied & ~_is_asked(rows["attribute"], tasks["attributes"], place)
    answer = ["order", "row", "answer"]
    unsaid = pd.Series(needless).groupby([rows[name] for name in answer]).transform("all") & ~rows.duplicated(answer)
    rows.loc[unsaid, ["attribute", "label", "fault"]] = ["", "", "NO_ROWS"]
    kept: pd.DataFrame = rows[~needless | unsaid].reset_index(drop=True)
    return kept


def _judge(
    rows: pd.DataFrame, tasks: pd.DataFrame, asked: list[Attribute], former: Mapping[str, set[str]], latest: pd.Series
) -> pd.DataFrame:
    """Fill task_id, image_id, typed values and `reason` ("" is accepted).

    `former` are values that an earlier version had: the batch may have been asked under it. `latest` is the time after which an answer
    of a document, by its `order`, can't have been given.
    """
    reason = rows.pop("fault").to_numpy(dtype="object", copy=True)

    def mark(where: np.ndarray, code: str) -> None:
        reason[where & (reason == "")] = code

    place = pd.Index(tasks["task_id"]).get_indexer(pd.Index(rows["item_id"]))
    known = place >= 0
    known[known] = tasks["vendor"].to_numpy()[place[known]] == rows["vendor"].to_numpy()[known]
    for column in ("task_id", "image_id"):
        rows[column] = pd.Series(np.where(known, tasks[column].to_numpy(dtype="object")[place], None), index=rows.index)
    mark(~known, "UNKNOWN_ITEM")
    sole = np.array(["" if "|" in joined else joined for joined in tasks["attributes"]], dtype="object")
    unnamed = (rows["attribute"] == "").to_numpy() & known
    rows.loc[unnamed, "attribute"] = list(sole[place[unnamed]])
    mark(~_is_asked(rows["attribute"], tasks["attributes"], place), "SCHEMA")
    mark((rows["worker_id"] == "").to_numpy(), "SCHEMA")

    is_box = np.zeros(len(rows), dtype=bool)
    rows["given"] = pd.Series(None, index=rows.index, dtype="object")
    for attribute in asked:
        of_it = (rows["attribute"] == attribute.name).to_numpy()
        is_box |= of_it & (attribute.kind == "box")
        codes, texts = pd.factorize(rows["label"].to_numpy()[of_it])
        usable = [_label(text, attribute, former.get(attribute.name, set())) for text in texts]
        labels = np.array([text if label is None else label for text, label in zip(texts, usable, strict=True)], dtype="object")
        meant = np.array([text if _is_synonym(text, label) else None for text, label in zip(texts, usable, strict=True)], dtype="object")
        rows.loc[of_it, "label"] = labels[codes] if len(codes) else []
        rows.loc[of_it, "given"] = meant[codes] if len(codes) else []
        bad = of_it.copy()
        bad[of_it] = np.array([label is None for label in usable], dtype=bool)[codes] if len(codes) else False
        mark(bad, "UNKNOWN_LABEL")

    has_corners = is_box & ~((rows["label"] == NO_OBJECT) & (rows["x"] == "")).to_numpy()
    numbers = {name: _numbers(rows[name]) for name in tables.NUMBERS}
    for name in _SIDES:
        _, missing, wild, wrong = numbers[name]
        mark(has_corners & wild, "NOT_FINITE")
        mark(has_corners & (missing | wrong), "SCHEMA")
    outside = has_corners & ~_clip(rows, {name: numbers[name][0] for name in _SIDES}, tasks, place, has_corners)
    mark(outside, "OUT_OF_BOUNDS")
    seconds, _, wild, wrong = numbers["seconds"]
    mark(wild, "NOT_FINITE")
    mark(wrong | (seconds < 0), "BAD_TIME")
    rows["seconds"] = np.where(wild | wrong, np.nan, seconds)
    _share_time(rows)
    times, bad_time = _times(rows["submitted_at"])
    rows["submitted_at"] = times
    mark(bad_time, "BAD_TIME")
    mark((rows["submitted_at"] > latest.take(rows["order"].to_numpy()).set_axis(rows.index)).to_numpy(), "CLOCK_SKEW")
    rows["reason"] = pd.Series(reason, index=rows.index)
    _mark_repeats(rows, is_box)
    _mark_left_out(rows, tasks, asked)
    return rows


def _share_time(rows: pd.DataFrame) -> None:
    """Make `seconds` the time of an answer: what was submitted together was timed together, and its questions share the time."""
    together = ["order", "row", "answer"]
    shared = rows.duplicated(together, keep=False)
    if shared.any():
        rows.loc[shared, "seconds"] /= rows[shared].groupby(together)["attribute"].transform("nunique")


def _is_asked(attribute: pd.Series, wanted: pd.Series, place: np.ndarray) -> np.ndarray:
    """Whether each row's attribute is among those its task asks; unknown tasks: True, they have their reason."""
    kinds, lists = pd.factorize(wanted)
    codes, names = pd.factorize(attribute)
    table = np.array([[name in joined.split("|") for name in names] for joined in lists], dtype=bool).reshape(len(lists), len(names))
    found: np.ndarray = np.where(place >= 0, table[kinds[place], codes], True)
    return found


def _label(text: str, attribute: Attribute, former: Collection[str] = ()) -> str | None:
    """The label in its one spelling, or None."""
    if attribute.kind == "multi":
        values = {_value(part.strip(), attribute, former) for part in text.split("|")}
        known = sorted(value for value in values if value is not None)
        return "|".join(known) if len(known) == len(values) and (CANT_TELL not in known or len(known) == 1) else None
    if attribute.kind == "box" and text == NO_OBJECT:
        return text
    return _value(text, attribute, former)


def _value(text: str, attribute: Attribute, former: Collection[str]) -> str | None:
    """The answer that a text is, or that it is a synonym of."""
    if text in attribute.answers or text in former:
        return text
    return attribute.spellings.get(" ".join(text.split()).casefold())


def _is_synonym(text: str, label: str | None) -> bool:
    return label is not None and {part.strip() for part in text.split("|")} != set(label.split("|"))


def _numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, and whether each is missing, not finite, or no number at all."""
    codes, texts = pd.factorize(column)
    missing = np.array([text == "" for text in texts], dtype=bool)
    values = np.array([_float(text) for text in texts], dtype=np.float64)
    wrong = np.isnan(values) & ~missing & np.array([str(text).lower().lstrip("+-") != "nan" for text in texts], dtype=bool)
    wild = ~np.isfinite(values) & ~missing & ~wrong
    return values[codes], missing[codes], wild[codes], wrong[codes]


def _float(text: object) -> float:
    try:
        return float(text) if isinstance(text, str | float) and "_" not in str(text) else np.nan
    except ValueError:
        return np.nan


def _clip(rows: pd.DataFrame, sides: dict[str, np.ndarray], tasks: pd.DataFrame, place: np.ndarray, boxed: np.ndarray) -> np.ndarray:
    """Write the boxes, cut at the picture's edge; returns whether each lies inside."""
    limits = [tasks[name].astype("float64").to_numpy()[place] for name in ("width_px", "height_px")]
    inside = np.ones(len(rows), dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for low, length, limit in (("x", "w", limits[0]), ("y", "h", limits[1])):
            start, end = sides[low], sides[low] + sides[length]
            limit = np.where(np.isnan(limit), np.inf, limit)
            inside &= (start >= -EDGE_PX) & (end <= limit + EDGE_PX) & (sides[length] > 0)
            first, last = np.clip(start, 0, None), np.minimum(end, limit)
            inside &= ~(last <= first)
            fine = boxed & inside & np.isfinite(start) & np.isfinite(end)
            rows[low] = np.where(fine, first, np.nan)
            rows[length] = np.where(fine, last - first, np.nan)
        inside &= (sides["w"] >= MIN_PX) | (sides["h"] >= MIN_PX)
    verdict: np.ndarray = inside | ~boxed
    return verdict


def _times(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """UTC times (a time without zone is taken as UTC), and whether there is text that is no ISO 8601 time."""
    codes, texts = pd.factorize(column)
    # pandas would also take "now" and "today"
    dated = [text if re.match(r"\d{4}-?\d\d", text) else None for text in texts]
    values = pd.to_datetime(pd.Series(dated, dtype="object"), utc=True, errors="coerce", format="ISO8601")
    bad = values.isna().to_numpy() & np.array([text != "" for text in texts], dtype=bool)
    return values.iloc[codes].set_axis(column.index), bad[codes]


def _mark_repeats(rows: pd.DataFrame, is_box: np.ndarray) -> None:
    """Of several answers of one worker to one question the latest counts; see the table above for the others.

    The boxes of one submission (one annotation, or the rows of one file) are one answer together.
    """
    unit = ["task_id", "attribute", "worker_id"]
    accepted = rows["reason"] == ""
    more = rows.loc[accepted, unit].duplicated(keep=False)
    good = rows.loc[more[more].index, [*unit, "label", *_SIDES, "submitted_at", "order", "row", "part", "answer"]]
    boxes = good[is_box[good.index]]
    twice = boxes.duplicated([*unit, "order", "answer", "label", *_SIDES])
    rows.loc[twice[twice].index, "reason"] = "DUPLICATE_CONTENT"
    boxes = boxes[~twice]
    good = good[~is_box[good.index]]
    good = good.assign(submission=np.arange(len(good)), says=good["label"])
    if len(boxes):
        several = boxes.groupby(unit)[["order", "answer"]].transform("nunique").gt(1).any(axis=1)
        boxes = boxes[several]
        boxes = boxes.assign(submission=-1 - boxes.groupby([*unit, "order", "answer"]).ngroup())
        corners = zip(boxes["label"], *(boxes[side].round(3) for side in _SIDES), strict=True)
        boxes = boxes.assign(says=["|".join(map(str, corner)) for corner in corners])
        good = pd.concat([good, boxes]) if len(good) else boxes
    if good.empty:
        return
    answers = good.sort_values(["order", "row", "part"]).groupby("submission", sort=False)
    whole = answers.agg({**dict.fromkeys(unit, "first"), "submitted_at": "max", "says": _together})
    whole["unit"] = whole.groupby(unit).ngroup()
    latest = whole.groupby("unit")["submitted_at"].transform("max")
    last = whole[whole["submitted_at"].isna() | (whole["submitted_at"] == latest)]  # without a time it may be the last
    is_clear = whole["unit"].map(last.groupby("unit")["says"].nunique() == 1)
    kept = last.drop_duplicates("unit")
    same = whole["says"] == whole["unit"].map(kept.set_index("unit")["says"])
    code = pd.Series(np.where(is_clear & same, "DUPLICATE_CONTENT", "LABEL_CONFLICT"), index=whole.index, dtype="object")
    code[is_clear & whole.index.isin(kept.index)] = ""
    rows.loc[good.index, "reason"] = good["submission"].map(code)


def _mark_left_out(rows: pd.DataFrame, tasks: pd.DataFrame, asked: list[Attribute]) -> None:
    """Answers that a worker's other answer rules out are refused; what was rightly left out is said on one row of the worker's."""
    good = rows.loc[rows["reason"] == "", ["task_id", "worker_id", "attribute", "label", "submitted_at"]]
    attributes_of = dict(zip(tasks["task_id"], tasks["attributes"], strict=True))
    contradicts, _ = dependent.leave_out(good, asked, attributes_of)
    rows.loc[contradicts[contradicts].index, "reason"] = "LABEL_CONFLICT"
    rows["is_superseded"] = False
    overtaken = dependent.ruled_out_later(good[contradicts], good[~contradicts], asked)
    rows.loc[overtaken[overtaken].index, "is_superseded"] = True
    _, left = dependent.leave_out(good[~contradicts], asked, attributes_of)
    rows["leaves_out"] = left.reindex(rows.index)


def _stood_for(rows: pd.DataFrame) -> pd.Series:
    """Whether a row is refused only because another answer of its worker to the same question counts in its place."""
    unit = ["task_id", "attribute", "worker_id"]
    found = pd.Series(False, index=rows.index)
    refused = rows.loc[rows["reason"].isin(["DUPLICATE_CONTENT", "LABEL_CONFLICT"]), unit]
    if len(refused):
        found[refused.index] = pd.MultiIndex.from_frame(refused).isin(pd.MultiIndex.from_frame(rows.loc[rows["reason"] == "", unit]))
    return found


def _together(texts: pd.Series) -> str:
    return "\n".join(sorted(texts))
