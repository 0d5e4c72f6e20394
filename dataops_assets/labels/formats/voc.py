"""Pascal VOC: one XML a picture, boxes and nothing else.

Format: M. Everingham and J. Winn, "The PASCAL VOC2012 Development Kit", section 3. Edges are taken as labelImg, CVAT and datumaro write
them: from the picture's corner at 0, so width = xmax - xmin (the challenge's own files, and supervision, count pixels from 1). A file
without objects says that there is nothing to box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement

import pandas as pd

from dataops_assets.labels.formats import answers, xml
from dataops_assets.labels.formats.answers import Row, Sizes
from dataops_assets.labels.tables import SIDES, UNNAMED
from dataops_assets.spec import Attribute

EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(data: bytes, sizes: Sizes, asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of one picture's file: `row` is the object's place in it.

    Args:
        data: The file.
        sizes: Pixels of the pictures sent out; boxes on one of another size are refused.
        asked: The batch's questions.

    Raises:
        Refused: as `xml.children`; NO_ROWS when it has no object and no box is asked for.
    """
    item = ""
    stated: tuple[str | None, str | None] = None, None
    objects: list[list[Row]] = []
    for element in xml.children(data):
        if element.tag == "filename":
            item = answers.item_of((element.text or "").strip())
        elif element.tag == "size":
            stated = element.findtext("width"), element.findtext("height")
        elif element.tag == "object":
            objects.append(_object(element, asked))
    wrong = answers.other_size(*stated, sizes.get(item))
    head = {"item_id": item, "annotator": UNNAMED}
    rows = [row | wrong if "x" in row else row for found in objects for row in found]
    rows = answers.together(rows, asked)
    rows += answers.nothing(rows, asked)
    return answers.frame(head | {"row": number, "part": 1} | row for number, row in enumerate(rows, start=1))


def _object(element: Element, asked: Sequence[Attribute]) -> list[Row]:
    label = (element.findtext("name") or "").strip()
    boxes = element.findall("bndbox")
    if len(boxes) != 1:
        return [{"label": label, "fault": "SCHEMA"}]
    said = {
        (part.findtext("name") or "").strip(): (part.findtext("value") or "").strip() for part in element.iterfind("attributes/attribute")
    }
    box = answers.corners(*(boxes[0].findtext(edge) for edge in EDGES))
    if answers.number(said.get("rotation", "0")) != 0:
        box["fault"] = "SCHEMA"
    return answers.of_shape(label, said, asked, box)


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """One file for each picture that a person answered a box question about, in a folder that names the person; whole pixels.

    The lists of labels and pictures beside them are what CVAT and datumaro ask for.
    """
    files = {}
    boxed = rows[rows["attribute"].isin(answers.boxes(asked))]
    for (who, item), its in boxed.groupby(["annotator", "item_id"], sort=True):
        width, height = sizes[str(item)]
        root = Element("annotation")
        SubElement(root, "filename").text = f"{item}.jpg"
        size = SubElement(root, "size")
        for name, value in (("width", width), ("height", height), ("depth", 3)):
            SubElement(size, name).text = str(value)
        for row in its[its["x"] != ""].to_dict("records"):
            thing = SubElement(root, "object")
            SubElement(thing, "name").text = answers.named(row["attribute"], row["label"])
            SubElement(thing, "difficult").text = "0"
            x, y, w, h = (float(row[side]) for side in SIDES)
            box = SubElement(thing, "bndbox")
            for name, edge in zip(EDGES, (x, y, x + w, y + h), strict=True):
                SubElement(box, name).text = str(round(edge))
        files[f"{_folder(who)}/Annotations/{item}.xml"] = xml.document(root)
    for who, mine in boxed.groupby("annotator", sort=True):
        drawn = mine[mine["x"] != ""]
        names = sorted({answers.named(*pair) for pair in zip(drawn["attribute"], drawn["label"], strict=True)})
        files[f"{_folder(who)}/labelmap.txt"] = "".join(f"{name}:::\n" for name in ["background", *names]).encode("utf-8")
        files[f"{_folder(who)}/ImageSets/Main/default.txt"] = "".join(f"{item}\n" for item in sorted(set(mine["item_id"]))).encode()
    return files


def _folder(who: Any) -> str:
    return f"annotator={quote(str(who), safe='')}"
