"""Pictures with something personal in them, made in code."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataops_assets.imaging.decode import Pixels, decode
from dataops_assets.simulate.backdrops import room

Box = tuple[int, int, int, int]  # x, y, w, h in px


def scene(seed: int = 0, width_px: int = 400, height_px: int = 533) -> Pixels:
    """A drawn room without people or text."""
    return np.asarray(room((width_px, height_px), height_px * 0.75, np.random.default_rng(seed)).convert("RGB"))


def written(
    *lines: str, letter_px: int = 14, at: tuple[int, int] = (30, 60), seed: int = 0, size: tuple[int, int] = (400, 533)
) -> tuple[Pixels, Box]:
    """A scene with lines of text on a piece of paper, and the box of the paper."""
    image = Image.fromarray(scene(seed, *size))
    font = ImageFont.load_default(letter_px * 1.4)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox(at, "\n".join(lines), font=font)
    box = (round(left) - letter_px, round(top) - letter_px, round(right) + letter_px, round(bottom) + letter_px)
    pen.rectangle(box, fill=(246, 244, 238))
    pen.text(at, "\n".join(lines), fill=(20, 20, 30), font=font)
    return np.asarray(image), (box[0], box[1], box[2] - box[0], box[3] - box[1])


@cache
def people(folder: Path) -> tuple[tuple[Pixels, tuple[Box, ...]], ...]:
    """Photos with the boxes of their faces."""
    found = []
    for image in ET.parse(folder / "training.xml").iter("image"):
        boxes = tuple(tuple(int(box.get(name, 0)) for name in ("left", "top", "width", "height")) for box in image.iter("box"))
        pixels = decode((folder / str(image.get("file"))).read_bytes()).pixels
        assert pixels is not None
        found.append((pixels, boxes))
    return tuple(found)  # type: ignore[arg-type]


def with_face(folder: Path, face_px: int, at: tuple[int, int], seed: int = 0) -> tuple[Pixels, Box]:
    """A scene with a real head, cut out as an oval, and its face's box: `face_px` wide, its upper left corner at a place."""
    pixels, boxes = people(folder)[0]
    x, y, w, h = boxes[0]
    left, top = max(0, x - w // 3), max(0, y - h // 3)
    scale = face_px / w
    cut = pixels[top : y + h + h // 3, left : x + w + w // 3]
    head = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    height, width = head.shape[:2]
    mask = np.zeros((height, width, 1), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (round(width * 0.48), round(height * 0.48)), 0, 0, 360, 1, -1)
    across, down = at[0] - round((x - left) * scale), at[1] - round((y - top) * scale)
    out = scene(seed).copy()
    place = out[down : down + height, across : across + width]
    place[:] = head * mask + place * (1 - mask)
    return out, (at[0], at[1], face_px, round(h * scale))


def is_hit(found: object, box: Box) -> bool:
    """Whether a region's middle lies within half a box of the box's middle."""
    x, y, w, h = box
    return any(abs(r.x + r.w / 2 - x - w / 2) < w / 2 and abs(r.y + r.h / 2 - y - h / 2) < h / 2 for r in found)  # type: ignore[attr-defined]
