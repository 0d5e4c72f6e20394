"""What workers do with delivered pictures: `measure` looks at each once, as small as the measures allow; `find_mark` looks for what
others showed to be a watermark; `prepare` makes the cleaned file of those that are still in, and finds what is personal in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from dataops_assets.apart import Apart, BlobPurged
from dataops_assets.imaging.decode import MAX_PIXELS, Decoded, Pixels, decode, decode_within, encode
from dataops_assets.imaging.duplicates import calc_colour_grids, calc_phash
from dataops_assets.imaging.likeness import Model, embed
from dataops_assets.imaging.measures import calc_scores_of
from dataops_assets.imaging.personal_data.findings import CONTACTS, look_for
from dataops_assets.imaging.personal_data.redact import redact
from dataops_assets.imaging.view import WORKING_SIDE_PX, View
from dataops_assets.imaging.watermark import Mark, calc_watermark, trace
from dataops_assets.imaging.workers import Unfinished

VERSION = 10  # of what is measured and prepared; another number makes checkpoints of killed runs worthless
TRACED = "traced"  # beside a sha256 that is measured: its trace is wanted too


@dataclass(frozen=True)
class Measured:
    """What is known of one picture by itself, without looking at its details.

    Attributes:
        reason: Code for which it can't be decoded; everything after it is empty then.
        sides_px: Width and height as delivered, upright.
        phash: 64-bit perceptual hash, 16 hex digits.
        colour_grid: Colours of 4 x 4 cells, 64 hex digits.
        scores: Issue -> score in [0, 1], without odd_size and watermark, which need the drop.
        trace: Gray, as `watermark.trace` makes it, where it was asked for.
    """

    reason: str | None = None
    sides_px: tuple[int, int] = (0, 0)
    phash: str = ""
    colour_grid: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    trace: Pixels | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether it may lie in a file: a trace shows the picture, and who is in it."""
        return self.trace is None


@dataclass(frozen=True)
class Marked:
    """How little there is of a mark in one picture, 0 to 1; or the reason for which that isn't known."""

    reason: str | None = None
    score: float | None = None
    is_lasting: ClassVar[bool] = True


@dataclass(frozen=True)
class Prepared:
    """The cleaned file of one picture, and what is personal in it.

    Attributes:
        reason: Code for which there is none; everything after it is empty then.
        clean_sha256: The cleaned picture's blob; empty where the project's policy rejects the picture.
        faces: How many were found; None where they weren't looked for. So with the next.
        text_regions: Lines of text.
        found: Kinds of personal data in the picture and its metadata; `more_faces`, `more_text`, `more_metadata` where there may be more.
        open: Those that the cleaned picture still shows.
        regions: Lists of kind, x, y, w, h (px of the cleaned picture), score, whether it is covered.
        embedding: As text; empty where relevance isn't looked at.
    """

    reason: str | None = None
    clean_sha256: str = ""
    faces: int | None = None
    text_regions: int | None = None
    found: Sequence[str] = ()
    open: Sequence[str] = ()
    regions: Sequence[Sequence[Any]] = ()
    embedding: str = ""
    is_lasting: ClassVar[bool] = True


