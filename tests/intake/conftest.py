"""Deliveries read under watch: nothing may appear anywhere, and nothing may take long; and a web server of one's own."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.intake import made
from tests.intake.web import PICTURE, Handler, Server, Web, certificate


def listing(root: Path) -> list[tuple[str, int]]:
    return sorted((os.path.relpath(path, root), path.lstat().st_size) for path in root.rglob("*"))


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> made.Take:
    """Read an archive given as bytes, or a folder given as a path, and check that the disk is as it was."""
    for name in ("cwd", "temporary", "landing"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def read(delivery: bytes | Path, **limits: int) -> made.Taken:
        path = delivery if isinstance(delivery, Path) else tmp_path / "landing" / "drop"
        if isinstance(delivery, bytes):
            path.write_bytes(delivery)
        before = listing(tmp_path)
        taken = made.take(path, **limits)
        assert listing(tmp_path) == before
        return taken

    return read


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, ssl.SSLContext]]:
    folder = tmp_path_factory.mktemp("tls")
    server = Server(("127.0.0.1", 0), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(*certificate(folder))
    trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server, trusted
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web(running: tuple[Server, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Web:
    server, trusted = running
    server.asked = []
    server.answer = lambda asked: asked.reply(body=PICTURE)

    def no_lookup(*args: Any, **more: Any) -> Any:
        raise AssertionError(f"looked up {args}")

    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return Web(server, trusted)
