"""A Label Studio that fits into a test: the calls we use, over real HTTP on loopback, and every way to fail at them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "secret-token"


class Fake:
    """What the server holds, and what it does to the next requests.

    Attributes:
        before: Called with (method, path) before a request is carried out; what it returns is answered instead: (code, body).
        after: The same afterwards: the request was carried out, and nobody learns it.
        asked: (method, path, authorization) of every request.
    """

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.rows: dict[int, list[dict[str, Any]]] = {}
        self.stores: list[dict[str, Any]] = []
        self.files: dict[int, dict[str, bytes]] = {}
        self.people = {1: "Ann@example.org", 2: "bob@example.org"}
        self.before: Callable[[str, str], tuple[int, bytes] | None] = lambda method, path: None
        self.after = self.before
        self.asked: list[tuple[str, str, str]] = []
        self.url = ""
        self._clock = self._number = 0

    def answer(self, title: str, item_id: str, who: int, label: str, **facts: Any) -> dict[str, Any]:
        """What somebody answers in the tool."""
        (project,) = [one for one in self.projects if one["title"] == title]
        (task,) = [task for task in self.rows[project["id"]] if task["data"]["item_id"] == item_id]
        result = [{"from_name": "colour", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]
        made = {"id": self._next(), "completed_by": who, "updated_by": who, "result": result, "was_cancelled": False, "lead_time": 3.0}
        made |= {"created_at": self.now(), "updated_at": self.now(), "project": project["id"], "task": task["id"]} | facts
        task["annotations"].append(made)
        return made

    def delete(self, annotation: dict[str, Any]) -> None:
        for task in [task for rows in self.rows.values() for task in rows]:
            task["annotations"] = [one for one in task["annotations"] if one is not annotation]

    def now(self) -> str:
        self._clock += 1
        return f"2026-11-05T10:{self._clock // 60:02d}:{self._clock % 60:02d}.000000Z"

    def _next(self) -> int:
        self._number += 1
        return self._number

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        given = json.loads(body) if body[:1] in (b"{", b"[") else None
        project = int(found[1]) if (found := re.match(r"/api/projects/(\d+)", path)) else None
        match method, re.sub(r"\d+", "N", path):
            case "GET", "/api/version":
                return 200, {"release": "0.0"}
            case "GET", "/api/current-user/whoami":
                return 200, {"id": 1}
            case "GET", "/api/invite":
                return 200, {"invite_url": "/user/signup/?token=t"}
            case "GET", "/api/users":
                return 200, [{"id": number, "email": email} for number, email in self.people.items()]
            case "GET", "/api/projects":
                return self._page(query, sorted(self.projects, key=lambda one: -one["id"]), "results", "count")
            case "POST", "/api/projects":
                if not 3 <= len(given["title"]) <= 50:
                    return 400, {"validation_errors": {"title": ["Ensure this field has no more than 50 characters."]}}
                self.projects.append(given | {"id": self._next()})
                self.rows[self.projects[-1]["id"]] = []
                return 201, self.projects[-1]
            case "PATCH", "/api/projects/N/":
                (one,) = [one for one in self.projects if one["id"] == project]
                one.update(given)
                return 200, one
            case "DELETE", "/api/projects/N/":
                self.projects = [one for one in self.projects if one["id"] != project]
                return 204, None
            case "GET", "/api/tasks":
                rows = self.rows[int(query["project"][0])]
                counts = [row | {"total_annotations": len(row["annotations"]), "cancelled_annotations": 0} for row in rows]
                return self._page(query, counts, "tasks", "total")
            case "POST", "/api/projects/N/import" if given is not None:
                self.rows[project] += [task | {"id": self._next(), "annotations": []} for task in given]
                return 201, {"task_count": len(given)}
            case "POST", "/api/projects/N/import":
                for name, data in re.findall(rb'filename="([^"]+)"\r\n.*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL):
                    self.files.setdefault(project, {})[f"upload/{project}/{self._next():08x}-{name.decode()}"] = data
                return 201, {}
            case "GET", "/api/projects/N/file-uploads":
                return 200, [{"file": name} for name in self.files.get(project, {})]
            case "DELETE", "/api/tasks/N/":
                number = int(path.split("/")[3])
                self.rows = {key: [row for row in rows if row["id"] != number] for key, rows in self.rows.items()}
                return 204, None
            case "GET", "/api/storages/localfiles":
                return 200, [one for one in self.stores if one["project"] == int(query["project"][0])]
            case "POST", "/api/storages/localfiles":
                self.stores.append(given)
                return 201, given
        return 404, {"detail": "Not found."}

    def _page(self, query: dict[str, list[str]], rows: list[dict[str, Any]], name: str, total: str) -> tuple[int, Any]:
        page, size = int(query["page"][0]), int(query["page_size"][0])
        found = rows[(page - 1) * size : page * size]
        return (200, {name: found, total: len(rows)}) if found or page == 1 else (404, {"detail": "Invalid page."})


@contextmanager
def running(fake: Fake | None = None, port: int = 0) -> Iterator[Fake]:
    """The fake on a port of this machine."""
    held = fake or Fake()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            held.asked.append((self.command, parts.path, self.headers.get("Authorization", "")))
            answer = held.before(self.command, parts.path)
            if answer is None and self.headers.get("Authorization") != f"Token {TOKEN}":
                answer = (401, b'{"detail": "Invalid token."}')
            if answer is None:
                code, document = held.handle(self.command, parts.path, parse_qs(parts.query), body)
                answer = held.after(self.command, parts.path) or (code, b"" if document is None else json.dumps(document).encode())
            code, text = answer
            if code == 0:
                self.connection.close()
                return
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", text.decode())
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
