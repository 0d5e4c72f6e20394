"""Which pictures of a drop carry a mark that they share: see-through logos and lettering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dataops_assets.imaging.duplicates import find_leaders
from dataops_assets.imaging.screening import TRACED, Marked, Measured, find_mark
from dataops_assets.imaging.watermark import SAMPLE, learn, shape_of

COPY_BITS = 10  # wider than of copies that are left out: shots of one thing from one place agree in too much

Scores = np.ndarray[Any, np.dtype[np.float64]]


def to_measure(shas: Sequence[str]) -> list[tuple[str, ...]]:
    """What `measure` is to look at: each blob, and of the first ones a trace too, from which a mark can be learned."""
    return [(sha256, TRACED) if number < SAMPLE else (sha256,) for number, sha256 in enumerate(shas)]


def watermark_scores(shas: Sequence[str], measured: Sequence[Measured], look: Callable[..., list[Marked]], max_pixels: int) -> Scores:
    """How little of the mark that its shape shares there is in each picture, 0 to 1; nan where there are too few pictures to tell.

    Only where a mark is found are the pictures of that shape looked at once more.

    Args:
        shas: Blobs, in an order that tells nothing of what they show.
        measured: What was measured of them, the first ones with their traces.
        look: `Eyes.look`.
        max_pixels: Most pixels a picture may have.
    """
    scores = np.full(len(shas), np.nan)
    traced = [(int(one.phash, 16), one.trace) for one in measured[:SAMPLE] if one.trace is not None]
    leaders = find_leaders(np.array([phash for phash, _ in traced], dtype=np.uint64), COPY_BITS).tolist()
    marks = learn([one for place, (_, one) in enumerate(traced) if leaders[place] == place])
    shapes = [shape_of(*one.sides_px) if one.reason is None else None for one in measured]
    for shape, mark in marks.items():
        places = [place for place, other in enumerate(shapes) if other == shape]
        if mark is None:
            scores[places] = 1.0
            continue
        task = partial(find_mark, mark=mark, max_pixels=max_pixels)
        found = look(Marked, task, [(shas[place], mark.digest) for place in places], "images searched for a mark")
        scores[places] = [np.nan if one.score is None else one.score for one in found]
    return scores