@dataclass(frozen=True)
class Preparation:
    """How `prepare` makes cleaned files: what it looks for, kind -> action, and how it covers. No spec: children start without pydantic.

    Where it `is_cleaned` what is looked at is a cleaned file itself, which stands unless something is to be covered in it.
    """

    max_side_px: int
    max_pixels: int = MAX_PIXELS
    look_for: tuple[str, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    cover: Literal["blur", "box"] = "blur"
    phone_regions: tuple[str, ...] = ()
    model: Model | None = None
    is_cleaned: bool = False


def measure(apart: Apart, item: tuple[str, ...], max_pixels: int = MAX_PIXELS) -> Any:
    """Decode a blob, by its sha256, as small as will do; measures are taken of all pictures of a message together (`Seen.finish`).

    Args:
        apart: The store.
        item: The sha256, and `TRACED` where a trace is wanted.
        max_pixels: Most pixels a picture may have.

    Returns:
        A Measured, or a Seen, which a worker makes into one.

    Raises:
        BlobMissing: when the store lacks the blob.
    """
    decoded = _decode_small(apart, item[0], max_pixels)
    if decoded.pixels is None:
        return Measured(reason=decoded.reason)
    return Seen(View.of(decoded), TRACED in item[1:])


@dataclass(frozen=True)
class Seen(Unfinished):
    """A decoded picture that is still to be measured."""

    view: View
    is_traced: bool = False

    @classmethod
    def finish(cls, begun: Sequence[Seen]) -> list[Measured]:
        """All measures of pictures."""
        views = [one.view for one in begun]
        hashes = [f"{calc_phash(view.half):016x}" for view in views]
        grids = calc_colour_grids(np.concatenate([view.samples for view in views]))
        traces = [trace(one.view) if one.is_traced else None for one in begun]
        each = zip(views, hashes, grids, calc_scores_of(views), traces, strict=True)
        return [Measured(None, view.sides_px, phash, grid.hex(), scores, gray) for view, phash, grid, scores, gray in each]


def find_mark(apart: Apart, item: tuple[str, ...], mark: Mark, max_pixels: int = MAX_PIXELS) -> Marked:
    """How much of a mark there is in a blob, by its sha256; the picture has the mark's shape."""
    decoded = _decode_small(apart, item[0], max_pixels)
    if decoded.pixels is None:
        return Marked(reason=decoded.reason)
    return Marked(score=calc_watermark(trace(View.of(decoded)), mark))


def _decode_small(apart: Apart, sha256: str, max_pixels: int) -> Decoded:
    try:
        return decode(apart.read(sha256), max_pixels, WORKING_SIDE_PX)
    except BlobPurged:
        return Decoded(reason="PURGED")


def prepare(apart: Apart, item: tuple[str, ...], how: Preparation) -> Prepared:
    """Make and keep the cleaned file of a blob, with what the policy says covered.

    Where the policy rejects the picture there is no cleaned file, whatever a person decided under an earlier policy. One that shows
    personal data which nobody has let pass is kept apart from the others.

    Args:
        apart: The store.
        item: The blob's sha256, and what a person decided about the picture: `keep`, `redact` (cover whatever is found, not only
            what the policy covers), `reject` or "" (nothing yet); perhaps the reasons that person was asked for, joined by |.
        how: Size and policy.

    Raises:
        BlobMissing: when the store lacks the blob.
    """
    sha256, decision, asked = (*item, "", "")[:3]
    data = apart.read(sha256)
    decoded = decode_within(data, how.max_side_px, how.max_pixels)
    if decoded.pixels is None:
        return Prepared(reason=decoded.reason)
    pixels = decoded.pixels
    kinds = {*how.look_for, *(CONTACTS if "text" in how.look_for else ())}
    seen = look_for(pixels, data, kinds, how.phone_regions)
    personal = [region for region in seen.regions if region.kind != "text"]
    covered = [region for region in personal if "redact" in (decision, how.actions.get(region.kind))]
    found = sorted({region.kind for region in personal} | set(seen.metadata) | set(seen.more))
    still = sorted({region.kind for region in personal if region not in covered} | set(seen.more))
    if decision == "redact" and any(how.actions.get(kind) == "review" for kind in seen.more):
        return Prepared(reason="|".join(seen.more))  # what wasn't searched can't be covered
    changed = [region.kind for region in covered if how.actions.get(region.kind) != "redact"]
    if decision == "redact" and not changed and not _asked_about([*seen.metadata, *(one.kind for one in covered)], asked, how.actions):
        return Prepared(reason="NOTHING_TO_REDACT")  # somebody sees what was not found: it can't be covered
    clean = ""
    if not any(how.actions.get(kind) == "reject" for kind in found):
        encoded = data if how.is_cleaned and not covered else encode(redact(pixels, covered, how.cover))
        passed = set(asked.split("|") if asked else still) if decision in ("keep", "redact") else set()
        is_doubtful = any(how.actions.get(kind) == "review" for kind in still if kind not in passed)
        clean = apart.put_apart(encoded) if is_doubtful else apart.common.put(encoded)
    return Prepared(
        clean_sha256=clean,
        faces=seen.faces if "face" in kinds else None,
        text_regions=seen.text_regions if "text" in kinds else None,
        found=found,
        open=still,
        regions=[[one.kind, one.x, one.y, one.w, one.h, one.score, one in covered] for one in seen.regions],
        embedding=embed(pixels, how.model) if how.model is not None else "",
    )


def _asked_about(gone: Iterable[str], asked: str, actions: Mapping[str, str]) -> bool:
    """Whether a person who decided knew of something that a cleaned file lacks anyhow; it may be all that was meant.

    That is what stands in the metadata, and what the policy of today has covered.
    """
    reasons = asked.split("|") if asked else [kind for kind, action in actions.items() if action == "review"]
    return any(kind in reasons for kind in gone)
