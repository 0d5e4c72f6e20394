"""Immutable files named by the sha256 of their bytes."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

CHUNK_BYTES = 1 << 20


class BlobMissing(LookupError):
    """A blob that a manifest names isn't in the store."""


class Blobs:
    """`<url>/blobs/ab/cd/<sha256>`; a second put of the same bytes is free.

    On a local disk a blob appears by rename after its bytes are on the disk, so a killed process leaves
    either the whole blob or none. On an object store the put itself is atomic.
    """

    def __init__(self, url: str, storage_options: dict[str, str] | None = None) -> None:
        self.fs, self.root = fsspec.core.url_to_fs(url, **(storage_options or {}))
        self.is_local = isinstance(self.fs, LocalFileSystem)

    def path(self, sha256: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError(f"not a sha256: {sha256!r}")
        return f"{self.root}/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has(self, sha256: str) -> bool:
        return os.path.exists(self.path(sha256)) if self.is_local else bool(self.fs.exists(self.path(sha256)))

    def put(self, data: bytes) -> str:
        """Keep the bytes; returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            self._write(sha256, [data])
        return sha256

    def put_stream(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep what an iterable yields, without holding it in memory; returns (sha256, bytes).

        An exception from the iterable passes through and leaves nothing behind.
        """
        if not self.is_local:
            data = b"".join(chunks)
            return self.put(data), len(data)
        sha, size = hashlib.sha256(), 0
        temporary = self._temporary()
        try:
            with open(temporary, "xb") as file:
                for chunk in chunks:
                    sha.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            name = sha.hexdigest()
            if not self.has(name):
                self._publish(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)
        return name, size

    def read(self, sha256: str) -> bytes:
        """All bytes of a blob.

        Raises:
            BlobMissing: when it isn't there.
        """
        try:
            if self.is_local:
                with open(self.path(sha256), "rb") as file:
                    return file.read()
            data: bytes = self.fs.cat_file(self.path(sha256))
            return data
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {sha256} is not in the store at {self.root}/blobs") from error

    def sweep(self) -> int:
        """Delete what killed processes left half-written; returns how many. Only while nothing writes."""
        folder = Path(self.root) / "tmp"
        leftovers = list(folder.iterdir()) if self.is_local and folder.is_dir() else []
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def _write(self, sha256: str, chunks: Iterable[bytes]) -> None:
        if not self.is_local:
            self.fs.pipe_file(self.path(sha256), b"".join(chunks))
            return
        temporary = self._temporary()
        try:
            with open(temporary, "xb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            self._publish(temporary, sha256)
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary(self) -> Path:
        folder = Path(self.root) / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def _publish(self, temporary: Path, sha256: str) -> None:
        temporary.chmod(0o444)
        path = Path(self.path(sha256))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
