"""The projects there are: where their YAML lies, and how it is read, with the line of each mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from dataops_assets.spec import ProjectSpec

ENV_DEFS = "DATAOPS_DEFS"
COMPONENT_TYPE = "dataops_assets.project.LabelingProject"


class SpecError(ValueError):
    """The YAML of a project can't be used; the message says file, line and what to change."""


def defs_root() -> Path:
    """Where projects' YAML lies: DATAOPS_DEFS, or `defs/` of this package."""
    given = os.environ.get(ENV_DEFS)
    return Path(given).expanduser().absolute() if given else Path(__file__).resolve().parent / "defs"


def load_project(path: Path) -> ProjectSpec:
    """Read one `defs.yaml`.

    Raises:
        SpecError: with `file:line: place: what is wrong` for each mistake.
    """
    text = path.read_text(encoding="utf-8")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SpecError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(document, dict) or document.get("type") != COMPONENT_TYPE or not isinstance(document.get("attributes"), dict):
        raise SpecError(f"{path}:1: expected `type: {COMPONENT_TYPE}` and `attributes:` (see `dataops new`)")
    extra = document.keys() - {"type", "attributes"}
    if extra:
        raise SpecError(f"{path}:{_line(root, (min(extra),))}: unknown key {min(extra)!r} beside `type` and `attributes`")
    try:
        return ProjectSpec.model_validate(document["attributes"])
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "project"
            line = _line(root, ("attributes", *problem["loc"]))
            message = "unknown key; check the spelling" if problem["type"] == "extra_forbidden" else problem["msg"]
            lines.append(f"{path}:{line}: {place}: {message}")
        raise SpecError("\n".join(lines)) from error


def load_projects(root: Path) -> Iterator[ProjectSpec]:
    """Every project below a defs folder, by name of folder.

    Raises:
        SpecError: for the first that can't be used, or a folder named otherwise than its project.
    """
    for path in sorted(root.glob("*/defs.yaml")):
        spec = load_project(path)
        if spec.name != path.parent.name:
            raise SpecError(f"{path}: name {spec.name!r} differs from its folder {path.parent.name!r}; make them equal")
        yield spec


def _line(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """Line (from 1) of the deepest part of `place` that the YAML has."""
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
