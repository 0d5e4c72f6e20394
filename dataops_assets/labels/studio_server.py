"""Label Studio's server on this machine: an environment of its own, started on loopback, telling nobody outside anything.

Everything lies below `DATAOPS_HOME/labelstudio`: the environment (unless DATAOPS_LABEL_STUDIO_ENV names one), the SQLite database,
the log, and `server.json` with address, account and token, readable by its owner only. The process belongs to nobody's terminal; it
runs until `stop`.

https://labelstud.io/guide/install.html, https://labelstud.io/guide/start.html
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dataops_assets import atomic
from dataops_assets.home import Home
from dataops_assets.labels.studio_client import Client, StudioError

ENV_ENVIRONMENT = "DATAOPS_LABEL_STUDIO_ENV"
ENV_URL = "DATAOPS_LABEL_STUDIO_URL"
ENV_TOKEN = "DATAOPS_LABEL_STUDIO_TOKEN"
HOST = "127.0.0.1"
PORT = 8080
USER = "dataops@localhost"
START_S = 180.0
END_S = 15.0
NOWHERE = "http://127.0.0.1:9"  # nothing listens there: what the server wants to tell or ask the world ends here
CONSTRAINTS = "label_studio_constraints.txt"

Say = Callable[[str], None]


class ServerError(RuntimeError):
    """The server can't be installed or started; the message says why and what to do."""


@dataclass(frozen=True)
class Server:
    """Where a Label Studio is.

    Attributes:
        pictures: Folder below which the server itself may read pictures; None for one elsewhere, which gets them sent.
    """

    url: str
    token: str
    pictures: Path | None = None

    @property
    def client(self) -> Client:
        return Client(self.url, self.token)


def folder_of(home: Home) -> Path:
    return home.root / "labelstudio"


def find(home: Home) -> Server | None:
    """The server that the environment names, else the one that was started in this home; None: neither.

    Raises:
        ServerError: when the environment gives an address without a token.
    """
    url = os.environ.get(ENV_URL)
    if url:
        token = os.environ.get(ENV_TOKEN)
        if not token:
            raise ServerError(f"{ENV_URL} is set and {ENV_TOKEN} isn't: set it to an access token of an account there.")
        return Server(url, token)
    known = _known(home)
    return Server(known["url"], known["token"], folder_of(home) / "pictures") if known.get("pid") else None


def environment_of(home: Home) -> Path:
    """The virtual environment of the server."""
    given = os.environ.get(ENV_ENVIRONMENT)
    return Path(given).expanduser().absolute() if given else folder_of(home) / "env"


def install(environment: Path, say: Say = lambda line: None) -> None:
    """Make the server's virtual environment, once; a later call finds it, unless the pinned versions changed.

    Raises:
        ServerError: with the last lines of what pip said.
    """
    pins = resources.files("dataops_assets.labels") / CONSTRAINTS
    mark, digest = environment / "installed", hashlib.sha256(pins.read_bytes()).hexdigest()
    environment.parent.mkdir(parents=True, exist_ok=True)
    with _alone(environment.with_name(f"{environment.name}.lock")):
        if mark.is_file() and mark.read_text() == digest:
            return
        say(f"Installing Label Studio into {environment}: about 1 GB, a minute or more ...")
        with resources.as_file(pins) as constraints:
            python = environment / "bin" / "python"
            for command in (
                [sys.executable, "-m", "venv", str(environment)],
                [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints), "label-studio"],
            ):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise ServerError(f"Label Studio can't be installed: {' '.join((done.stderr or done.stdout).split())[-600:]}")
        mark.write_text(digest)


