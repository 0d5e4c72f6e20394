"""Distributions of scores with their thresholds drawn in: as SVG for a page, and as one picture for the UI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd

from dataops_assets.contracts import ISSUES
from dataops_assets.reports.reasons import spoken
from dataops_assets.spec import Cleaning

BINS, WIDE, HIGH = 40, 320, 90
BAD, GOOD, INK, SOFT = "#c0392b", "#5b7fb0", "#1c2430", "#5a6676"


@dataclass(frozen=True)
class Distribution:
    """Scores of one issue in a drop, and what becomes of pictures below its threshold."""

    issue: str
    scores: np.ndarray
    threshold: float
    consequence: str

    @property
    def below(self) -> int:
        return int((self.scores < self.threshold).sum())

    @property
    def heights(self) -> np.ndarray:
        """Of `BINS` bars, 0 to 1: square roots of the counts, so that few bad pictures are seen."""
        counts, _ = np.histogram(np.clip(self.scores, 0, 1), bins=BINS, range=(0, 1))
        return np.asarray(np.sqrt(counts / max(1, counts.max())))

    def colour(self, place: int) -> str:
        return BAD if (place + 0.5) / BINS < self.threshold else GOOD


def distributions(frame: pd.DataFrame, spec: Cleaning) -> Iterator[Distribution]:
    """Of each issue that was scored in `cleaned_set` rows."""
    from dataops_assets.stages.cleaned_set import limits

    for issue in ISSUES:
        scores = frame[f"{issue}_score"].dropna().to_numpy(dtype=np.float64)
        if len(scores):
            consequence = "rejects" if issue in spec.reject else "asks a person" if issue in spec.review else "only recorded"
            yield Distribution(issue, scores, limits(spec)[issue], consequence)


def svg(shown: Distribution) -> str:
    """One distribution, red below its threshold."""
    step = WIDE / BINS
    bars = "".join(
        f'<rect x="{place * step:.1f}" y="{HIGH * (1 - height):.1f}" width="{step - 1:.1f}" height="{height * HIGH:.1f}" '
        f'fill="{shown.colour(place)}"/>'
        for place, height in enumerate(shown.heights)
        if height > 0
    )
    at = shown.threshold * WIDE
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HIGH}" stroke="{INK}" stroke-dasharray="3 2"/>'
    base = f'<line x1="0" x2="{WIDE}" y1="{HIGH}" y2="{HIGH}" stroke="#d9dee6"/>'
    return f'<svg viewBox="0 0 {WIDE} {HIGH + 1}" width="{WIDE}" height="{HIGH + 1}" role="img">{base}{bars}{line}</svg>'


def jpeg(frame: pd.DataFrame, spec: Cleaning, width_px: int = 440) -> bytes:
    """All distributions of a drop as one JPEG, two in a row; empty where nothing was scored."""
    from PIL import Image, ImageDraw, ImageFont

    found = list(distributions(frame, spec))
    if not found:
        return b""
    gap, title, high = 12, 30, 56
    wide = (width_px - 3 * gap) // 2
    picture = Image.new("RGB", (width_px, -(-len(found) // 2) * (title + high + gap) + gap), "white")
    pen, bold, small = ImageDraw.Draw(picture), ImageFont.load_default(12), ImageFont.load_default(10)
    for number, shown in enumerate(found):
        left, top = gap + number % 2 * (wide + gap), gap + number // 2 * (title + high + gap)
        pen.text((left, top - 2), spoken(shown.issue), fill=INK, font=bold)
        pen.text((left, top + 13), f"{shown.below:,} below {shown.threshold:g}: {shown.consequence}", fill=SOFT, font=small)
        bottom, step = top + title + high - 1, wide / BINS
        for place, height in enumerate(shown.heights):
            if height > 0:
                box = (left + place * step, bottom - height * (high - 2), left + (place + 1) * step - 1.5, bottom)
                pen.rectangle(box, fill=shown.colour(place))
        pen.line((left, bottom + 1, left + wide, bottom + 1), fill="#d9dee6")
        at = left + shown.threshold * wide
        for y in range(top + title - 2, bottom, 5):
            pen.line((at, y, at, y + 2), fill=INK)
    file = BytesIO()
    picture.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
