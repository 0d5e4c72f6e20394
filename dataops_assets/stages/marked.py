"""Which pictures of a drop carry a mark that they share: see-through logos and lettering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from dataops_assets.imaging.duplicates import find_leaders
from dataops_assets.imaging.screening import TRACED, Marked, Measured, find_mark, measure
from dataops_assets.imaging.watermark import FEWEST, SAMPLE, Mark, Shape, learn, shape_of
from dataops_assets.stages.looking import Eyes

COPY_BITS = 10  # wider than of copies that are left out: shots of one thing from one place agree in too much

Marks = dict[Shape, Mark | None]
Scores = np.ndarray[Any, np.dtype[np.float64]]


def measure_drop(shas: Sequence[str], eyes: Eyes, max_pixels: int) -> tuple[list[Measured], Marks]:
    """What is measured of each blob, and the marks that the first ones share: they are learned while the others are measured.

    Args:
        shas: Blobs, in an order that tells nothing of what they show.
        eyes: Look at them.
        max_pixels: Most pixels a picture may have.
    """
    items = [(sha256, TRACED) if number < SAMPLE else (sha256,) for number, sha256 in enumerate(shas)]
    along = eyes.look_along(Measured, partial(measure, max_pixels=max_pixels), items, "images measured")
    first = list(islice(along, SAMPLE))
    marks = learn_marks(first)
    return [*first, *along], marks


def learn_marks(measured: Sequence[Measured]) -> Marks:
    """From the traces among what was measured, of near copies the first: the mark of each shape, None where there is none."""
    traced = [(int(one.phash, 16), one.trace) for one in measured if one.trace is not None]
    leaders = find_leaders(np.array([phash for phash, _ in traced], dtype=np.uint64), COPY_BITS).tolist()
    return learn([one for place, (_, one) in enumerate(traced) if leaders[place] == place])


def watermark_scores(
    shas: Sequence[str], measured: Sequence[Measured], marks: Marks, look: Callable[..., list[Any]], max_pixels: int
) -> Scores:
    """How little of the mark that its shape shares there is in each picture, 0 to 1; nan where there are too few pictures to tell.

    Only where a mark is found are the pictures of that shape looked at once more.

    Args:
        shas: Blobs, in an order that tells nothing of what they show.
        measured: What was measured of them.
        marks: Learned from the first ones.
        look: `Eyes.look`.
        max_pixels: Most pixels a picture may have.
    """
    scores = np.full(len(shas), np.nan)
    shapes: dict[Shape, list[int]] = {}
    for place, one in enumerate(measured):
        if one.reason is None:
            shapes.setdefault(shape_of(*one.sides_px), []).append(place)
    if any(mark is not None for mark in marks.values()):  # it is worth looking for it in rarer shapes too
        rare = [place for shape, places in shapes.items() if shape not in marks and len(places) >= FEWEST for place in places[:SAMPLE]]
        again = look(Measured, partial(measure, max_pixels=max_pixels), [(shas[place], TRACED) for place in rare], "images measured again")
        marks = marks | learn_marks(again)
    for shape, mark in marks.items():
        places = shapes[shape]
        if mark is None:
            scores[places] = 1.0
            continue
        task = partial(find_mark, mark=mark, max_pixels=max_pixels)
        found = look(Marked, task, [(shas[place], mark.digest) for place in places], "images searched for a mark")
        scores[places] = [np.nan if one.score is None else one.score for one in found]
    return scores
