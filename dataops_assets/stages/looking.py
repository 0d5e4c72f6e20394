"""Looking at the pictures of a drop in bounded children, each once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from dataops_assets.apart import Apart
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.imaging.screening import Marked, Measured, Prepared
from dataops_assets.imaging.workers import ITEMS_PER_MESSAGE, map_blobs
from dataops_assets.spec import Cleaning

Steps = Callable[[str, int, int], None]
Look = TypeVar("Look", Measured, Marked, Prepared)


class Unseen(LookupError):
    """Pictures have to be looked at that nobody has looked at yet."""


class Eyes:
    """Looks at pictures in bounded children, each once: what a killed run has seen stands in the checkpoint."""

    def __init__(
        self,
        spec: Cleaning,
        apart: Apart,
        progress: Steps | None,
        checkpoint: Checkpoint,
        workers: Callable[[], int] | None = None,
        may_look: bool = True,
    ) -> None:
        self._spec, self._apart, self._progress, self._checkpoint = spec, apart, progress, checkpoint
        self._workers, self._may_look = workers or spec.workers, may_look

    def look(self, kind: type[Look], task: Callable[[Apart, Any], Look], items: Sequence[tuple[str, ...]], what: str) -> list[Look]:
        """What `task` finds for each item, a blob's sha256 and what else it depends on, in their order."""
        return list(self.look_along(kind, task, items, what))

    def look_along(
        self, kind: type[Look], task: Callable[[Apart, Any], Look], items: Sequence[tuple[str, ...]], what: str
    ) -> Iterator[Look]:
        """As `look`, one by one: what comes later is looked at while the caller does something with what came first."""
        held = self._checkpoint.held
        names = [" ".join((kind.__name__,) + asked) for asked in items]
        missing = [pair for pair in dict(zip(names, items, strict=True)).items() if pair[0] not in held]
        if missing and not self._may_look:
            raise Unseen(f"{what}: {len(missing)} are not looked at yet")
        with closing(self._seen(kind, task, missing, what, len(items))) as seen:
            for name in names:
                while name not in held:
                    next(seen)
                yield kind(**held[name])
        self._checkpoint.flush()

    def _seen(
        self, kind: type[Look], task: Callable[[Apart, Any], Look], missing: Sequence[tuple[str, tuple[str, ...]]], what: str, in_all: int
    ) -> Generator[None]:
        """Look at what isn't in the checkpoint yet, and put it there."""
        if not missing:
            return
        done = in_all - len(missing)
        results = map_blobs(
            task,  # type: ignore[arg-type]  # its store is the one given here
            [asked for _, asked in missing],
            self._apart,
            workers=self._workers,
            memory_bytes=self._spec.worker_memory_bytes,
            seconds=self._spec.image_seconds,
            items_per_message=ITEMS_PER_MESSAGE,
        )
        for index, result in results:
            found = result if isinstance(result, kind) else kind(reason=result.reason)
            # a child may have died of a busy machine: another run asks again
            self._checkpoint.add(missing[index][0], vars(found), is_lasting=isinstance(result, kind) and found.is_lasting)
            if self._progress is not None:
                self._progress(what, done + index + 1, in_all)
            yield
