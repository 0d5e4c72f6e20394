"""A new project's YAML, and the check that a YAML makes sense."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dataops_assets.projects import SpecError, defs_root, load_project, load_projects
from dataops_assets.spec import PROJECT_PATTERN, ProjectSpec


@dataclass(frozen=True)
class Report:
    """What the brief of one project adds up to."""

    project: str
    rows: Sequence[dict[str, Any]]
    problems: Sequence[str]

    @property
    def is_met(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {"project": self.project, "is_met": self.is_met, "problems": list(self.problems), "brief": list(self.rows)}

    def lines(self) -> list[str]:
        marks = {True: "ok  ", False: "no  "}
        body = [f"  {marks.get(row['is_met'], '    ')}{row['sentence']}" for row in self.rows]
        verdict = "fits" if self.is_met else "does not fit: " + "; ".join(self.problems)
        return [f"{self.project}: {verdict}", *body]


def write(project: str) -> Path:
    """Write the commented YAML of a new project.

    Raises:
        ValueError: when the name can't be used or is taken.
    """
    if not re.fullmatch(PROJECT_PATTERN, project):
        raise ValueError(f"{project!r} can't name a project: lower-case letters, digits and _, beginning with a letter, at most 63.")
    path = defs_root() / project / "defs.yaml"
    if path.exists():
        raise ValueError(f"{path} exists already.")
    template = resources.files("dataops_assets").joinpath("project_template.yaml").read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.replace("PROJECT_NAME", project), encoding="utf-8")
    load_project(path)
    return path


def check_projects(project: str | None) -> list[Report]:
    """Load every project, or the one named, and add up its brief.

    Raises:
        SpecError: with file and line of what can't be used.
    """
    if project is None:
        specs = list(load_projects(defs_root()))
    else:
        path = defs_root() / project / "defs.yaml"
        if not path.exists():
            raise SpecError(f"{path} does not exist; `dataops new {project}` writes one.")
        specs = [load_project(path)]
    return [_check(spec) for spec in specs]


def _check(spec: ProjectSpec) -> Report:
    from dataops_assets.stages.augmented_set import check_recipes
    from dataops_assets.stages.brief import CRITICAL, check

    mistakes = check_recipes(spec.augmentation)
    if mistakes:
        raise SpecError("\n".join(f"{defs_root() / spec.name / 'defs.yaml'}: {mistake}" for mistake in mistakes))
    frame = check(spec)
    rows = [{name: None if value != value else value for name, value in row.items()} for row in frame.astype("object").to_dict("records")]
    problems = [str(row["sentence"]) for row in rows if row["check"] in CRITICAL and not row["is_met"]]
    return Report(spec.name, [{str(k): v for k, v in row.items()} for row in rows], problems)
