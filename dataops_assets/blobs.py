"""Immutable files named by the sha256 of their bytes."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dataops_assets import atomic

SHA256 = re.compile(r"[0-9a-f]{64}")
BATCH_FILES = 512
BATCH_BYTES = 64 << 20
SPOOL_BYTES = 8 << 20  # held in memory on its way to a store that isn't local


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
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"not a sha256: {sha256!r}")
        return f"{self.root}/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def has(self, sha256: str) -> bool:
        return os.path.exists(self.path(sha256)) if self.is_local else bool(self.fs.exists(self.path(sha256)))

    def put(self, data: bytes) -> str:
        """Keep the bytes; returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            self.put_stream([data])
        return sha256

    def put_stream(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep what an iterable yields, without holding it in memory; returns (sha256, bytes).

        An exception from the iterable passes through and leaves nothing behind.
        """
        if not self.is_local:
            return self._pipe(chunks)
        temporary = self.temporary()
        try:
            sha256, size = _spool(chunks, temporary, is_synced=True)
            if not self.has(sha256):
                atomic.rename(temporary, self.path(sha256))
        finally:
            atomic.unlink(temporary)
        return sha256, size

    def batch(self, on_kept: Callable[[list[Any]], object] = lambda notes: None) -> Batch:
        """Many puts that reach the disk together; see `Batch`."""
        return Batch(self, on_kept)

    def read(self, sha256: str) -> bytes:
        """All bytes of a blob.

        Raises:
            BlobMissing: when it isn't there.
        """
        try:
            with self.open(sha256) as file:
                return file.read()
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {sha256} is not in the store at {self.root}/blobs") from error

    def open(self, sha256: str) -> IO[bytes]:
        """A blob as a file to read."""
        if self.is_local:
            return open(self.path(sha256), "rb")
        file: IO[bytes] = self.fs.open(self.path(sha256), "rb")
        return file

    def temporary(self) -> str:
        """A new name below `tmp/` for a file that isn't finished."""
        return atomic.temporary_in(self.tmp)

    @property
    def tmp(self) -> str:
        """The folder of files that aren't finished, where the store is a local folder."""
        return f"{self.root}/tmp"

    def sweep(self) -> int:
        """Delete what processes that are gone left unfinished; returns how many files. See `atomic.sweep`."""
        return atomic.sweep(self.tmp) if self.is_local else 0

    def _pipe(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Put into a store that isn't local. Its name is known at the end only, so what is large waits in a temporary file for it."""
        sha, size, head = hashlib.sha256(), 0, bytearray()
        with ExitStack() as stack:
            spool: IO[bytes] | None = None
            for chunk in chunks:
                sha.update(chunk)
                size += len(chunk)
                if spool is None and size > SPOOL_BYTES:
                    spool = stack.enter_context(tempfile.NamedTemporaryFile(prefix="dataops-"))
                    spool.write(head)
                    head.clear()
                if spool is None:
                    head += chunk
                else:
                    spool.write(chunk)
            path = self.path(sha.hexdigest())
            if not self.has(sha.hexdigest()):
                if spool is None:
                    self.fs.pipe_file(path, bytes(head))
                else:
                    spool.flush()
                    self.fs.put_file(spool.name, path)
        return sha.hexdigest(), size


class Batch:
    """Blobs that reach the disk together: one sync for hundreds of files instead of one each.

    Each file is written under a temporary name. When `BATCH_FILES` or `BATCH_BYTES` have come together, a second thread brings all of
    their bytes to the disk (`syncfs`, as sync(2) of this file system alone), and only then gives them their names, while the caller
    goes on. What is promised: a blob that has its name has all its bytes on the disk, and when the batch has been left without an
    exception, the names of all of them are on the disk too. A process killed in between leaves whole blobs and temporary files,
    which `Blobs.sweep` removes. `on_kept` is called, in the second thread, with the notes of files that have got their names.
    """

    def __init__(self, blobs: Blobs, on_kept: Callable[[list[Any]], object]) -> None:
        self.blobs, self.on_kept = blobs, on_kept
        self._written: dict[str, str] = {}  # sha256 -> temporary name
        self._notes: list[Any] = []
        self._bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="blobs")
        self._settling: Future[None] | None = None
        self._unsettled: dict[str, str] = {}

    def __enter__(self) -> Batch:
        return self

    def put_stream(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Write what an iterable yields; returns (sha256, bytes). It is kept at the latest when the batch is left."""
        if not self.blobs.is_local:
            return self.blobs._pipe(chunks)
        temporary = self.blobs.temporary()
        try:
            sha256, size = _spool(chunks, temporary, is_synced=False)
        except BaseException:
            atomic.unlink(temporary)
            raise
        if sha256 in self._written or sha256 in self._unsettled or self.blobs.has(sha256):
            atomic.unlink(temporary)
        else:
            self._written[sha256] = temporary
            self._bytes += size
        return sha256, size

    def note(self, note: Any) -> None:
        """Something to be told to `on_kept` once everything put so far is kept."""
        self._notes.append(note)
        if len(self._notes) >= BATCH_FILES or self._bytes >= BATCH_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._settling is not None:
            self._settling.result()  # never more than two batches of files without their names
        self._unsettled, notes = self._written, self._notes
        self._written, self._notes, self._bytes = {}, [], 0
        self._settling = self._thread.submit(self._settle, self._unsettled, notes)

    def _settle(self, written: dict[str, str], notes: list[Any]) -> None:
        if written:
            atomic.sync(self.blobs.root, written.values())
        for sha256, temporary in written.items():
            atomic.rename(temporary, self.blobs.path(sha256))
        if notes:
            self.on_kept(notes)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            # what is whole is kept, even when the delivery that it came with goes wrong: it needn't be read again
            is_free = self._settling is None or self._settling.exception() is None
            if is_free and (kind is None or issubclass(kind, Exception)):
                self._hand_over()
            if self._settling is not None and kind is None:
                self._settling.result()
                if self.blobs.is_local:
                    atomic.sync(self.blobs.root)
            elif self._settling is not None:
                self._settling.exception()
        finally:
            self._thread.shutdown()
            for temporary in [*self._written.values(), *self._unsettled.values()]:
                atomic.unlink(temporary)


def _spool(chunks: Iterable[bytes], temporary: str, is_synced: bool) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    descriptor = atomic.create(temporary, 0o444)
    try:
        for chunk in chunks:
            sha.update(chunk)
            size += len(chunk)
            atomic.write_all(descriptor, chunk, temporary)
        if is_synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sha.hexdigest(), size