def start(home: Home, port: int = PORT, say: Say = lambda line: None) -> dict[str, Any]:
    """Start the server, or find the one that runs; returns what `status` says.

    Raises:
        ServerError: when it can't be installed, the port is taken, or it doesn't answer in time.
    """
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    environment = environment_of(home)
    install(environment, say)
    with _alone(folder / ".lock"):
        if _is_running(_known(home)):
            _await(home, say)
            return status(home)
        if not _is_free(port):
            raise ServerError(f"Port {port} of {HOST} is taken by another program; choose another with --port.")
        old = _known(home)
        account = {name: old.get(name) or secrets.token_hex(20) for name in ("token", "password")}
        known = {"url": f"http://{HOST}:{port}", "user": USER, **account}
        _keep(home, known)  # before it starts: the database remembers the first token it sees
        say(f"Starting Label Studio on {known['url']} ...")
        command = [str(environment / "bin" / "label-studio"), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)]
        with open(os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as log:
            process = subprocess.Popen(
                command, env=settings(home, account), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        _keep(home, known | {"pid": process.pid, "owner": atomic.owner(process.pid)})
        try:
            _await(home, say, process)
        finally:
            process.returncode = process.poll() or 0  # from here on it belongs to nobody: Popen would warn that it still runs
    return status(home)


def stop(home: Home) -> bool:
    """End the server of this home; False when it didn't run."""
    with _alone(folder_of(home) / ".lock"):
        known = _known(home)
        if not _is_running(known):
            return False
        pid = int(known["pid"])
        for number, seconds in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            os.killpg(pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and _is_running(known):
                _reap(pid)
                time.sleep(0.1)
            if not _is_running(known):
                break
        _keep(home, {name: value for name, value in known.items() if name not in ("pid", "owner")})
        return True


def status(home: Home) -> dict[str, Any]:
    """Address, whether it answers, its version, and the link by which annotators get an account."""
    server, known = find(home), _known(home)
    if server is None:
        return {"is_up": False, "url": known.get("url"), "why": "no Label Studio runs for this home: dataops labelstudio up"}
    told: dict[str, Any] = {"is_up": False, "url": server.url, "is_elsewhere": server.pictures is None}
    try:
        told |= {"version": server.client.version(), "invitation": server.client.invitation(), "is_up": True, "why": ""}
    except StudioError as error:
        told["why"] = str(error)
    if server.pictures is not None:
        told |= {"user": known.get("user"), "secrets": str(_place(home)), "log": str(folder_of(home) / "server.log")}
    return told


def settings(home: Home, account: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: nothing of ours but what it needs, nobody but us let in, nothing told to the world."""
    folder = folder_of(home)
    data = folder / "data"
    for needed in (data, folder / "pictures"):
        needed.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    named = {
        "BASE_DATA_DIR": str(data),
        "USERNAME": USER,
        "PASSWORD": account["password"],
        "USER_TOKEN": account["token"],
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "ALLOWED_HOSTS": f"{HOST},localhost",  # a page elsewhere whose name is made to point here is refused
        "CORS_ALLOW_ALL_ORIGINS": "false",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder / "pictures"),  # what was sent there, not all of requests/
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "false",
    }
    return kept | proxies | {"no_proxy": f"{HOST},localhost", "HOME": str(data)} | {f"LABEL_STUDIO_{k}": v for k, v in named.items()}


# ---- inside


def _place(home: Home) -> Path:
    return folder_of(home) / "server.json"


def _known(home: Home) -> dict[str, Any]:
    try:
        held = json.loads(_place(home).read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _keep(home: Home, known: Mapping[str, Any]) -> None:
    temporary = _place(home).with_name(f".server.json.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(dict(known), file, indent=1)
    os.replace(temporary, _place(home))


def _is_running(known: Mapping[str, Any]) -> bool:
    pid = known.get("pid")
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return atomic.owner(pid) == known.get("owner")


def _reap(pid: int) -> None:
    """Take the end of our own child; another's is none of ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _is_free(port: int) -> bool:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, port))
        except OSError:
            return False
    return True


def _await(home: Home, say: Say, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until the server answers to our token."""
    server, deadline, why = find_own(home), time.monotonic() + START_S, ""
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        try:
            server.client.version()
            return
        except StudioError as error:
            why = str(error)
        time.sleep(0.5)
    lines = (folder_of(home) / "server.log").read_text(errors="replace").splitlines()[-5:]
    raise ServerError(f"Label Studio did not start ({why}); its log, {folder_of(home) / 'server.log'}, ends:\n" + "\n".join(lines))


def find_own(home: Home) -> Server:
    """The server of this home, whatever the environment names."""
    known = _known(home)
    return Server(known["url"], known["token"], folder_of(home) / "pictures")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; the kernel frees it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
