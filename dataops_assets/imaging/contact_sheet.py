"""One small JPEG that shows many pictures: the evidence beside a number."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from dataops_assets.imaging.decode import decode

if TYPE_CHECKING:
    from PIL import Image, ImageFont

GAP_PX = 4
CAPTION_PX = 14
FONT_PX = 10
QUALITIES = (85, 75, 65, 55, 45, 35, 25, 15, 8)
INK, PAPER, EMPTY = (40, 40, 40), (255, 255, 255), (225, 225, 225)


def contact_sheet(pictures: Sequence[tuple[bytes | None, str]], columns: int = 4, width_px: int = 440, max_bytes: int = 150_000) -> bytes:
    """A JPEG of thumbnails with a caption beneath each; quality, then size, give way until it fits `max_bytes`.

    The defaults are what the Dagster UI shows well: a dialog 440 px wide, and an event log that keeps about four times
    the bytes. Pass cleaned pictures where there are any: these are decoded in the calling process.

    Args:
        pictures: (file bytes, caption); what can't be decoded becomes a tile with its reason code. None leaves a place empty.
        columns: Tiles in a row; fewer pictures share the width.
        width_px: Of the whole sheet.
        max_bytes: Of the JPEG.
    """
    columns = max(1, min(columns, len(pictures)))
    side = (width_px - GAP_PX * (columns + 1)) // columns
    sheet = _draw(pictures, columns, side, width_px)
    while True:
        for quality in QUALITIES:
            file = BytesIO()
            sheet.save(file, "JPEG", quality=quality)
            if file.tell() <= max_bytes:
                return file.getvalue()
        if min(sheet.size) < 16:
            return file.getvalue()
        sheet = sheet.resize((sheet.width // 2, sheet.height // 2))


def _draw(pictures: Sequence[tuple[bytes | None, str]], columns: int, side: int, width_px: int) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    rows = max(1, -(-len(pictures) // columns))
    step = side + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (width_px, rows * step + GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_PX)
    for position, (data, caption) in enumerate(pictures):
        left = GAP_PX + position % columns * (side + GAP_PX)
        top = GAP_PX + position // columns * step
        if data is not None:
            tile = _tile(data, side, font)
            sheet.paste(tile, (left + (side - tile.width) // 2, top + (side - tile.height) // 2))
        pen.text((left, top + side + 1), _fitting(caption, side, font), fill=INK, font=font)
    return sheet


def _tile(data: bytes, side: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    from PIL import Image, ImageDraw

    decoded = decode(data)
    if decoded.pixels is None:
        tile = Image.new("RGB", (side, side), EMPTY)
        ImageDraw.Draw(tile).text((4, side // 2 - FONT_PX), _fitting(str(decoded.reason), side - 8, font), fill=INK, font=font)
        return tile
    tile = Image.fromarray(np.ascontiguousarray(decoded.pixels))
    tile.thumbnail((side, side))
    return tile


def _fitting(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """One drawable line, cut to the tile's width; control characters and lone surrogates become `?`."""
    text = "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in caption[:200])
    try:
        font.getlength(text)
    except UnicodeEncodeError:  # Pillow without FreeType has a Latin-1 font
        text = text.encode("latin-1", "replace").decode("latin-1")
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
