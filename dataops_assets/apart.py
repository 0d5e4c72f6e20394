"""Pictures with personal data lie apart from all others: `<store>/apart/<project>/ab/cd/<sha256>`, with a retention period.

`Store.blobs` doesn't see them, so nothing that is exported, requested from a vendor or shown reads one. Intake, screening and the
batches our own people screen get an `Apart`, which sees both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any

from dataops_assets import atomic
from dataops_assets.blobs import BlobMissing, Blobs

PURGED = ".purged"


class BlobPurged(BlobMissing):
    """The picture was deleted when its retention period had passed."""


class Apart(Blobs):
    """The store as those see it who may see personal data; what a project sets apart has the project's retention period."""

    def __init__(self, blobs: Blobs, project: str) -> None:
        self.fs, self.root, self.is_local = blobs.fs, blobs.root, blobs.is_local
        self.common = blobs  # what is put there is in everybody's sight, whether the same bytes lie apart or not
        self.project = project

    def has(self, sha256: str) -> bool:
        return super().has(sha256) or self._place(sha256) is not None

    def open(self, sha256: str) -> IO[bytes]:
        """A blob as a file to read, wherever it lies.

        Raises:
            BlobPurged: when its retention period has passed.
        """
        try:
            return super().open(sha256)
        except FileNotFoundError:
            place = self._place(sha256)
            if place is None:
                if self._anywhere(sha256, PURGED):
                    raise BlobPurged(f"blob {sha256} was deleted: its retention period has passed") from None
                raise
            file: IO[bytes] = self.fs.open(place, "rb")
            return file

    def apart(self, sha256: str) -> str:
        """Where a blob of this project lies, set apart."""
        return f"{self.root}/apart/{self.project}/{sha256[:2]}/{sha256[2:4]}/{self.path(sha256).rsplit('/', 1)[1]}"

    def set_apart(self, shas: Iterable[str], used: Collection[str] = ()) -> int:
        """Take blobs out of everybody's sight; returns how many were there. From now on their retention period runs.

        Those that others have in use stay where these look for them; a copy lies apart, and for this project they aren't `in_sight`.
        """
        moved = 0
        for sha256 in dict.fromkeys(shas):
            if not super().has(sha256):
                continue
            if sha256 in used:
                if self.in_sight(sha256):
                    self._keep_apart(self.common.read(sha256), sha256)
                    moved += 1
                continue
            self.fs.makedirs(os.path.dirname(self.apart(sha256)), exist_ok=True)
            if self.is_local:
                os.utime(self.path(sha256))
                atomic.rename(self.path(sha256), self.apart(sha256))
                os.chmod(self.apart(sha256), 0o400)
            else:
                self.fs.mv(self.path(sha256), self.apart(sha256))
            moved += 1
        return moved

    def put_apart(self, data: bytes) -> str:
        """Keep bytes where only few see them; returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self._place(sha256) is None:
            self._keep_apart(data, sha256)
        return sha256

    def _keep_apart(self, data: bytes, sha256: str) -> None:
        if self.is_local:
            atomic.write(self.apart(sha256), data, self.tmp)
            os.chmod(self.apart(sha256), 0o400)
        else:
            self.fs.pipe_file(self.apart(sha256), data)

    def in_sight(self, sha256: str) -> bool:
        """Whether a blob lies in common sight, and this project hasn't set it apart, or deleted its copy."""
        return super().has(sha256) and not self.taken_out([sha256])

    def taken_out(self, shas: Iterable[str]) -> set[str]:
        """Those that this project has set apart, whether it has deleted them since or not."""
        return {sha256 for sha256 in shas if any(self.fs.exists(self.apart(sha256) + mark) for mark in ("", PURGED))}

    def bring_back(self, shas: Iterable[str]) -> None:
        """Put blobs that this project set apart into common sight again; of what was deleted and came again, that it was is forgotten."""
        for sha256 in shas:
            if self.fs.exists(self.apart(sha256) + PURGED) and self.has(sha256):
                self.fs.rm_file(self.apart(sha256) + PURGED)
            if not self.fs.exists(self.apart(sha256)):
                continue
            if self.is_local and not super().has(sha256):
                os.chmod(self.apart(sha256), 0o444)
                atomic.rename(self.apart(sha256), self.path(sha256))
            elif not super().has(sha256):
                self.fs.mv(self.apart(sha256), self.path(sha256))
            else:
                self.fs.rm_file(self.apart(sha256))

    def purge(self, before: float) -> list[str]:
        """Delete what the project set apart before a moment (seconds since 1970); returns the sha256s. A mark stays in their place."""
        gone = []
        for path in self._due(before):
            self.fs.touch(path + PURGED)
            self.fs.rm_file(path)
            gone.append(path.rsplit("/", 1)[1])
        return gone

    def due(self, before: float) -> list[str]:
        """What `purge` would delete, by sha256."""
        return [path.rsplit("/", 1)[1] for path in self._due(before)]

    def since(self, shas: Iterable[str]) -> dict[str, float]:
        """When each blob was set apart by this project, seconds since 1970; those that it didn't set apart are left out."""
        found = {}
        for sha256 in shas:
            try:
                found[sha256] = _set_at(self.fs.info(self.apart(sha256)))
            except FileNotFoundError:
                continue
        return found

    def _due(self, before: float) -> list[str]:
        return [path for path, since in self._held() if since < before]

    def purged(self) -> set[str]:
        """What was deleted because a project's retention period had passed, and was not delivered again since."""
        marks = self.fs.glob(f"{self.root}/apart/*/*/*/*{PURGED}")
        names = {str(path).rsplit("/", 1)[1].removesuffix(PURGED) for path in marks}
        return {name for name in names if not self.has(name)}

    def _held(self) -> Iterator[tuple[str, float]]:
        found = self.fs.find(f"{self.root}/apart/{self.project}", detail=True)
        for path, facts in sorted(found.items()):
            if not path.endswith(PURGED):
                yield path, _set_at(facts)

    def _place(self, sha256: str) -> str | None:
        """Where it lies apart: with this project, or with another that set it apart."""
        if self.fs.exists(self.apart(sha256)):
            return self.apart(sha256)
        return next(iter(self._anywhere(sha256)), None)

    def _anywhere(self, sha256: str, mark: str = "") -> list[str]:
        """Where it lies apart, whichever project set it apart. Not by a pattern: that walks through all that lies there."""
        try:
            projects = sorted(self.fs.ls(f"{self.root}/apart", detail=False))
        except FileNotFoundError:
            return []
        places = (f"{project}/{sha256[:2]}/{sha256[2:4]}/{sha256}{mark}" for project in projects)
        return [place for place in places if self.fs.exists(place)]


def _set_at(facts: Mapping[str, Any]) -> float:
    since = facts.get("mtime") or facts.get("created") or facts.get("LastModified")
    return float(since.timestamp() if isinstance(since, datetime) else since or 0.0)
