"""Plates: a hint. What is promised is that it says yes to some plates and no to a wall."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataops_assets.imaging.personal_data.plates import plates
from tests.imaging.personal_data.made import is_hit, scene


def with_plate(words: str, width_px: int, at: tuple[int, int], seed: int) -> np.ndarray:
    """A scene with a European plate seen from the front."""
    height_px = round(width_px / 4.6)
    plate = Image.new("RGB", (width_px * 4, height_px * 4), "white")
    pen = ImageDraw.Draw(plate)
    pen.rectangle((0, 0, width_px * 4 - 1, height_px * 4 - 1), outline="black", width=8)
    font = ImageFont.load_default(height_px * 3)
    pen.text((width_px * 2, height_px * 2), words, fill="black", font=font, anchor="mm", stroke_width=4, stroke_fill="black")
    image = Image.fromarray(scene(seed))
    image.paste(plate.resize((width_px, height_px), Image.Resampling.BOX), at)
    return np.asarray(image)


def test_some_plates_are_found_where_they_are() -> None:
    words = ["B AB 1234", "A 123 BC 77", "WX 51 KLM", "M XY 987", "K 456 OP 99"]
    hits = [
        is_hit(plates(with_plate(word, 130, (60 + 20 * seed, 300), seed)), (60 + 20 * seed, 300, 130, 28))
        for seed, word in enumerate(words)
    ]
    assert sum(hits) >= 2


def test_a_room_has_none_and_regions_lie_inside() -> None:
    assert all(plates(scene(seed)) == [] for seed in range(4))
    for found in plates(with_plate("B AB 1234", 130, (270, 500), 0)):
        assert found.kind == "plate" and found.x + found.w <= 400 and found.y + found.h <= 533
