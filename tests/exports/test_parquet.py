import io
import json
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from dataops_assets.stages.training_export import Assembly


def test_read_again_it_says_what_the_table_says(delivered: Path, assembly: Assembly) -> None:
    rows = {}
    for path in (delivered / "parquet").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            labels = {name: row[name] for name in ("style", "colours", "dress") if row[name] is not None}
            rows[row["image_id"]] = (path.stem, labels, row["kind"])
            assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (20, 30)
            assert row["image"]["bytes"] == (delivered / "images" / row["image"]["path"]).read_bytes()
    assert rows == {row.image_id: (row.split, json.loads(row.labels), row.kind) for row in assembly.frame.itertuples()}


def test_the_schema_tells_datasets_that_it_holds_pictures(delivered: Path) -> None:
    metadata = json.loads(pq.read_schema(delivered / "parquet" / "train.parquet").metadata[b"huggingface"])
    assert metadata["info"]["features"]["image"] == {"_type": "Image"}
    assert list(metadata["info"]["features"]) == pq.read_schema(delivered / "parquet" / "train.parquet").names
