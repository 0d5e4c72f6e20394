"""A small release, made by hand."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import training_export


def spec_of(attributes: list[dict[str, object]], **export: object) -> ProjectSpec:
    return ProjectSpec.model_validate({
        "name": "shop",
        "description": "Shop photos | <b>all</b>",
        "brief": {"goal": "Tell apart.", "requester": "me", "budget": 1, "start": "2026-01-01", "deadline": "2026-02-01", "volume": {}},
        "sources": {"vendors": [{"name": "acme"}]},
        "ontology": {"attributes": attributes},
        "labeling": {"vendors": [{"name": "own", "internal": True}]},
        "export": export,
    })  # fmt: skip


SPEC = spec_of([
    {"name": "style", "values": {"casual": "", "a/b": "", "=cmd": ""}},
    {"name": "colours", "kind": "multi", "values": {"red": "", "blue": ""}},
    {"name": "dress", "kind": "box", "values": {"dress": "", "coat": ""}},
])  # fmt: skip


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def release_of(blobs: Blobs, n: int = 30) -> training_export.Assembly:
    """`n` sources and a mirrored variant each; every third is of style a/b, every fourth =cmd."""
    augmented, approved, cleaned = [], [], []
    for number in range(n):
        source, sha256 = hashlib.sha256(b"%d" % number).hexdigest(), blobs.put(picture(number))
        row = {"image_id": source, "source_image_id": source, "kind": "source", "sha256": sha256, "width_px": 20, "height_px": 30}
        variant = blobs.put(picture(1000 + number))
        place = {"drop_id": "d1", "vendor": "acme"}
        augmented += [row | place, row | place | {"image_id": variant, "sha256": variant, "kind": "variant", "breaks": "colours"}]
        cleaned.append({"image_id": source, "drop_id": "d1", "status": "kept"})
        label = {"image_id": source, "batch_id": "b1", "kind": "production", "object_id": "-", "ontology_version": "1"}
        approved += [
            label | {"attribute": "style", "label": "a/b" if number % 3 == 0 else "=cmd" if number % 4 == 0 else "casual"},
            label | {"attribute": "colours", "label": "red|blue" if number % 2 else "red"},
        ]
        if number == 1:
            approved.append(label | {"attribute": "dress", "label": "none"})
        else:
            box = {"attribute": "dress", "x": 1.0, "y": 2.0, "w": 10.0, "h": 12.5}
            approved += [label | box | {"label": "dress", "object_id": "o1"}, label | box | {"label": "coat", "object_id": "o2", "x": 4.0}]
    frames = (
        manifest.conform(pd.DataFrame(rows), CONTRACTS[name])
        for rows, name in ((approved, "approved_labels"), (augmented, "augmented_set"), (cleaned, "cleaned_set"))
    )
    return training_export.assemble(*frames, SPEC, "r1")


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    return Blobs(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="session")
def assembly(blobs: Blobs) -> training_export.Assembly:
    return release_of(blobs)


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory, blobs: Blobs, assembly: training_export.Assembly) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "shop" / "r1"
    facts = {"gold accuracy": 0.97123456, "licenses": {"CC0-1.0": 30}, "gates": ["cleaned_set d1: pass"]}
    training_export.write(assembly, SPEC, folder, blobs, facts)
    return folder
