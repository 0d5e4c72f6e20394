import json
import os
from pathlib import Path

from dataops_assets.exports import image_folder
from dataops_assets.stages.training_export import Assembly


def test_each_labelled_picture_lies_in_the_folder_of_its_value(delivered: Path, assembly: Assembly) -> None:
    found = {path.relative_to(delivered / "image_folder").as_posix() for path in (delivered / "image_folder").rglob("*.jpg")}
    wanted = {
        f"{row.split}/{image_folder.folder_name(json.loads(row.labels)['style'])}/{row.image_id}.jpg" for row in assembly.frame.itertuples()
    }
    assert found == wanted


def test_pictures_take_their_room_on_the_disk_once(delivered: Path) -> None:
    for path in (delivered / "image_folder").rglob("*.jpg"):
        assert os.path.samefile(path, delivered / "images" / path.name)


def test_folder_names_are_safe_and_differ() -> None:
    assert image_folder.folder_name("t-shirt") == "t-shirt"
    names = [image_folder.folder_name(value) for value in ("a/b", "a_b", "..", ".", "=cmd", "été", "a b", "a:b", "x" * 300)]
    assert len(set(names)) == len(names)
    for name in names:
        assert name not in (".", "..")
        assert "/" not in name
        assert len(name) < 120
        assert not name.startswith("=")
