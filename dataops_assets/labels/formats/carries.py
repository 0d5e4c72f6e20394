"""What each format can carry there and back, and how; the round-trip tests hold each cell to it, docs/label_formats.md shows it."""

from __future__ import annotations

from typing import NamedTuple


class Carry(NamedTuple):
    """Whether a format brings something back as it was, and how, or what becomes of it."""

    kept: bool
    how: str = ""


YES, NO = Carry(True), Carry(False)

FEATURES = {
    "single": "One of several answers about the whole picture",
    "multi": "Several answers at once about the whole picture",
    "box": "Boxes with a label",
    "no_object": "“Looked, and there is nothing to box”",
    "unanswered": "A box question left open beside one that was answered",
    "skipped": "A picture that was looked at and skipped",
    "several": "Several people's answers to one picture",
    "annotator": "Who answered",
    "submitted_at": "When each answer was given",
    "seconds": "How long it took",
    "item_id": "Our id of the picture, as text (`0001`)",
    "unicode": "Labels and names beyond ASCII",
    "sub_pixel": "Edges between pixels",
    "rotated": "Rotated boxes",
}
_REFUSED = Carry(False, "refused: SCHEMA")
_EMPTY = Carry(True, "by having no box")
_LOOKED = Carry(False, "read as: nothing to box")
_FOLDER = Carry(True, "by folders `annotator=<name>`")
_NAME = Carry(True, "by the file's name")
_NOWHERE = Carry(False, "the picture is left out")

FORMATS: dict[str, dict[str, Carry]] = {
    "CSV": {
        **dict.fromkeys(FEATURES, YES), "multi": Carry(True, "`a|b`"), "no_object": Carry(True, "label `none`"), "skipped": _NOWHERE,
        "rotated": Carry(False, "no column for it"),
    },
    "Label Studio JSON": {
        **dict.fromkeys(FEATURES, YES), "no_object": _EMPTY, "unanswered": _LOOKED, "skipped": Carry(True, "`was_cancelled`"),
        "annotator": Carry(True, "`completed_by`"), "submitted_at": Carry(True, "`created_at`"),
        "seconds": Carry(True, "`lead_time`, of the picture"), "rotated": _REFUSED,
    },
    "CVAT for images 1.1": {
        **dict.fromkeys(FEATURES, YES), "single": Carry(True, "a tag"), "multi": Carry(True, "a tag each"),
        "no_object": Carry(True, "a tag `<question>=none`"), "skipped": Carry(True, "the picture without a tag or shape"),
        "several": Carry(True, "a file each"), "annotator": Carry(True, "the task's assignee"),
        "submitted_at": Carry(False, "the task's last change, for all of it"), "seconds": NO, "item_id": _NAME, "rotated": _REFUSED,
    },
    "COCO": {
        **dict.fromkeys(FEATURES, YES), "single": Carry(True, "an annotation with `is_image_level`"),
        "multi": Carry(True, "such an annotation each"), "no_object": Carry(True, "by having no box, or by such an annotation `none`"),
        "unanswered": _LOOKED, "skipped": _NOWHERE,
        "several": _FOLDER, "annotator": _FOLDER, "submitted_at": NO, "seconds": NO, "item_id": _NAME, "rotated": _REFUSED,
    },
    "YOLO": {
        **dict.fromkeys(FEATURES, YES), "single": NO, "multi": NO, "no_object": _EMPTY, "unanswered": _LOOKED, "skipped": _NOWHERE,
        "several": _FOLDER, "annotator": _FOLDER, "submitted_at": NO, "seconds": NO, "item_id": _NAME,
        "unicode": Carry(True, "class list in UTF-8"), "sub_pixel": Carry(True, "to rounding: shares of the sides"), "rotated": _REFUSED,
    },
    "Pascal VOC": {
        **dict.fromkeys(FEATURES, YES), "single": NO, "multi": NO, "no_object": _EMPTY, "unanswered": _LOOKED, "skipped": _NOWHERE,
        "several": _FOLDER, "annotator": _FOLDER, "submitted_at": NO, "seconds": NO, "item_id": _NAME,
        "sub_pixel": Carry(False, "written as whole pixels, fractions are read"), "rotated": _REFUSED,
    },
    "Labelbox NDJSON": {
        **dict.fromkeys(FEATURES, YES), "single": Carry(True, "radio"), "multi": Carry(True, "checklist"), "no_object": _EMPTY,
        "unanswered": _LOOKED, "skipped": Carry(True, "`skipped`"), "annotator": Carry(True, "`created_by`"),
        "submitted_at": Carry(True, "`updated_at`, else `created_at`"), "seconds": Carry(True, "`seconds_to_create`, of the picture"),
        "item_id": Carry(True, "`global_key`"), "rotated": Carry(False, "no field for it"),
    },
}  # fmt: skip

