"""A project's YAML: what is refused, where, and what the defaults are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops_assets import scaffold
from dataops_assets.projects import ENV_DEFS, SpecError, load_project, load_projects
from dataops_assets.spec import ProjectSpec
from tests.conftest import REPO

DEFS = REPO / "dataops_assets/defs"


def test_both_shipped_projects_load_side_by_side() -> None:
    assert [spec.name for spec in load_projects(DEFS)] == ["dresses", "garments"]


def test_dresses_ask_six_questions_and_garments_one_of_ten_classes(dresses: ProjectSpec, garments: ProjectSpec) -> None:
    names = [attribute.name for attribute in dresses.ontology.attributes]
    assert names == ["colour", "pattern", "sleeve_length", "neckline", "hemline", "style"]
    assert [len(attribute.values) for attribute in garments.ontology.attributes] == [10]


def broken(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "defs.yaml"
    text = (DEFS / "dresses/defs.yaml").read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("gold_share: 0.3", "gold_shar: 0.3", "labeling.gold_shar", "unknown key"),
        ("budget: 900", "budget: -1", "brief.budget", "greater than or equal to 0"),
        ("name: atelier", "name: Atelier & Co", "sources.vendors.0.name", "pattern"),
        ("style: {casual: 40", "style: {casul: 40", "project", "casul"),
        ("breaks: [colour]", "breaks: [color]", "project", "color"),
        ("deadline: 2027-03-31", "deadline: 2020-03-31", "brief", "not after start"),
        ("internal: true, ", "", "labeling", "internal"),
        (
            "  gates:\n",
            "  cleaning: {personal_data: {policy: {plate: reject}}}\n  gates:\n",
            "cleaning.personal_data",
            "add plate to look_for",
        ),
        (
            "  gates:\n",
            "  cleaning: {personal_data: {policy: {phone: keep, iban: review}}}\n  gates:\n",
            "cleaning.personal_data",
            "add text",
        ),
        ("  gates:\n", "  cleaning: {review: [irrelevant]}\n  gates:\n", "project", "cleaning.relevance names references"),
        ("  gates:\n", "  gates:\n    max_reason_share: {blury: 0.1}\n", "gates.max_reason_share.blury", "'blurry'"),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_place(tmp_path: Path, old: str, new: str, place: str, says: str) -> None:
    path = broken(tmp_path, old, new)
    with pytest.raises(SpecError) as caught:
        load_project(path)
    assert f": {place}: " in str(caught.value)
    assert says in str(caught.value)
    line = int(str(caught.value).split(":")[1])
    if place.count("."):
        assert place.split(".")[-1] in path.read_text().splitlines()[line - 1]


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text("type: x\nattributes: {a: [\n")
    with pytest.raises(SpecError, match=r"defs\.yaml:\d+: not valid YAML"):
        load_project(path)


def test_a_folder_named_otherwise_than_its_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/defs.yaml").write_text((DEFS / "dresses/defs.yaml").read_text())
    with pytest.raises(SpecError, match="differs from its folder"):
        list(load_projects(tmp_path))


def test_new_writes_a_yaml_that_check_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_DEFS, str(tmp_path))
    path = scaffold.write("hats")
    assert path == tmp_path / "hats/defs.yaml"
    assert path.read_text().count("#") > 20  # commented
    assert [report.is_met for report in scaffold.check_projects("hats")] == [True]
    with pytest.raises(ValueError, match="exists already"):
        scaffold.write("hats")


@pytest.mark.parametrize("name", ["Hats", "my-hats", "1hats", "", "a/b"])
def test_new_refuses_a_name_that_dagster_could_not_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_DEFS, str(tmp_path))
    with pytest.raises(ValueError, match="can't name a project"):
        scaffold.write(name)


def test_the_digest_follows_the_content(dresses: ProjectSpec) -> None:
    again = load_project(DEFS / "dresses/defs.yaml")
    assert again.digest == dresses.digest
    other = ProjectSpec.model_validate({**dresses.model_dump(), "description": "another"})
    assert other.digest != dresses.digest
