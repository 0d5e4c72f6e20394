"""A small project with one question of each kind, and pictures, plans and answers for it."""

from __future__ import annotations

import hashlib
import io

import pandas as pd
from PIL import Image

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels.questions import question
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_tasks

KEY = b"secret"
HEADER = "item_id,attribute,label,x,y,w,h,annotator,submitted_at,seconds\n"
COLOUR = {"name": "colour", "question": "Which <colour>?", "values": {"red": "Red | wine.", "blue": "Sky to navy.", "NA": "Not a colour."}}
MARKS = {"name": "marks", "kind": "multi", "values": {"logo": "A brand's sign.", "text": "Any letters.", "dots": "Dots."}}
PARTS = {"name": "parts", "kind": "box", "values": {"bag": "A bag.", "hat": "A hat."}}


def make_spec(*attributes: dict, **labeling: object) -> ProjectSpec:
    vendors = [{"name": "acme", "price_per_label": 0.1}, {"name": "other", "price_per_label": 0.05}, {"name": "us", "internal": True}]
    return ProjectSpec.model_validate(
        {
            "name": "demo",
            "brief": {"goal": "Find it.", "requester": "r", "budget": 10, "start": "2026-01-01", "deadline": "2026-02-01", "volume": {}},
            "sources": {"vendors": [{"name": "shop"}]},
            "ontology": {"version": "7", "attributes": list(attributes or (COLOUR,))},
            "labeling": {
                "vendors": vendors,
                "overlap": 3,
                "gold_share": 0.2,
                "batch_size": 5,
                "pilot_size": 4,
                "pilot_overlap": 1,
                **labeling,
            },
        }
    )


def make_sources(n: int, blobs: Blobs | None = None, variants: int = 0) -> pd.DataFrame:
    """`augmented_set` rows of n 40x30 pictures, and so many variants of each."""
    rows = []
    for number in range(n):
        data = png(number) if blobs else str(number).encode()
        sha256 = blobs.put(data) if blobs else hashlib.sha256(data).hexdigest()
        image_id = hashlib.sha256(b"delivered" + data).hexdigest()
        base = {"source_image_id": image_id, "width_px": 40, "height_px": 30, "drop_id": "d1", "vendor": f"v{number % 2}"}
        base |= {"category": ["a", "b", "c"][number % 3], "sha256": sha256}
        rows.append(base | {"image_id": image_id, "kind": "source", "copy": 0})
        for copy in range(variants):
            variant = hashlib.sha256(f"{image_id}{copy}".encode()).hexdigest()
            rows.append(
                base | {"image_id": variant, "kind": "variant", "recipe": f"r{copy}", "copy": copy, "breaks": "colour" if copy else ""}
            )
    return manifest.conform(pd.DataFrame(rows), CONTRACTS["augmented_set"])


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (number % 256, number // 256, 90)).save(file, "PNG")
    return file.getvalue()


def make_tasks(spec: ProjectSpec, n: int = 2, kind: str = "production", gold: pd.DataFrame | None = None) -> pd.DataFrame:
    sources = make_sources(n)
    batches = label_tasks.plan(kind, spec, sources, manifest.empty("batch_plans"), gold=gold).batches  # type: ignore[arg-type]
    return label_tasks.build(batches[0], sources, spec)


def make_csv(*rows: str) -> bytes:
    return (HEADER + "\n".join(rows) + "\n").encode()


def answer_all(tasks: pd.DataFrame, spec: ProjectSpec, workers: tuple[str, ...] = ("ann", "bob", "cid"), value: int = 0) -> bytes:
    """A CSV in which every worker gives each question its value of that place."""
    rows = []
    for task in tasks.to_dict("records"):
        for name in task["attributes"].split("|"):
            attribute = question(spec, name)
            box = "1,2,10,8" if attribute.kind == "box" else ",,,"
            rows += [f"{task['task_id']},{name},{list(attribute.values)[value]},{box},{who},2026-01-02T00:00:00Z,3.5" for who in workers]
    return make_csv(*rows)