_HOW = """\
Vendors may return labels in any of these formats; a file's content decides which it is, not its name. Several files, folders below
the vendor's and zips are taken together. Each answer becomes a row that is accepted, or rejected with a reason code.

This page is made from `dataops_assets/labels/formats/carries.py` (`python -m dataops_assets.labels.formats.carries`).

## What each format carries

"no" is lost on the way there and back, or comes back as something else. The tests write every format and read it back, and hold it
to this table.
"""

_RULES = """
## How a tool's labels become answers

- A label says question and answer: `colour=red` or `colour: red`. A value that only one question has may stand alone: `red`. CVAT's
  tags and boxes, COCO's annotations and VOC's objects may also have attributes named like the questions, `colour` with value `red`;
  COCO's categories may have the question as their supercategory.
- The picture is known by the id we sent out, which is the file's name without its suffix.
- Boxes are upright. Polygons, masks, tracks, crowds and rotated boxes are rejected (`SCHEMA`), and so is a box on a picture that the file
  says has another size than the one we sent.
- Pascal VOC's edges count from 0, as labelImg, CVAT and datumaro write them; a tool that counts from 1, as the challenge did
  (supervision), sees and writes edges one pixel off. YOLO's lines have five numbers; pixels in place of shares
  of the sides lie outside the picture, shares in place of pixels are smaller than one (`OUT_OF_BOUNDS`).
- In Label Studio, Labelbox, COCO, YOLO and VOC a picture that is listed was looked at whole: without a box there is nothing to box, unless
  something about it can't be read. A COCO file that only answers questions about whole pictures says nothing of boxes. CVAT lists every
  picture, so there it takes a tag, and a picture without anything was skipped (`NO_ROWS`).

## Who answered, where the file can't say it

COCO, YOLO and VOC name nobody, and CVAT only the assignee. Put each person's files into a folder `annotator=<name>`, anywhere below
the vendor's folder or inside the zip, or name the file or zip so: `annotator=ann.zip`. Files without a name are all taken as one
person's work, however many there were: they are used, they never count as several opinions, and the gate warns. Where two of them
answer one question differently none counts (`LABEL_CONFLICT`); correct such a file by replacing it, since it has no time.

## Files that belong together

- YOLO: `data.yaml`, `classes.txt` or `obj.names` holds for the `.txt` files beside and below it. Two lists in one folder must agree.
- A zip is read as strictly as a delivery of pictures, and refused whole with one row (`BOMB`, `UNSAFE_PATH`, `ARCHIVE_CORRUPT`, ...).
- Pictures, class lists, `labelmap.txt`, `obj.data`, `notes.json`, `ImageSets/*.txt` and lists such as `train.txt`, in a folder or a zip,
  hold no answers and give no rows. The version names every file that was there.
- Names that begin with `.` or `_`, and files that lie more than 16 folders deep, are not looked at.
"""


def markdown() -> str:
    """The page for docs/label_formats.md."""
    lines = ["# Formats of returned labels", "", _HOW]
    lines += ["| | " + " | ".join(FORMATS) + " |", "|---" * (len(FORMATS) + 1) + "|"]
    for feature, sentence in FEATURES.items():
        cells = [carried[feature] for carried in FORMATS.values()]
        escaped = [("yes" if cell.kept else "no") + (f": {cell.how}" if cell.how else "") for cell in cells]
        lines.append(f"| {sentence} | " + " | ".join(cell.replace("|", "\\|") for cell in escaped) + " |")
    return "\n".join(lines) + "\n" + _RULES


if __name__ == "__main__":
    from pathlib import Path

    (Path(__file__).resolve().parents[3] / "docs/label_formats.md").write_text(markdown(), encoding="utf-8")
