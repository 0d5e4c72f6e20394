"""Which pictures of a drop carry a mark that they share: see-through logos and lettering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dataops_assets.imaging.duplicates import find_leaders
from dataops_assets.imaging.screening import TRACED, Marked, Measured, find_mark, measure
from dataops_assets.imaging.watermark import FEWEST, SAMPLE, Mark, Shape, learn, shape_of

COPY_BITS = 10  # wider than of copies that are left out: shots of one thing from one place agree in too much

Scores = np.ndarray[Any, np.dtype[np.float64]]


def to_measure(shas: Sequence[str]) -> list[tuple[str, ...]]:
    """What `measure` is to look at: each blob, and of the first ones a trace too, from which a mark can be learned."""
    return [(sha256, TRACED) if number < SAMPLE else (sha256,) for number, sha256 in enumerate(shas)]


def watermark_scores(shas: Sequence[str], measured: Sequence[Measured], look: Callable[..., list[Any]], max_pixels: int) -> Scores:
    """How little of the mark that its shape shares there is in each picture, 0 to 1; nan where there are too few pictures to tell.

    Only where a mark is found are the pictures of that shape looked at once more.

    Args:
        shas: Blobs, in an order that tells nothing of what they show.
        measured: What was measured of them, the first ones with their traces.
        look: `Eyes.look`.
        max_pixels: Most pixels a picture may have.
    """
    scores = np.full(len(shas), np.nan)
    shapes: dict[Shape, list[int]] = {}
    for place, one in enumerate(measured):
        if one.reason is None:
            shapes.setdefault(shape_of(*one.sides_px), []).append(place)
    marks = _learn(measured[:SAMPLE])
    if any(mark is not None for mark in marks.values()):  # it is worth looking for it in rarer shapes too
        rare = [place for shape, places in shapes.items() if shape not in marks and len(places) >= FEWEST for place in places[:SAMPLE]]
        again = look(Measured, partial(measure, max_pixels=max_pixels), [(shas[place], TRACED) for place in rare], "images measured again")
        marks |= _learn(again)
    for shape, mark in marks.items():
        places = shapes[shape]
        if mark is None:
            scores[places] = 1.0
            continue
        task = partial(find_mark, mark=mark, max_pixels=max_pixels)
        found = look(Marked, task, [(shas[place], mark.digest) for place in places], "images searched for a mark")
        scores[places] = [np.nan if one.score is None else one.score for one in found]
    return scores


def _learn(measured: Sequence[Measured]) -> dict[Shape, Mark | None]:
    """From the traces among what was measured, of near copies the first."""
    traced = [(int(one.phash, 16), one.trace) for one in measured if one.trace is not None]
    leaders = find_leaders(np.array([phash for phash, _ in traced], dtype=np.uint64), COPY_BITS).tolist()
    return learn([one for place, (_, one) in enumerate(traced) if leaders[place] == place])
