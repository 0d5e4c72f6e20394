"""The delivery as Parquet: pictures and labels in one file a split, as Hugging Face's `datasets` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets.exports.coco import splits
from dataops_assets.spec import Attribute, ProjectSpec

ROWS_A_GROUP = 100  # some 10 MB of pictures at a time in memory
TEXTS = ("image_id", "source_image_id", "kind", "vendor", "split_group", "ontology_version")


def write(root: Path, frame: pd.DataFrame, spec: ProjectSpec) -> None:
    """`root/parquet/<split>.parquet`: `image` (struct of bytes and path), an `attribute` column each, and where it came from.

    A single choice is text, a multiple one a list of text, boxes a list of structs (label, x, y, w, h; px). Null where the
    picture lacks the label. The same rows give the same bytes with the same pyarrow.

    Args:
        root: The release folder; its `images/` is complete.
        frame: Rows of `training_export`.
        spec: Its ontology gives the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = root / "parquet"
    target.mkdir()
    kinds = {
        "single": pa.string(),
        "multi": pa.list_(pa.string()),
        "box": pa.list_(pa.struct([("label", pa.string()), *((side, pa.float64()) for side in "xywh")])),
    }
    attributes = spec.ontology.attributes
    columns = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    columns += [(column(attribute.name), kinds[attribute.kind]) for attribute in attributes] + [(name, pa.string()) for name in TEXTS]
    schema = pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": _features(attributes)}})})
    for split in splits(frame):
        rows = frame[frame["split"] == split].sort_values("image_id").to_dict("records")
        with pq.ParquetWriter(target / f"{split}.parquet", schema, compression="snappy") as writer:
            for start in range(0, len(rows), ROWS_A_GROUP):
                chunk = [_row(root, row, attributes) for row in rows[start : start + ROWS_A_GROUP]]
                writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def column(attribute: str) -> str:
    """Name of an attribute's column; one that would hide a column of ours gets `label_` before it."""
    return f"label_{attribute}" if attribute in ("image", *TEXTS) else attribute


def _row(root: Path, row: dict[Any, Any], attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    labels = json.loads(row["labels"])
    picture = {"bytes": (root / row["file"]).read_bytes(), "path": Path(row["file"]).name}
    given = {column(attribute.name): labels.get(attribute.name) for attribute in attributes}
    return {"image": picture} | given | {name: row[name] for name in TEXTS}


def _features(attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    """How `datasets` is to read the columns."""
    text = {"dtype": "string", "_type": "Value"}
    number = {"dtype": "float64", "_type": "Value"}
    kinds: dict[str, Any] = {
        "single": text,
        "multi": {"feature": text, "_type": "Sequence"},
        "box": [{"label": text, "x": number, "y": number, "w": number, "h": number}],
    }
    labels = {column(attribute.name): kinds[attribute.kind] for attribute in attributes}
    return {"image": {"_type": "Image"}} | labels | dict.fromkeys(TEXTS, text)
