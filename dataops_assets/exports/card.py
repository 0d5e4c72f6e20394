"""The delivery's README: a dataset card with a head that Hugging Face's hub reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from dataops_assets.exports import image_folder
from dataops_assets.exports.coco import splits
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec

LIMITS = (
    "Variants (augmented pictures) are in train only; val and test hold sources only.",
    "A variant lacks the labels its recipe may have changed, and every box; a missing label is unknown, not \"no\".",
    "Pictures of one product or of one near-duplicate group are in one split.",
    "Labels hold for the picture as delivered here, under the ontology version named above.",
)  # fmt: skip


def write(root: Path, frame: pd.DataFrame, left_out: pd.DataFrame, spec: ProjectSpec, release: str, facts: Mapping[str, object]) -> None:
    """`root/README.md`: what is in it, how it was labelled, what it may be used for, and what is known to be wrong.

    Args:
        root: The release folder.
        frame: Rows of `training_export`.
        left_out: image_id, kind, reason, ...
        spec: The project.
        release: Name of the release.
        facts: What was measured. `licenses` and `gates` (a list of sentences, or name -> value) have sections of their own,
            everything else is listed under "Measured" as name and value.
    """
    (root / "README.md").write_text(build(frame, left_out, spec, release, facts), encoding="utf-8")


def build(frame: pd.DataFrame, left_out: pd.DataFrame, spec: ProjectSpec, release: str, facts: Mapping[str, object]) -> str:
    """The card's text."""
    names = splits(frame)
    brief, sources = spec.brief, frame[frame["kind"] == "source"]
    measured = {name: value for name, value in facts.items() if name not in ("licenses", "gates")}
    parts = [
        _head(frame, spec, facts),
        f"# {spec.name} {release}\n\n{_text(spec.description)}\n\n{_text(brief.goal)} Asked for by {_text(brief.requester)}.",
        "## Contents\n\n"
        + _table(["split", "pictures", "sources", "variants"], [_count(frame[frame["split"] == name], name) for name in names])
        + "\n\n"
        + _files(spec),
        f"## Classes\n\nSource pictures, ontology version {spec.ontology.version}.\n\n"
        + _classes(sources, spec, names)
        + _unlabelled(sources, spec),
        "## How it was labelled\n\n"
        f"{spec.labeling.overlap} independent answers to each question of each source picture, hidden control pictures among them "
        f"({spec.labeling.gold_share:.0%}); labels are accepted, surest first, "
        f"while {spec.brief.accuracy_target:.0%} of them are right by their posteriors, "
        "otherwise it is asked again or decided by our own people. A variant has the labels of its source.\n\n"
        f"Accuracy target: {brief.accuracy_target:.1%} of the labels right.",
        "## Measured\n\n" + _list(measured),
        "## Sources and licences\n\n" + _vendors(sources) + "\n\n" + _list(facts.get("licenses")),
        "## Gates passed\n\n" + _list(facts.get("gates")),
        "## Left out\n\n" + _left_out(left_out),
        "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def _head(frame: pd.DataFrame, spec: ProjectSpec, facts: Mapping[str, object]) -> str:
    names = splits(frame)
    boxes = any(attribute.kind == "box" for attribute in spec.ontology.attributes)
    licenses = facts.get("licenses")
    given = sorted(map(str, licenses)) if isinstance(licenses, Mapping) else []
    total = len(frame)
    size = next(name for top, name in ((1000, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (float("inf"), "n>100K")) if total < top)
    head: dict[str, object] = {
        "pretty_name": spec.name,
        "task_categories": ["image-classification"] + (["object-detection"] if boxes else []),
        "size_categories": [size],
        "license": "other",
        "license_details": given or ["see below"],
    }
    if "parquet" in spec.export.formats:
        files = [{"split": "validation" if name == "val" else name, "path": f"parquet/{name}.parquet"} for name in names]
        head["configs"] = [{"config_name": "default", "data_files": files}]
    return "---\n" + yaml.safe_dump(head, sort_keys=False, allow_unicode=True) + "---"


def _files(spec: ProjectSpec) -> str:
    folder = image_folder.attribute(spec)
    lines = [
        "- `images/`: every picture once, named by its id",
        "- `labels.csv`: a row a picture; `left_out.csv`: a row a picture that isn't here",
    ]
    known = {
        "image_folder": f"- `image_folder/`: split / {folder or 'all'} / picture (the same pictures again)",
        "coco": "- `coco/`: `instances_<split>.json`; pictures in `images/`",
        "parquet": "- `parquet/`: pictures and labels, `load_dataset(\"parquet\", ...)`",
    }  # fmt: skip
    lines += [known[name] for name in known if name in spec.export.formats]
    return "\n".join([*lines, "- `checksums.sha256`: `sha256sum --check checksums.sha256`"])


def _count(rows: pd.DataFrame, name: str) -> list[object]:
    variants = int((rows["kind"] == "variant").sum())
    return [name, len(rows), len(rows) - variants, variants]


def _classes(sources: pd.DataFrame, spec: ProjectSpec, names: Sequence[str]) -> str:
    counts: Counter[tuple[str, str, str]] = Counter()
    for split, text in zip(sources["split"], sources["labels"], strict=True):
        for name, value in json.loads(text).items():
            items = value if isinstance(value, list) else [value]
            counts.update({(split, name, item["label"] if isinstance(item, dict) else item) for item in items})
    rows: list[list[object]] = []
    for attribute in spec.ontology.attributes:
        for value in attribute.values:
            rows.append([attribute.name, value, *(counts[(split, attribute.name, value)] for split in names)])
    return _table(["attribute", "value", *names], rows)


def _unlabelled(sources: pd.DataFrame, spec: ProjectSpec) -> str:
    """How many source pictures have an answer that is no label; "" where every one is a label."""
    counts: Counter[tuple[str, str]] = Counter()
    for text in sources["unlabelled"].dropna() if "unlabelled" in sources.columns else ():
        counts.update(json.loads(text).items())
    words = {CANT_TELL: "can't tell", NOT_APPLICABLE: "doesn't apply, or left open"}
    rows = [[attribute.name, *(counts[attribute.name, answer] for answer in words)] for attribute in spec.ontology.attributes]
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return ""
    return "\n\nPictures with an answer that is no label; they are here without it:\n\n" + _table(["attribute", *words.values()], rows)


def _vendors(sources: pd.DataFrame) -> str:
    counts = sources["vendor"].fillna("unknown").value_counts().sort_index()
    return _table(["image vendor", "source pictures"], [[name, int(count)] for name, count in counts.items()])


def _left_out(left_out: pd.DataFrame) -> str:
    if left_out.empty:
        return "Nothing."
    counts = left_out.groupby(["reason", "kind"]).size().sort_index()
    return _table(["reason", "kind", "pictures"], [[*key, int(count)] for key, count in counts.items()])  # type: ignore[misc]


def _list(facts: object) -> str:
    if not facts:
        return "Nothing was given."
    if isinstance(facts, Mapping):
        return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in facts.items())
    return "\n".join(f"- {_text(item)}" for item in (facts if isinstance(facts, Sequence) and not isinstance(facts, str) else [facts]))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(value: object) -> str:
    """A value as one line of Markdown that shows what it says: vendors' words don't become markup."""
    text = " ".join(f"{value:.4g}".split() if isinstance(value, float) else str(value).split())
    for mark in "\\`*[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
