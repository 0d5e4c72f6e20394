"""YOLO (darknet, Ultralytics): a text file a picture, a line a box, and one list of classes for all of them.

Format: https://docs.ultralytics.com/datasets/detect/. A line is `class x_centre y_centre width height`, shares of the picture's sides;
an empty file says that there is nothing to box. Nobody is named, and there is no time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

import pandas as pd
import yaml

from dataops_assets.labels.formats import answers
from dataops_assets.labels.formats.answers import Row, Sizes
from dataops_assets.labels.tables import MAX_DEPTH, SIDES, UNNAMED, Refused
from dataops_assets.spec import Attribute

CLASS_LISTS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names")  # the first that is there counts
MAX_LIST_BYTES = 64 << 10


def classes(name: str, data: bytes) -> tuple[str, ...]:
    """The class names of a list, which a line's first number counts from 0.

    In YAML all names are text as they stand (`NO` is no false); anchors and repeated keys are refused.

    Raises:
        Refused: TOO_LARGE, ENCODING, TOO_DEEP, NO_ROWS, or SCHEMA for names that repeat or can't be counted.
    """
    if len(data) > MAX_LIST_BYTES:
        raise Refused("TOO_LARGE", f"a class list of {len(data)} bytes")
    try:
        text = data.decode("utf-8-sig")
        found = _from_yaml(text) if name.lower().endswith((".yaml", ".yml")) else [line.strip() for line in text.splitlines()]
    except UnicodeDecodeError as error:
        raise Refused("ENCODING", "a class list that isn't UTF-8") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused("SCHEMA", "a class list that isn't YAML") from error
    while found and not found[-1]:
        found.pop()
    if not found:
        raise Refused("NO_ROWS", "a class list without names")
    if len(set(found)) < len(found) or not all(found):
        raise Refused("SCHEMA", "class names repeat or are empty")
    return tuple(found)


def _from_yaml(text: str) -> list[str]:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise Refused("TOO_DEEP", f"a class list nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.AliasEvent):
            raise Refused("SCHEMA", "a class list with anchors")
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    held = [value for key, value in top.value if key.value == "names"] if isinstance(top, yaml.MappingNode) else []
    if len(held) != 1:
        raise Refused("SCHEMA", "a YAML without one `names`")
    names = held[0]
    if isinstance(names, yaml.SequenceNode):
        parts = list(enumerate(names.value))
    elif isinstance(names, yaml.MappingNode):
        counted = [(int(key.value) if re.fullmatch("[0-9]{1,9}", str(key.value)) else -1, value) for key, value in names.value]
        parts = sorted(counted, key=lambda pair: pair[0])
    else:
        parts = []
    if [number for number, _ in parts] != list(range(len(parts))) or not all(isinstance(part, yaml.ScalarNode) for _, part in parts):
        raise Refused("SCHEMA", "`names` must be a list, or numbers from 0 with a name each")
    return [str(part.value).strip() for _, part in parts]


def read(data: bytes, item: str, names: Sequence[str], sizes: Sizes, asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of one picture's file: `row` is the line.

    Args:
        data: The file.
        item: The picture, by the file's name.
        names: Its class names.
        sizes: Pixels of the pictures sent out, which the shares refer to.
        asked: The batch's questions.

    Raises:
        Refused: ENCODING; NO_ROWS when it is empty and no box is asked for.
    """
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise Refused("ENCODING", f"not UTF-8 at byte {error.start}") from error
    head = {"item_id": item, "annotator": UNNAMED, "part": 1}
    rows = [
        head | {"row": number} | _line(line.split(), names, sizes.get(item), asked) for number, line in enumerate(lines, 1) if line.strip()
    ]
    rows += [head | {"row": len(lines) + place} | row for place, row in enumerate(answers.nothing(rows, asked))]
    return answers.frame(rows)


def _line(cells: list[str], names: Sequence[str], size: tuple[int, int] | None, asked: Sequence[Attribute]) -> Row:
    """One box. Five cells: more are a confidence, a polygon or a rotated box, none of which is an upright box that a person drew."""
    if len(cells) != 5 or not cells[0].isdecimal() or not cells[0].isascii():
        return {"fault": "SCHEMA"}
    number = int(cells[0]) if len(cells[0]) < 10 else len(names)
    if number >= len(names):
        return {"label": f"class {cells[0][:20]}", "fault": "UNKNOWN_LABEL"}
    attribute, label = answers.resolve(names[number], asked, is_box=True)
    shares = [answers.number(cell) for cell in cells[1:]]
    if size is None or not all(isinstance(share, float) for share in shares):
        return {"attribute": attribute, "label": label} | dict(zip(SIDES, shares, strict=True))
    x, y, w, h = shares
    box = ((x - w / 2) * size[0], (y - h / 2) * size[1], w * size[0], h * size[1])
    return {"attribute": attribute, "label": label} | dict(zip(SIDES, map(answers.number, box), strict=True))


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """`data.yaml`, and a file for each picture that a person answered a box question about, in a folder that names the person."""
    boxed = rows[rows["attribute"].isin(answers.boxes(asked))]
    drawn = boxed[boxed["x"] != ""]
    labels = sorted({answers.named(*pair) for pair in zip(drawn["attribute"], drawn["label"], strict=True)}) or ["-"]
    numbers = {label: number for number, label in enumerate(labels)}
    document = {"path": ".", "train": "images", "val": "images", "nc": len(labels), "names": labels}
    files = {"data.yaml": yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode("utf-8")}
    for (who, item), its in boxed.groupby(["annotator", "item_id"], sort=True):
        width, height = sizes[str(item)]
        lines = []
        for row in its[its["x"] != ""].to_dict("records"):
            x, y, w, h = (float(row[side]) for side in SIDES)
            shares = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            lines.append(f"{numbers[answers.named(row['attribute'], row['label'])]} {' '.join(map(answers.plain, shares))}\n")
        files[f"annotator={quote(str(who), safe='')}/labels/{item}.txt"] = "".join(lines).encode()
    return files
