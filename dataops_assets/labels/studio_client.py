"""The few calls of Label Studio's REST API that we need: https://api.labelstud.io/api-reference

Whatever goes wrong - nobody answers, an error page, another program's answer - is a `StudioError` with a sentence. A call changes
nothing here, and is never repeated: who asks looks first what is there.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

PAGE = 100
SECONDS = 30.0
ACCESS_S = 120.0  # what a token is exchanged for holds for 5 minutes
MAX_BYTES = 256 * 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class StudioError(RuntimeError):
    """Label Studio can't do what was asked now. `code` is its HTTP status, 0 when nobody answered."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StudioDown(StudioError):
    """Nobody answers."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the token is for one server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """One server and one account's access token, of either kind that Label Studio gives out."""

    def __init__(self, url: str, token: str, seconds: float = SECONDS) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudioError(f"{url!r} is no address of a Label Studio: expected http(s)://host[:port].")
        self.url, self._token, self._seconds = url.rstrip("/"), token, seconds
        handlers: list[urllib.request.BaseHandler] = [_Stay()]
        if parts.hostname in LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._access, self._access_at = "", float("-inf")

    # ---- the server

    def version(self) -> str:
        """Its version; also tells whether it lets us in."""
        told = self._ask("GET", "/api/version")
        self._ask("GET", "/api/current-user/whoami")
        return str(told.get("release", "?")) if isinstance(told, dict) else "?"

    def invitation(self) -> str:
        """The link by which somebody makes an account."""
        return self.url + str(self._dict("GET", "/api/invite").get("invite_url", ""))

    def users(self) -> dict[int, str]:
        """id -> e-mail of everybody who has an account."""
        found = self._ask("GET", "/api/users")
        return {user["id"]: str(user.get("email") or "").lower() for user in found} if isinstance(found, list) else {}

    # ---- projects

    def projects(self) -> list[dict[str, Any]]:
        """All projects we see."""
        return list(self._pages("/api/projects", {"include": "id,title,label_config,task_number"}, "results", "count"))

    def create(self, title: str, label_config: str, **facts: Any) -> dict[str, Any]:
        return self._dict("POST", "/api/projects", {"title": title, "label_config": label_config, **facts})

    def change(self, project: int, **facts: Any) -> None:
        self._ask("PATCH", f"/api/projects/{project}/", facts)

    def remove(self, project: int) -> None:
        self._ask("DELETE", f"/api/projects/{project}/")

    # ---- tasks

    def tasks(self, project: int, with_answers: bool = False) -> Iterator[dict[str, Any]]:
        """A project's tasks by id; with their annotations if wanted."""
        order = json.dumps({"ordering": ["tasks:id"]})
        fields = {"fields": "all"} if with_answers else {"include": "id,data,total_annotations,cancelled_annotations"}
        return self._pages("/api/tasks", {"project": str(project), "query": order, "resolve_uri": "false", **fields}, "tasks", "total")

    def add_tasks(self, project: int, tasks: Sequence[dict[str, Any]]) -> None:
        self._ask("POST", f"/api/projects/{project}/import", list(tasks))

    def remove_task(self, task: int) -> None:
        self._ask("DELETE", f"/api/tasks/{task}/")

    # ---- pictures

    def serve(self, project: int, folder: str) -> None:
        """Let a project show the pictures of a folder on the server's disk, and no others; no task is made of them."""
        held = self._ask("GET", f"/api/storages/localfiles?project={project}")
        if isinstance(held, list) and any(storage.get("path") == folder for storage in held):
            return
        facts = {"title": "pictures of the request", "use_blob_urls": True, "regex_filter": "^$"}  # its Sync button finds nothing
        self._ask("POST", "/api/storages/localfiles", {"project": project, "path": folder, **facts})

    def uploads(self, project: int) -> dict[str, str]:
        """Files a project was sent: name -> address in its tasks."""
        found = self._ask("GET", f"/api/projects/{project}/file-uploads?all=true")
        paths = [str(upload["file"]) for upload in found] if isinstance(found, list) else []
        return {path.rsplit("/", 1)[-1].partition("-")[2]: "/data/" + path.removeprefix("/data/") for path in paths}

    def upload(self, project: int, files: Sequence[tuple[str, bytes]]) -> None:
        """Send files without making tasks of them."""
        edge = secrets.token_hex(16)
        parts = [
            b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n'
            % (edge.encode(), name.encode(), name.encode(), data)
            for name, data in files
        ]
        body = b"".join(parts) + b"--%s--\r\n" % edge.encode()
        self._send("POST", f"/api/projects/{project}/import?commit_to_project=false", body, f"multipart/form-data; boundary={edge}")

    # ---- inside

    def _pages(self, path: str, query: dict[str, str], rows: str, total: str) -> Iterator[dict[str, Any]]:
        seen, page = 0, 1
        while True:
            asked = urllib.parse.urlencode({**query, "page": page, "page_size": PAGE})
            told = self._dict("GET", f"{path}?{asked}")
            found = told.get(rows)
            if not isinstance(found, list):
                raise StudioError(f"{self.url}{path} answers something else than Label Studio does: no {rows!r} in it.")
            yield from found
            seen, page = seen + len(found), page + 1
            if not found or seen >= int(told.get(total) or 0):
                return

    def _dict(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        told = self._ask(method, path, body)
        if not isinstance(told, dict):
            raise StudioError(f"{self.url}{path.partition('?')[0]} answers something else than Label Studio does.")
        return told

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._send(method, path, None if body is None else json.dumps(body).encode(), "application/json")

    def _send(self, method: str, path: str, body: bytes | None, kind: str) -> Any:
        headers = {"Content-Type": kind, "Accept": "application/json", "Authorization": self._authority()}
        text = self._open(urllib.request.Request(self.url + path, body, headers, method=method))
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StudioError(f"{self.url}{path.partition('?')[0]} answers no JSON: is this address a Label Studio?") from error

    def _authority(self) -> str:
        """`Token` and the token; one of the newer kind (a JWT) is exchanged for a short-lived one first."""
        if self._token.count(".") != 2:
            return f"Token {self._token}"
        if time.monotonic() - self._access_at > ACCESS_S:
            body = json.dumps({"refresh": self._token}).encode()
            request = urllib.request.Request(self.url + "/api/token/refresh", body, {"Content-Type": "application/json"}, method="POST")
            try:
                self._access, self._access_at = str(json.loads(self._open(request))["access"]), time.monotonic()
            except (ValueError, KeyError, TypeError) as error:
                raise StudioError(f"{self.url} gives no access for this token.") from error
        return f"Bearer {self._access}"

    def _open(self, request: urllib.request.Request) -> bytes:
        place = request.full_url.partition("?")[0]
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                text: bytes = answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise StudioError(self._said(place, error.code, error.read(4096)), error.code) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise StudioDown(f"Label Studio at {self.url} doesn't answer: {why}. Is it running?") from error
        if len(text) > MAX_BYTES:
            raise StudioError(f"{place} answers with more than {MAX_BYTES >> 20} MiB.")
        return text

    def _said(self, place: str, code: int, text: bytes) -> str:
        if code in (401, 403):
            return f"Label Studio at {self.url} doesn't let us in ({code}): check the token, and that the account may use it."
        try:
            told = json.loads(text)
            why = json.dumps(told.get("validation_errors") or told.get("detail") or "")
        except (ValueError, AttributeError):
            why = ""
        return f"{place} answers {code} {' '.join(why.split())[:300]}".strip() + "."
