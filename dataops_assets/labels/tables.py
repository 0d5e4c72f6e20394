"""Returned label files -> one row shape. Parsers are strict about form and know nothing of tasks.

A parser gives a frame with `COLUMNS`; what a row says is judged later (`stages/labeled_batches.py`). A file that can't be
read as what it claims to be raises `Refused` with a reason code.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.spec import Attribute

FIELDS = ("item_id", "attribute", "label", "x", "y", "w", "h", "annotator", "submitted_at", "seconds")
COLUMNS = ("row", "part", "answer", *FIELDS, "fault")
SIDES = ("x", "y", "w", "h")
NUMBERS = (*SIDES, "seconds")
IMPLIED = "IMPLIED"  # mark of a row that nobody wrote: the picture has no box, so there is none; it counts where boxes were asked for
UNNAMED = "(unnamed)"  # annotator of a file whose format names nobody: one person a vendor, however many there were

MAX_BYTES = 512 * 2**20
MAX_JSON_BYTES = 64 * 2**20  # a document is read as a whole, and its values take many times the room of their text
MAX_JSON_VALUES = 5_000_000  # some 400,000 answers of Label Studio; a text that means harm says as many in 10 MB
MAX_DEPTH = 64
HEAD = 4096  # bytes that tell what a file is
CHUNK_ROWS = 10_000
MAX_SEEN = 200_000
_REPEATING = ("item_id", "attribute", "label", "annotator")  # few values, many rows: one string object each


class Refused(ValueError):
    """A whole file can't be used."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def read(data: bytes, sizes: dict[str, tuple[int, int]], asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of a returned file, whatever it is: its content decides, not its name.

    Files of YOLO mean nothing without their class list: `returned.py` reads those.

    Args:
        data: The file's bytes.
        sizes: item_id -> width and height in pixels of the picture sent out.
        asked: The batch's questions.

    Returns:
        A frame with `COLUMNS`: `row` from 1 and `part` name the place in the file; rows with the same `answer` were
        submitted together, and `seconds` is the time that all of these took; fields are text or numbers as given, "" where there
        was none; `fault` is a reason code, `IMPLIED` or "".

    Raises:
        Refused: when the file as a whole can't be used.
    """
    if len(data) > most_bytes(data[:HEAD]):
        raise Refused("TOO_LARGE", f"{len(data)} bytes; at most {most_bytes(data[:HEAD])} are read")
    start = _first_sign(data[:HEAD])
    if start in (b"[", b"{"):
        return _read_json(data, sizes, asked)
    if start == b"<":
        return _read_xml(data, sizes, asked)
    return read_csv(data)


def most_bytes(head: bytes) -> int:
    """How large a file may be to be read, by its first `HEAD` bytes."""
    return MAX_JSON_BYTES if _first_sign(head) in (b"[", b"{") else MAX_BYTES


def _first_sign(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _read_json(data: bytes, sizes: dict[str, tuple[int, int]], asked: Sequence[Attribute]) -> pd.DataFrame:
    from dataops_assets.labels import label_studio
    from dataops_assets.labels.formats import coco, labelbox

    if labelbox.is_it(data):
        return labelbox.read(data, sizes, asked)
    document = strict_json(data)
    if isinstance(document, dict):
        return coco.read(document, sizes, asked)
    return label_studio.read(document, sizes, [attribute.name for attribute in asked if attribute.kind == "box"])


def _read_xml(data: bytes, sizes: dict[str, tuple[int, int]], asked: Sequence[Attribute]) -> pd.DataFrame:
    from dataops_assets.labels.formats import cvat, voc, xml

    if re.search(rb"<!(DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise Refused("XML_FORBIDDEN", "a document type or entity declaration")
    root = xml.root_of(data)
    if root not in ("annotations", "annotation"):
        raise Refused("SCHEMA", "XML of a kind that isn't read: CVAT's starts with <annotations>, VOC's with <annotation>")
    return cvat.read(data, sizes, asked) if root == "annotations" else voc.read(data, sizes, asked)


def read_csv(data: bytes) -> pd.DataFrame:
    """CSV with `FIELDS` in any order; `item_id` and `label` must be there, unknown columns are not carried.

    All cells are text first: `NA` is a label, `0001` an id. A comma, semicolon or tab separates, as the header shows.
    A row with too many or too few cells is kept, without its cells, with fault SCHEMA: which is which can't be told.
    """
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    try:
        header = text.readline()
        separator = max(",;\t", key=header.count)
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator, strict=True), [])]
        if not any(names):
            raise Refused("NO_ROWS", "the file is empty")
        missing = [name for name in ("item_id", "label") if name not in names]
        repeated = sorted({name for name in names if name in FIELDS and names.count(name) > 1})
        if missing or repeated:
            raise Refused("SCHEMA", f"columns missing: {missing}, given twice: {repeated}; expected {','.join(FIELDS)}")
        frame = _cells(csv.reader(text, delimiter=separator, strict=True), names)
    except UnicodeDecodeError as error:
        raise Refused("ENCODING", f"not UTF-8 at byte {error.start} of a block") from error
    except csv.Error as error:
        raise Refused("SCHEMA", f"not CSV: {error}") from error
    if frame.empty:
        raise Refused("NO_ROWS", "a header and nothing below")
    return frame


def write_csv(rows: pd.DataFrame) -> bytes:
    """Rows as CSV with `FIELDS`, as `read_csv` takes it."""
    return rows[list(FIELDS)].to_csv(index=False, lineterminator="\n").encode("utf-8")


def _cells(rows: Any, names: list[str]) -> pd.DataFrame:
    places = {name: names.index(name) for name in FIELDS if name in names}
    seen: dict[str, str] = {}
    columns: dict[str, list[Any]] = {name: [] for name in FIELDS}
    numbers: list[np.ndarray] = []
    faults: list[int] = []  # positions
    done = total = 0
    while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
        filled = [cells for cells in chunk if any(cells)]  # a blank line, or `,,,`, is no row
        numbers.append(np.flatnonzero([any(cells) for cells in chunk]) + done + 1)
        done += len(chunk)
        for position, cells in enumerate(filled):
            if len(cells) != len(names):
                faults.append(total + position)
                filled[position] = [""] * len(names)
        total += len(filled)
        turned = list(zip(*filled, strict=True))
        for name in FIELDS:
            if name not in places or not filled:
                columns[name].extend(itertools.repeat("", len(filled)))
                continue
            cells = [cell.strip() for cell in turned[places[name]]]
            columns[name].extend([seen.setdefault(cell, cell) for cell in cells] if name in _REPEATING else cells)
        if len(seen) > MAX_SEEN:  # they don't repeat
            seen.clear()
    # each column lies by itself (copy=False), so that one which is replaced later is freed: a million times of day are 70 MB
    frame = pd.DataFrame({name: pd.Series(columns.pop(name), dtype="object") for name in FIELDS}, copy=False)
    frame.insert(0, "row", np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64))
    frame.insert(1, "part", 1)
    frame.insert(2, "answer", 0)
    frame["fault"] = ""
    frame.loc[faults, "fault"] = "SCHEMA"
    return frame


_STRING = re.compile(rb'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)', re.DOTALL)


def strict_json(data: bytes) -> Any:
    """A JSON document, or `Refused` for what other readers would understand differently.

    Raises:
        Refused: ENCODING (not UTF-8, lone surrogates), NOT_FINITE (NaN, Infinity), SCHEMA (not JSON, duplicate keys),
            TOO_DEEP (nested deeper than `MAX_DEPTH`), TOO_LARGE (more than `MAX_JSON_VALUES`).
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    depth, values = _extent(data)
    if depth > MAX_DEPTH:
        raise Refused("TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
    if values > MAX_JSON_VALUES:
        raise Refused("TOO_LARGE", f"{values} values; at most {MAX_JSON_VALUES} are read")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
        if re.search(rb"\\u[dD][89a-fA-F]", data):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise Refused("ENCODING", "not UTF-8, or half a surrogate pair") from error
    except Refused:
        raise
    except RecursionError as error:
        raise Refused("TOO_DEEP", "nested too deep") from error
    except ValueError as error:
        raise Refused("SCHEMA", f"not JSON: {str(error)[:120]}") from error
    return document


def _extent(data: bytes) -> tuple[int, int]:
    """How deep a document is nested, and about how many values it has; a piece at a time, before anything is made of it."""
    bare = np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)
    deepest = depth = values = 0
    for start in range(0, len(bare), 1 << 20):
        piece = bare[start : start + (1 << 20)]
        opens = np.isin(piece, (0x5B, 0x7B))
        levels = depth + np.cumsum(opens.astype(np.int32) - np.isin(piece, (0x5D, 0x7D)))
        deepest, depth = max(deepest, int(levels.max())), int(levels[-1])
        values += int(opens.sum()) + int((piece == 0x2C).sum())
    return deepest, values


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Refused("SCHEMA", "a key is given twice")
    return result


def _constant(name: str) -> Any:
    raise Refused("NOT_FINITE", f"{name} is not a number")
