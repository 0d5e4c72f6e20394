"""CVAT for images, XML 1.1: boxes, and tags for answers about the whole picture.

Format: https://docs.cvat.ai/docs/manual/advanced/xml_format/. It lists every picture of a task, labelled or not: one without a tag
or a shape was skipped, and that there is nothing to box has to be said by a tag (`parts=none`). The annotator is the task's (or
job's) assignee, the time the task's last change.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pandas as pd

from dataops_assets.labels.formats import answers, xml
from dataops_assets.labels.formats.answers import Row, Sizes
from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.labels.tables import SIDES, UNNAMED, Refused
from dataops_assets.spec import Attribute

VERSION = "1.1"


def read(data: bytes, sizes: Sizes, asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of an export: `row` is the picture's place in the file, `part` counts its answers.

    A picture without an answer is a row with fault NO_ROWS. Shapes that are no upright boxes, and tracks, are rows with fault SCHEMA.

    Args:
        data: The file.
        sizes: Pixels of the pictures sent out; boxes on one of another size are refused.
        asked: The batch's questions.

    Raises:
        Refused: as `xml.children`; SCHEMA when it is no CVAT XML 1.1, NO_ROWS when it lists no picture.
    """
    version, people, last = "", dict[str, str](), ""
    rows: list[Row] = []
    for place, element in enumerate(xml.children(data)):
        if place == 0 and element.tag != "version":
            break
        if element.tag == "version":
            version = (element.text or "").strip()
        elif element.tag == "meta":
            people, last = _assignees(element), _time(element)
        elif element.tag in ("image", "track"):
            number = rows[-1]["row"] + 1 if rows else 1
            who = people.get(element.get("task_id", ""), people.get("", UNNAMED))
            found = _image(element, sizes, asked) if element.tag == "image" else [{"fault": "SCHEMA"}]
            item = answers.item_of(element.get("name", ""))
            rows += answers.numbered(found, number, item_id=item, annotator=who, submitted_at=last)
    if version != VERSION:
        raise Refused("SCHEMA", f"CVAT XML of version {version[:20]!r}; {VERSION} is read")
    return answers.frame(rows)


def _assignees(meta: Element) -> dict[str, str]:
    """Who did each task, by its id; under "" the one who did all that the file holds."""
    found = {(task.findtext("id") or "").strip(): _person(task) for task in meta.iterfind("project/tasks/task")}
    whole = [_person(part) for path in ("task", "job") for part in meta.iterfind(path)]
    found[""] = next((person for person in reversed(whole) if person), "")
    return {task: person for task, person in found.items() if person}


def _person(part: Element) -> str:
    assignee = part.find("assignee")
    if assignee is None:
        return ""
    return (assignee.findtext("username") or assignee.text or "").strip()


def _time(meta: Element) -> str:
    paths = ("job/updated", "task/updated", "project/updated", "dumped")
    return next((text.strip() for path in paths if (text := meta.findtext(path)) and text.strip()), "")


def _image(image: Element, sizes: Sizes, asked: Sequence[Attribute]) -> list[Row]:
    size = sizes.get(answers.item_of(image.get("name", "")))
    wrong = answers.other_size(image.get("width"), image.get("height"), size)
    rows: list[Row] = []
    for shape in image:
        label = shape.get("label", "").strip()
        said = {part.get("name", ""): part.text or "" for part in shape.iterfind("attribute")}
        twice = len(said) < len(shape.findall("attribute"))
        if twice or shape.tag not in ("tag", "box"):
            rows.append({"label": label, "fault": "SCHEMA"})
        elif shape.tag == "tag":
            rows += answers.of_shape(label, said, asked)
        else:
            box = answers.corners(*(shape.get(edge) for edge in ("xtl", "ytl", "xbr", "ybr"))) | wrong
            if answers.number(shape.get("rotation", "0")) != 0:
                box["fault"] = "SCHEMA"
            rows += answers.of_shape(label, said, asked, box)
    return answers.together(rows, asked) or [{"fault": "NO_ROWS"}]


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """One file a person, with the time of the last answer."""
    files = {}
    for number, (who, mine) in enumerate(rows.groupby("annotator", sort=True), start=1):
        root = Element("annotations")
        SubElement(root, "version").text = VERSION
        task = SubElement(SubElement(root, "meta"), "task")
        SubElement(task, "id").text = str(number)
        labels = SubElement(task, "labels")
        said = [answers.named(name, value) for row in mine.to_dict("records") for name, value in _values(row)]
        for label in dict.fromkeys(said):
            SubElement(SubElement(labels, "label"), "name").text = label
        SubElement(task, "updated").text = max(mine["submitted_at"])
        if who not in ("", UNNAMED):
            SubElement(SubElement(task, "assignee"), "username").text = str(who)
        for place, (item, its) in enumerate(mine.groupby("item_id", sort=True)):
            width, height = sizes[str(item)]
            head = {"id": str(place), "name": f"{item}.jpg", "width": str(width), "height": str(height)}
            _add(SubElement(root, "image", head), its)
        files[f"cvat-{number:03d}.xml"] = xml.document(root)
    return files


def _values(row: Mapping[Hashable, Any]) -> list[tuple[str, str]]:
    return [(row["attribute"], value) for value in row["label"].split("|")] if row["attribute"] else []


def _add(image: Element, rows: pd.DataFrame) -> None:
    for row in rows.to_dict("records"):
        for name, value in _values(row):
            head = {"label": answers.named(name, value), "source": "manual"}
            if row["x"] == "" or value == NO_OBJECT:
                SubElement(image, "tag", head)
                continue
            x, y, w, h = (float(row[side]) for side in SIDES)
            edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(answers.plain, (x, y, x + w, y + h)), strict=True))
            SubElement(image, "box", head | {"occluded": "0", **edges, "z_order": "0"})
