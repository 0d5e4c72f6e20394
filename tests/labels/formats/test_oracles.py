"""Two readers that know nothing of us, supervision and datumaro, agree with our files and we with theirs.

They live in an environment of their own (`.venv-oracles`, or the Python that DATAOPS_ORACLES names), made at first use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dataops_assets.labels import returned
from dataops_assets.labels.formats import coco, cvat, voc, yolo
from tests.conftest import REPO
from tests.labels.formats.made import ASKED, SIZES, answer, table

pytestmark = pytest.mark.services

PACKAGES = ["supervision==0.31.2", "datumaro==1.13.12"]
BOXES = [
    ("t1", "parts", "bag", 1.0, 2.0, 10.0, 8.0), ("t1", "parts", "hat", 0.0, 0.0, 40.0, 30.0),
    ("t1", "holes", "Löcher, groß", 5.0, 6.0, 7.0, 8.0),
    ("t2", "parts", "bag", 100.0, 200.0, 299.0, 99.0), ("0001", "holes", "tear", 1.0, 1.0, 31.0, 75.0),
]  # fmt: skip
FINE = [(*box[:3], box[3] + 0.25, box[4] + 0.5, box[5] - 0.75, box[6] - 0.75) for box in BOXES]
# shares to six digits, or five; and whole pixels that are counted from 1
TOLERANCE = {"datumaro yolo": 0.001, "supervision yolo": 0.01, "supervision voc": 1.5}
TAGS = [("t1", "colour", "red"), ("t2", "marks", "logo"), ("t2", "marks", "text")]


@pytest.fixture(scope="module")
def oracle() -> Path:
    """A Python that has both; skips where they can't be had."""
    named = os.environ.get("DATAOPS_ORACLES")
    python = Path(named) if named else REPO / ".venv-oracles/bin/python"
    if not python.exists():
        folder = python.parents[1]
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        if subprocess.run(pip, capture_output=True, timeout=540).returncode:
            shutil.rmtree(folder)
            pytest.skip("needs supervision and datumaro, which can't be installed: no package index is reachable")
    return python


def run(python: Path, what: str, folder: Path) -> str:
    done = subprocess.run([str(python), str(Path(__file__).with_name("oracle.py")), what, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for item, size in SIZES.items():
        Image.new("RGB", size).save(folder / f"{item}.jpg")


def lay_out(folder: Path, boxes: list[tuple]) -> None:
    """Our files as both readers want them beside pictures; darknet's YOLO has its class list and pictures elsewhere."""
    rows = table(*(answer(*box) for box in boxes))
    for name, writer in (("coco", coco), ("yolo", yolo), ("voc", voc)):
        for path, data in writer.write(rows, SIZES, ASKED).items():
            target = folder / name / path.removeprefix("annotator=ann/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    pictures(folder / "coco/images")
    pictures(folder / "coco/images/default")
    pictures(folder / "yolo/images")
    pictures(folder / "voc/JPEGImages")
    names = yolo.classes("data.yaml", (folder / "yolo/data.yaml").read_bytes())
    shutil.copytree(folder / "yolo/labels", folder / "darknet/obj_train_data")
    pictures(folder / "darknet/obj_train_data")
    (folder / "darknet/obj.names").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (folder / "darknet/obj.data").write_text(f"classes = {len(names)}\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    (folder / "darknet/train.txt").write_text("".join(f"data/obj_train_data/{item}.jpg\n" for item in SIZES))
    pictures(folder / "cvat/images")
    tagged = table(*(answer(*box) for box in boxes), *(answer(*tag) for tag in TAGS))
    (folder / "cvat/annotations.xml").write_bytes(cvat.write(tagged, SIZES, ASKED)["cvat-001.xml"])


def assert_near(found: list[list], wanted: list[list], px: float, about: str) -> None:
    """The same labels on the same pictures, each side within so many pixels; a row without sides is a tag."""
    pairs = list(zip(sorted(found, key=str), sorted(wanted, key=str), strict=True))
    assert [one[:2] for one, _ in pairs] == [other[:2] for _, other in pairs], about
    assert all(one[2:] == pytest.approx(other[2:], abs=px) for one, other in pairs), f"{about}: {pairs}"


def test_others_read_what_we_write(oracle, tmp_path):
    lay_out(tmp_path, BOXES)
    read = json.loads(run(oracle, "read", tmp_path))
    for name, rows in read.items():
        # COCO keeps question and value apart: the category is the value
        said = [[box[0], box[2] if "coco" in name else f"{box[1]}={box[2]}", *box[3:]] for box in BOXES]
        said += [[item, f"{question}={value}"] for item, question, value in TAGS] if name == "datumaro cvat" else []
        # supervision counts VOC's pixels from 1, as the challenge did; datumaro, CVAT, labelImg and we from 0
        assert_near(rows, said, 1.001 if name == "supervision voc" else 0.002, name)
    assert len(read) == 7


def test_we_read_what_others_write(oracle, tmp_path):
    boxes = {
        item: {
            "size": size,
            "boxes": [[f"{box[1]}={box[2]}", *box[3:]] for box in FINE if box[0] == item],
            "tags": [f"{tag[1]}={tag[2]}" for tag in TAGS if tag[0] == item],
        }
        for item, size in SIZES.items()
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run(oracle, "write", tmp_path)
    given = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert len(given) == 7
    for folder in given:
        files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
        rows = pd.concat([returned.read(document, SIZES, ASKED) for document in returned.documents(files)])
        drawn = rows[rows["x"] != ""].drop_duplicates(["item_id", "attribute", "label", "x", "y", "w", "h"])  # datumaro writes COCO twice
        expected = [[box[0], f"{box[1]}={box[2]}", *box[3:]] for box in FINE]
        found = [
            [row["item_id"], f"{row['attribute']}={row['label']}", *(row[side] for side in "xywh")] for row in drawn.to_dict("records")
        ]
        assert_near(found, expected, TOLERANCE.get(folder.name, 0.01), folder.name)
        said = rows[(rows["x"] == "") & (rows["fault"] == "") & (rows["label"] != "none")]
        tags = {(row["item_id"], row["attribute"], row["label"]) for row in said.to_dict("records")}
        told = {("t1", "colour", "red"), ("t2", "marks", "logo|text")} if folder.name in ("datumaro cvat", "datumaro coco") else set()
        assert tags == told, folder.name
