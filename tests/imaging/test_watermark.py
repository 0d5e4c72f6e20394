"""What is learned of a mark that the pictures of a drop share, and what isn't taken for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dataops_assets.imaging.decode import Decoded
from dataops_assets.imaging.view import View
from dataops_assets.imaging.watermark import FEWEST, THRESHOLDS, Mark, calc_watermark, learn, shape_of, trace
from tests.conftest import SHARED
from tests.stages.test_cleaned_set import photo

SIZE = (240, 320)
SHAPE = (256, 192)
LIMIT = THRESHOLDS["watermark"]


def marked(image: Image.Image, opacity: float = 0.25, colour: int = 255) -> Image.Image:
    """A vendor's name across the middle."""
    mask = Image.new("L", image.size)
    font = ImageFont.load_default(image.width // 8)
    ImageDraw.Draw(mask).text((image.width / 2, image.height / 2), "SAMPLE", font=font, fill=round(255 * opacity), anchor="mm")
    return Image.composite(Image.new("RGB", image.size, (colour,) * 3), image, mask)


def in_studio(seed: int) -> Image.Image:
    """Other clothes before the same wall each time, cut to the same shape, in light that isn't quite the same."""
    wall = Image.new("RGB", SIZE, (225, 222, 218))
    pen = ImageDraw.Draw(wall)
    pen.rectangle((0, 270, 240, 320), fill=(150, 120, 90))
    pen.rectangle((112, 10, 128, 70), fill=(190, 160, 140))
    for left in range(10, 240, 24):
        pen.line((left, 0, left, 270), fill=(120, 118, 115), width=2)
    shape = Image.new("L", SIZE)
    ImageDraw.Draw(shape).polygon([(60, 60), (180, 60), (200, 250), (40, 250)], fill=255)
    pixels = np.asarray(Image.composite(photo(seed), wall, shape)) * np.random.default_rng(seed).normal(1, 0.08)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def traces(made: Callable[[int], Image.Image], count: int) -> list[np.ndarray]:
    return [trace_of(made(seed)) for seed in range(count)]


def trace_of(image: Image.Image) -> np.ndarray:
    return trace(View.of(Decoded(np.asarray(image), sides_px=image.size)))


def learned(pictures: list[np.ndarray]) -> Mark:
    mark = learn(pictures)[SHAPE]
    assert mark is not None
    return mark


@pytest.mark.parametrize(("opacity", "colour"), [(0.15, 255), (0.4, 255), (0.25, 0)])
def test_a_mark_is_learned_and_found_in_pictures_it_was_not_learned_from(opacity: float, colour: int) -> None:
    mark = learned(traces(lambda seed: marked(photo(seed), opacity, colour), 40))
    others = range(100, 130)
    with_, without = ([calc_watermark(trace_of(one), mark) for one in pictures] for pictures in (
        [marked(photo(seed), opacity, colour) for seed in others], [photo(seed) for seed in others],
    ))  # fmt: skip
    assert np.mean(np.array(with_) < LIMIT) >= 0.9
    assert min(without) > LIMIT
    assert all(0 <= score <= 1 for score in with_ + without)
    rows = mark.places // SHAPE[1]
    assert np.mean((rows > 256 * 0.4) & (rows < 256 * 0.6)) > 0.95  # letters


@pytest.mark.parametrize("count", [FEWEST, 40, 100])
def test_photos_as_they_are_share_no_mark(count: int) -> None:
    assert learn(traces(photo, count)) == {SHAPE: None}


def test_what_a_studio_shows_each_time_is_no_mark() -> None:
    assert learn(traces(in_studio, 60)) == {SHAPE: None}
    assert learn(traces(lambda seed: marked(in_studio(seed)), 60))[SHAPE] is not None


def test_a_frame_is_no_mark() -> None:
    def framed(seed: int) -> Image.Image:
        image = Image.new("RGB", SIZE, "white")
        image.paste(photo(seed).resize((220, 300)), (10, 10))
        return image

    assert learn(traces(framed, 60)) == {SHAPE: None}


def test_of_pictures_that_are_marked_in_part_only_those_are_flagged() -> None:
    pictures = [trace_of(photo(seed) if seed % 3 else marked(photo(seed))) for seed in range(120)]
    mark = learned(pictures)
    flagged = np.array([calc_watermark(one, mark) < LIMIT for one in pictures])
    is_marked = np.arange(120) % 3 == 0
    assert flagged[is_marked].mean() >= 0.9 and flagged[~is_marked].mean() <= 0.05
    assert mark.strength == pytest.approx(learned(pictures[::3]).strength, rel=0.25)  # of marked pictures, not of all


def test_of_too_few_pictures_of_a_shape_nothing_is_said() -> None:
    upright, wide = traces(marked_photo, FEWEST), [trace_of(marked(photo(seed, 320, 240))) for seed in range(FEWEST - 1)]
    assert list(learn(upright + wide)) == [SHAPE]
    assert learn([]) == {}


def marked_photo(seed: int) -> Image.Image:
    return marked(photo(seed))


def test_the_same_pictures_teach_the_same_mark() -> None:
    pictures = traces(marked_photo, 30)
    assert learned(pictures).digest == learned(list(pictures)).digest != learned(pictures[:-1]).digest


def test_shapes_nearly_the_same_are_one() -> None:
    assert shape_of(400, 533) == shape_of(400, 534) == shape_of(1200, 1600) == SHAPE
    assert shape_of(533, 400) == SHAPE[::-1] != shape_of(400, 400)
    assert shape_of(1, 5000) == (256, 16)
    for sides in ((400, 533), (90, 1000), (3, 2)):
        assert trace_of(Image.new("RGB", sides)).shape == shape_of(*sides)


def test_marks_on_real_photos_are_found_and_nothing_else() -> None:
    folder = SHARED / "clothing"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    photos = [Image.open(path).convert("RGB") for path in sorted(folder.rglob("*.jpg"))[::12]]
    upright = [image for image in photos if shape_of(*image.size) == SHAPE]
    assert learn([trace_of(image) for image in upright]) == {SHAPE: None}
    pictures = [trace_of(marked(image, 0.15)) for image in upright]
    mark = learned(pictures)
    assert np.mean([calc_watermark(one, mark) < LIMIT for one in pictures]) >= 0.85
