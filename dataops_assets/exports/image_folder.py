"""The delivery as folders: `<split>/<value>/<image>`, what torchvision's ImageFolder and Keras read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd

from dataops_assets.spec import ProjectSpec


def write(root: Path, frame: pd.DataFrame, spec: ProjectSpec) -> None:
    """Put each picture of `root/images` under `root/image_folder/<split>/<value of the folder attribute>/`.

    Hard links where the disk allows, else copies. A picture without that label, such as a variant whose recipe breaks it, is
    not in these folders. Several values of a multi-choice attribute are joined by +.

    Args:
        root: The release folder; its `images/` is complete.
        frame: Rows of `training_export`.
        spec: Names the folder attribute.
    """
    target = root / "image_folder"
    target.mkdir()
    name = attribute(spec)
    for row in frame.to_dict("records"):
        value = json.loads(row["labels"]).get(name) if name else "all"
        if not value:
            continue
        folder = target / row["split"] / folder_name("+".join(value) if isinstance(value, list) else value)
        folder.mkdir(parents=True, exist_ok=True)
        picture = root / row["file"]
        try:
            os.link(picture, folder / picture.name)
        except OSError:
            shutil.copyfile(picture, folder / picture.name)


def attribute(spec: ProjectSpec) -> str | None:
    """The attribute that names the folders: the spec's choice, else the first; None when only boxes are labelled."""
    named = [attribute.name for attribute in spec.ontology.attributes if attribute.kind != "box"]
    chosen = spec.export.folder_attribute
    return chosen if chosen in named else next(iter(named), None)


def folder_name(value: str) -> str:
    """A value as the name of a folder; one that had to be changed carries a digest, so that no two meet."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,100}", value) and not value.endswith("."):
        return value
    safe = re.sub(r"[^A-Za-z0-9_+-]+", "_", value)[:60].strip("_") or "value"
    return f"{safe}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
