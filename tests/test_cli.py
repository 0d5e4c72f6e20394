"""The `dataops` command: exit codes, plain sentences, JSON, and that the README knows every command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataops_assets.cli.audit import audit
from dataops_assets.cli.commands import app
from dataops_assets.cli.label_studio import labelstudio
from dataops_assets.projects import ENV_DEFS
from tests.conftest import REPO

RUN = CliRunner()


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dataops_assets.cli", *arguments], capture_output=True, text=True, timeout=120, cwd=REPO)


def test_help_answers_without_loading_anything_heavy() -> None:
    probe = (
        "import sys, dataops_assets.cli.commands; "
        "print([m for m in ('dagster', 'great_expectations', 'pandas', 'cv2') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=REPO)
    assert loaded.stdout.strip() == "[]"
    started = time.monotonic()
    assert call("--help").returncode == 0
    assert time.monotonic() - started < 30  # under a second on an idle machine; this is no timing test


def test_the_end_of_a_command_loses_nothing_and_aborts_nothing() -> None:
    """Exit functions and threads that are still at work have their turn; what is taken apart after that would abort the process."""
    code = """
import atexit, threading, time
from dataops_assets.cli.terminal import leave
class Aborts:
    def __del__(self, exit=__import__("os")._exit):
        exit(77)
held = Aborts()
atexit.register(print, "exit function")
threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
print("said")
leave({})
"""
    for given, status in (("None", 0), ("3", 3), ("'why'", 1)):
        done = subprocess.run([sys.executable, "-c", code.format(given)], capture_output=True, text=True, timeout=60, cwd=REPO)
        assert (done.returncode, done.stdout.split("\n")) == (status, ["said", "thread", "exit function", ""])
    assert done.stderr == "why\n"


def test_every_command_is_in_the_readme() -> None:
    readme = (REPO / "README.md").read_text()
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    commands += [f"audit {command.name or command.callback.__name__}" for command in audit.registered_commands if command.callback]
    assert [name for name in commands if f"dataops {name}" not in readme and f"make {name}" not in readme] == []


def test_every_command_of_label_studio_is_in_its_page() -> None:
    page = (REPO / "docs" / "label_studio.md").read_text()
    commands = [command.name or command.callback.__name__ for command in labelstudio.registered_commands if command.callback]
    assert [name for name in commands if f"dataops labelstudio {name}" not in page] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["status", "nothing"], 2, "There is no project 'nothing'; there are: dresses, garments"),
        (["withdraw", "dresses", "--reason", "r", "--by", "b"], 2, "Name either --drop or --image"),
        (["ingest", "dresses", "atelier", "/no/such/folder"], 2, "does not exist"),
        (["query", "select nonsense"], 2, "nonsense"),
        (["audit", "trace", "abc123"], 1, "abc123"),
        (["new", "Bad-Name"], 2, "can't name a project"),
    ],
)
def test_a_wrong_request_ends_with_a_sentence_and_its_code(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    if arguments[0] != "new":
        arguments = [*arguments, "--home", str(tmp_path)]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == code
    assert says in " ".join(result.output.split()).replace("│ ", "")


def test_a_typo_in_a_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "dresses").mkdir()
    text = (REPO / "dataops_assets/defs/dresses/defs.yaml").read_text().replace("gold_share", "gold_shar")
    (tmp_path / "dresses/defs.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "dataops_assets.cli", "check"],
        capture_output=True,
        text=True,
        env={ENV_DEFS: str(tmp_path), "PATH": ""},
        cwd=REPO,
    )
    assert done.returncode == 2
    assert "labeling.gold_shar: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


def test_query_shows_released_tables_and_ledgers_and_nothing_else(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["query", "SHOW TABLES", "--json", "--home", str(tmp_path)])
    tables = {row["name"] for row in json.loads(result.output)}
    assert {"gates", "costs", "drops", "releases", "raw_images", "cleaned_set", "training_export"} <= tables
    outside = RUN.invoke(app, ["query", "SELECT * FROM read_text('/etc/hostname')", "--home", str(tmp_path)])
    assert outside.exit_code == 2
    assert (
        RUN.invoke(app, ["query", "CREATE TABLE x AS SELECT 1; SET enable_external_access = true", "--home", str(tmp_path)]).exit_code == 2
    )


def test_check_says_what_the_brief_adds_up_to_and_whether_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RUN.invoke(app, ["check"]).exit_code == 0
    (tmp_path / "dresses").mkdir()
    text = (REPO / "dataops_assets/defs/dresses/defs.yaml").read_text().replace("budget: 900", "budget: 9")
    (tmp_path / "dresses/defs.yaml").write_text(text)
    monkeypatch.setenv(ENV_DEFS, str(tmp_path))
    poor = RUN.invoke(app, ["check", "--json"])
    assert poor.exit_code == 1
    assert "of 9.00 EUR" in json.loads(poor.output)[0]["problems"][0]
