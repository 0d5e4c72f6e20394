"""Starting and finding a server. The program started here is a stand-in; `tests/services` starts the real one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from dataops_assets.home import Home
from dataops_assets.labels import studio_server
from dataops_assets.labels.studio_server import ServerError
from tests.conftest import REPO

PROGRAM = f"""#!{sys.executable}
import os, sys, time
sys.path.insert(0, {str(REPO)!r})
if os.path.exists(os.path.join(os.path.dirname(__file__), "broken")):
    sys.exit("no database for you")
from tests.labels import studio_fake
studio_fake.TOKEN = os.environ["LABEL_STUDIO_USER_TOKEN"]
with studio_fake.running(port=int(sys.argv[sys.argv.index("--port") + 1])):
    time.sleep(120)
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that counts as installed."""
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "label-studio"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    pins = resources.files("dataops_assets.labels") / studio_server.CONSTRAINTS
    (folder / "installed").write_text(hashlib.sha256(pins.read_bytes()).hexdigest())
    monkeypatch.setenv(studio_server.ENV_ENVIRONMENT, str(folder))
    return folder


@pytest.fixture
def place(tmp_path: Path, environment: Path) -> Iterator[Home]:
    home = Home.at(tmp_path / "home")
    yield home
    studio_server.stop(home)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_it_is_started_once_found_again_and_ended(place: Home) -> None:
    assert studio_server.find(place) is None
    assert not studio_server.status(place)["is_up"]
    port = free_port()
    told = studio_server.start(place, port)
    assert (told["is_up"], told["url"]) == (True, f"http://127.0.0.1:{port}")
    assert told["invitation"] == f"http://127.0.0.1:{port}/user/signup/?token=t"
    secret = studio_server.folder_of(place) / "server.json"
    known = json.loads(secret.read_text())
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert studio_server.start(place, free_port()) == told  # whatever port is asked for
    assert json.loads(secret.read_text()) == known
    assert studio_server.stop(place)
    assert not studio_server.stop(place)
    assert not studio_server.status(place)["is_up"]
    studio_server.start(place, free_port())
    again = json.loads(secret.read_text())
    assert (again["token"], again["password"]) == (known["token"], known["password"])


def test_one_that_was_killed_is_started_anew(place: Home) -> None:
    studio_server.start(place, free_port())
    known = json.loads((studio_server.folder_of(place) / "server.json").read_text())
    os.kill(known["pid"], 9)
    time.sleep(0.2)
    assert not studio_server.status(place)["is_up"]
    assert studio_server.start(place, free_port())["is_up"]


def test_a_port_that_is_taken_is_said(place: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        with pytest.raises(ServerError, match=f"Port {port} of 127.0.0.1 is taken by another program; choose another with --port"):
            studio_server.start(place, port)


def test_one_that_dies_at_once_shows_the_end_of_its_log(place: Home, environment: Path) -> None:
    (environment / "bin" / "broken").touch()
    with pytest.raises(ServerError, match=r"did not start .*server\.log, ends:\nno database for you"):
        studio_server.start(place, free_port())
    (environment / "bin" / "broken").unlink()
    assert studio_server.start(place, free_port())["is_up"]


def test_what_cannot_be_installed_is_said_with_pips_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ServerError, match="can't be installed: ERROR: No matching distribution found"):
        studio_server.install(tmp_path / "env")
    assert not (tmp_path / "env" / "installed").exists()


def test_the_server_gets_nothing_of_our_environment_and_tells_nobody_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    monkeypatch.setenv("DATAOPS_WORKER_KEY", "ours")
    given = studio_server.settings(Home.at(tmp_path), {"token": "t", "password": "p"})
    assert "ours" not in given.values()
    assert given["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(tmp_path / "labelstudio" / "pictures")
    for name, value in (
        ("COLLECT_ANALYTICS", "false"),
        ("LATEST_VERSION_CHECK", "false"),
        ("SENTRY_DSN", ""),
        ("DISABLE_SIGNUP_WITHOUT_LINK", "true"),
    ):
        assert given[f"LABEL_STUDIO_{name}"] == value
    assert {given[name] for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")} == {"http://127.0.0.1:9"}


def test_a_server_elsewhere_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.at(tmp_path)
    monkeypatch.setenv(studio_server.ENV_URL, "https://labels.example.org")
    with pytest.raises(ServerError, match="DATAOPS_LABEL_STUDIO_TOKEN isn't"):
        studio_server.find(home)
    monkeypatch.setenv(studio_server.ENV_TOKEN, "t")
    assert studio_server.find(home) == studio_server.Server("https://labels.example.org", "t", None)


def test_the_pinned_versions_name_no_addresses() -> None:
    lines = (resources.files("dataops_assets.labels") / studio_server.CONSTRAINTS).read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert any(line.startswith("label-studio==") for line in pins)
    assert all(len(line.split("==")) == 2 and "/" not in line and "@" not in line for line in pins)
