"""Bars in one small picture, for figures that are read at a glance: wide as the UI's dialog, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from dataops_assets.reports.panels import Picture

WIDTH_PX, LABEL_PX, NUMBER_PX, ROW_PX, FONT_PX = 440, 130, 74, 19, 11
INK, PAPER, GROUND, MARK = (40, 44, 52), (255, 255, 255), (233, 236, 241), (200, 50, 40)
COLOURS = ((52, 101, 164), (132, 170, 214), (232, 176, 92), (150, 150, 150))


@dataclass(frozen=True)
class Bar:
    """One line: a label, its parts from left to right, what is written beside it, and a mark, e.g. of what is wanted."""

    label: str
    parts: Sequence[float]
    text: str = ""
    mark: float | None = None


def bars(title: str, lines: Sequence[Bar], legend: Sequence[str] = (), most: float | None = None) -> Picture | None:
    """A JPEG of horizontal bars on one scale; None where there is nothing to show.

    Args:
        title: What the picture is called.
        lines: At most 40 are drawn.
        legend: What the parts are, in their order.
        most: End of the scale; default: the longest bar or mark.
    """
    from PIL import Image, ImageDraw, ImageFont

    lines = list(lines)[:40]
    scale = most or max((max(sum(line.parts), line.mark or 0) for line in lines), default=0)
    if not lines or scale <= 0:
        return None
    head = 18 if legend else 2
    picture = Image.new("RGB", (WIDTH_PX, head + ROW_PX * len(lines) + 4), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
    left = LABEL_PX
    for number, name in enumerate(legend):
        pen.rectangle((left, 5, left + 9, 13), fill=COLOURS[number % len(COLOURS)])
        pen.text((left + 13, 2), name, fill=INK, font=font)
        left += 24 + round(font.getlength(name))
    wide = WIDTH_PX - LABEL_PX - NUMBER_PX
    for row, line in enumerate(lines):
        top = head + row * ROW_PX
        pen.text((2, top + 3), _short(line.label, font), fill=INK, font=font)
        pen.rectangle((LABEL_PX, top + 3, LABEL_PX + wide, top + ROW_PX - 4), fill=GROUND)
        at = 0.0
        for number, part in enumerate(line.parts):
            if part > 0:
                ends = [LABEL_PX + round(wide * min(1.0, edge / scale)) for edge in (at, at + part)]
                pen.rectangle((ends[0], top + 3, max(ends[0], ends[1]), top + ROW_PX - 4), fill=COLOURS[number % len(COLOURS)])
                at += part
        if line.mark is not None:
            x = LABEL_PX + round(wide * min(1.0, line.mark / scale))
            pen.line((x, top + 1, x, top + ROW_PX - 2), fill=MARK, width=2)
        pen.text((LABEL_PX + wide + 5, top + 3), line.text, fill=INK, font=font)
    file = BytesIO()
    picture.save(file, "JPEG", quality=92, subsampling=0)
    return Picture(file.getvalue(), title)


def _short(text: str, font: object) -> str:
    from PIL import ImageFont

    assert isinstance(font, (ImageFont.ImageFont, ImageFont.FreeTypeFont))
    text = text.encode("latin-1", "replace").decode("latin-1")
    while font.getlength(text) > LABEL_PX - 8:
        text = text[:-2] + "."
    return text
