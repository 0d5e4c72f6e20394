"""Where things lie: the folders below DATAOPS_HOME that vendors, people and Dagster meet in."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

ENV_HOME = "DATAOPS_HOME"
ENV_STORE = "DATAOPS_STORE"
ENV_WORKER_KEY = "DATAOPS_WORKER_KEY"


@dataclass(frozen=True)
class Home:
    """Paths of one installation. `store_url` may be any fsspec URL; the rest is local."""

    root: Path
    store_url: str

    @classmethod
    def at(cls, root: Path | str | None = None) -> Home:
        """The home named, else by DATAOPS_HOME, else `./var`; the store by DATAOPS_STORE, else inside."""
        path = Path(root or os.environ.get(ENV_HOME) or "var").expanduser().absolute()
        return cls(path, os.environ.get(ENV_STORE) or str(path / "store"))

    def landing(self, project: str) -> Path:
        return self.root / "landing" / project

    def returns(self, project: str) -> Path:
        return self.root / "returns" / project

    def requests(self, project: str) -> Path:
        return self.root / "requests" / project

    def predictions(self, project: str) -> Path:
        return self.root / "predictions" / project

    def exports(self, project: str) -> Path:
        return self.root / "exports" / project

    def reports(self, project: str) -> Path:
        return self.root / "reports" / project

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def scratch(self) -> Path:
        """Work in progress of local steps; anything here may be deleted while nothing runs."""
        return self.root / "scratch"

    def unfinished(self, project: str) -> Path:
        """Notes of what is decided and not shown yet; see `unfinished`."""
        return self.root / "unfinished" / project

    @property
    def tmp(self) -> Path:
        """Files that aren't finished, on the file system of the home."""
        return self.scratch / "tmp"

    def worker_key(self) -> bytes:
        """Secret behind worker pseudonyms: DATAOPS_WORKER_KEY, or one made at first use (mode 0600)."""
        given = os.environ.get(ENV_WORKER_KEY)
        if given:
            return given.encode()
        path = self.root / "worker.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(32).encode())
            try:
                os.link(temporary, path)  # the first of several processes wins
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        return path.read_bytes()


def pseudonym(key: bytes, vendor: str, worker: str) -> str:
    """Stable name of a worker that doesn't tell who it is: HMAC-SHA256 over vendor and id, 16 hex digits."""
    return "w-" + hmac.digest(key, f"{vendor}\0{worker}".encode("utf-8", "surrogatepass"), "sha256").hex()[:16]


def is_slug(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", text) is not None
