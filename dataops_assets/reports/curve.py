"""A sampling plan's operating characteristic, and estimates beside a target: small pictures, wide as the UI's dialog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from dataops_assets.labels import acceptance
from dataops_assets.reports.bars import COLOURS, GROUND, INK, LABEL_PX, MARK, PAPER, WIDTH_PX
from dataops_assets.reports.panels import Picture

HEIGHT_PX, LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX, FONT_PX = 230, 44, 12, 22, 40, 11
_ROW_PX = 26


def characteristic(plan: acceptance.Plan, target: float) -> Picture | None:
    """Chance that a batch passes by its share of wrong labels, with what the target allows and what must not pass."""
    from PIL import Image, ImageDraw, ImageFont

    if not plan.n:
        return None
    most = min(1.0, max(2.2 * plan.limit, 3 * (1 - target)))
    wrong, chance = acceptance.characteristic(plan, 201, most)
    picture = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
    wide, high = WIDTH_PX - LEFT_PX - RIGHT_PX, HEIGHT_PX - TOP_PX - BOTTOM_PX

    def at(share: float, height: float) -> tuple[float, float]:
        return LEFT_PX + wide * min(1.0, share / most), TOP_PX + high * (1 - height)

    for height in (0.0, 0.25, 0.5, 0.75, 1.0):
        pen.line((*at(0, height), *at(most, height)), fill=GROUND)
        pen.text((4, at(0, height)[1] - 7), f"{height:.0%}", fill=INK, font=font)
    for number in range(5):
        share = most * number / 4
        text = f"{share:.1%}"
        left = min(at(share, 0)[0] - 10, WIDTH_PX - 2 - font.getlength(text))
        pen.text((left, at(0, 0)[1] + 4), text, fill=INK, font=font)
    for share, text, colour, top in ((1 - target, "target", COLOURS[2], 0.97), (plan.limit, "limit", MARK, 0.62)):
        pen.line((*at(share, 0), *at(share, 1)), fill=colour, width=2)
        pen.text((at(share, top)[0] + 4, at(share, top)[1]), f"{text} {share:.1%}", fill=colour, font=font)
    pen.line([at(float(x), float(y)) for x, y in zip(wrong, chance, strict=True)], fill=COLOURS[0], width=3)
    x, y = at(plan.limit, plan.consumers_risk)
    pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=MARK)
    pen.text((LEFT_PX, 3), f"chance to pass: {plan.n} of {plan.size:,} looked at, {plan.most_wrong} may be wrong", fill=INK, font=font)
    pen.text((LEFT_PX + wide // 2 - 60, HEIGHT_PX - 18), "share of wrong labels", fill=INK, font=font)
    return _jpeg(picture, "operating characteristic of the sampling plan")


@dataclass(frozen=True)
class Interval:
    """One line: a share with its bounds; without bounds a point."""

    label: str
    share: float
    lower: float | None = None
    upper: float | None = None


def intervals(title: str, lines: Sequence[Interval], target: float) -> Picture | None:
    """Shares of errors with their intervals, and what the target allows as a mark."""
    from PIL import Image, ImageDraw, ImageFont

    if not lines:
        return None
    most = min(1.0, max(2 * target, *(line.upper if line.upper is not None else line.share for line in lines)) * 1.1)
    picture = Image.new("RGB", (WIDTH_PX, 24 + _ROW_PX * len(lines)), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
    wide = WIDTH_PX - LABEL_PX - 96

    def at(share: float) -> float:
        return LABEL_PX + wide * min(1.0, share / most)

    for number, line in enumerate(lines):
        y = 20 + number * _ROW_PX + _ROW_PX // 2
        pen.text((2, y - 7), line.label, fill=INK, font=font)
        pen.rectangle((LABEL_PX, y - 7, LABEL_PX + wide, y + 7), fill=GROUND)
        text = f"{line.share:.1%}"
        if line.lower is not None and line.upper is not None:
            pen.line((at(line.lower), y, at(line.upper), y), fill=COLOURS[0], width=4)
            text += f" ({line.lower:.1%}-{line.upper:.1%})"
        pen.ellipse((at(line.share) - 4, y - 4, at(line.share) + 4, y + 4), fill=COLOURS[0])
        pen.text((LABEL_PX + wide + 4, y - 7), text, fill=INK, font=font)
    pen.line((at(target), 14, at(target), 22 + _ROW_PX * len(lines)), fill=MARK, width=2)
    pen.text((at(target) + 4, 2), f"target {target:.1%}", fill=MARK, font=font)
    return _jpeg(picture, title)


def _jpeg(picture: object, title: str) -> Picture:
    from PIL import Image

    assert isinstance(picture, Image.Image)
    file = BytesIO()
    picture.save(file, "JPEG", quality=92, subsampling=0)
    return Picture(file.getvalue(), title)
