"""What is no plain photo is seen: frames, collages, screens, lettering, blocks; and a photo is left in peace."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dataops_assets.imaging.composition import THRESHOLDS, calc_blocky, calc_scores, frame_of
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.view import WORKING_SIDE_PX, View

SEEDS = range(5)


def photo(seed: int, width: int = 360, height: int = 480) -> Image.Image:
    """Shapes and texture on a wall that isn't quite even."""
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 200, (5, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = int(random.integers(width)), int(random.integers(height))
        pen.ellipse([x - 40, y - 60, x + 40, y + 60], fill=tuple(random.integers(30, 230, 3).tolist()))
    noise = random.normal(0, 5, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def scores(image: Image.Image, quality: int = 92) -> dict[str, float]:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return calc_scores(View.of(decode(file.getvalue(), enough_px=WORKING_SIDE_PX)))


def issues(image: Image.Image, quality: int = 92) -> set[str]:
    return {issue for issue, score in scores(image, quality).items() if score < THRESHOLDS[issue]}


def framed(image: Image.Image, across: int, down: int, colour: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    whole = Image.new("RGB", (image.width + 2 * across, image.height + 2 * down), colour)
    whole.paste(image, (across, down))
    return whole


def beside(images: list[Image.Image], columns: int, gutter: int) -> Image.Image:
    width, height = images[0].size
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * (width + gutter) - gutter, rows * (height + gutter) - gutter), "white")
    for place, image in enumerate(images):
        whole.paste(image, (place % columns * (width + gutter), place // columns * (height + gutter)))
    return whole


def screen(seed: int) -> Image.Image:
    """A shop's page on a phone."""
    image = Image.new("RGB", (400, 800), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    pen.rectangle([0, 0, 400, 60], fill=(40, 60, 120))
    pen.text((20, 20), "Shop   Women   Dresses", font=font, fill="white")
    image.paste(photo(seed, 300, 360), (50, 90))
    for line in range(4):
        pen.text((20, 480 + 30 * line), "A summer dress, now only 29.99", font=font, fill=(30, 30, 30))
    pen.rectangle([20, 640, 200, 690], fill=(200, 30, 60))
    return image


@pytest.mark.parametrize("seed", SEEDS)
def test_a_photo_has_none_of_these_issues(seed: int) -> None:
    assert issues(photo(seed)) == set()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("across", "down", "colour"), [(0, 40, (0, 0, 0)), (40, 0, (0, 0, 0)), (24, 24, (255, 255, 255))])
def test_bars_and_frames(seed: int, across: int, down: int, colour: tuple[int, int, int]) -> None:
    image = framed(photo(seed), across, down, colour)
    expected = photo(seed).width * photo(seed).height / (image.width * image.height)
    assert "bordered" in issues(image)
    assert scores(image)["bordered"] == pytest.approx(expected, abs=0.03)


def test_a_garment_on_white_is_not_framed() -> None:
    image = Image.new("RGB", (360, 480), "white")
    pen = ImageDraw.Draw(image)
    pen.polygon([(140, 80), (220, 80), (290, 420), (70, 420)], fill=(150, 20, 60))
    assert scores(image)["bordered"] == 1.0
    assert "collage" not in issues(image)


def test_the_lines_of_a_frame_are_counted() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (100, 80), dtype=np.uint8)
    gray[:7], gray[-3:], gray[:, :5], gray[:, -4:] = 0, 0, 0, 0
    assert frame_of(gray) == (7, 3, 5, 4)


def test_a_floor_is_no_frame() -> None:
    gray = np.random.default_rng(0).integers(100, 256, (100, 80), dtype=np.uint8)
    gray[-20:] = 40
    assert frame_of(gray) == (0, 0, 0, 0)


@pytest.mark.parametrize("gutter", [0, 8])
@pytest.mark.parametrize(("count", "columns"), [(2, 2), (2, 1), (4, 2)])
def test_collages(count: int, columns: int, gutter: int) -> None:
    found = [
        "collage" in issues(beside([photo(10 * seed + number, 240, 320) for number in range(count)], columns, gutter)) for seed in SEEDS
    ]
    assert sum(found) >= (5 if gutter else 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_screens(seed: int) -> None:
    assert "screenshot" in issues(screen(seed))


@pytest.mark.parametrize("size_px", [18, 28])
def test_lettering(size_px: int) -> None:
    def lettered(seed: int) -> Image.Image:
        image = photo(seed)
        pen = ImageDraw.Draw(image)
        pen.rectangle([0, 410, 360, 470], fill=(20, 20, 20))
        pen.text((20, 425), "www.fashion-store.example", font=ImageFont.load_default(size_px), fill="white")
        return image

    assert sum("overlaid_text" in issues(lettered(seed)) for seed in SEEDS) >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_of_a_coarse_jpeg(seed: int) -> None:
    assert "blocky" in issues(photo(seed), quality=8)
    assert "blocky" not in issues(photo(seed), quality=60)


def test_blocks_are_seen_where_the_file_was_saved_again_finely() -> None:
    file = BytesIO()
    photo(1).save(file, "JPEG", quality=5)
    again = Image.open(file)
    assert scores(again, quality=95)["blocky"] < THRESHOLDS["blocky"]


def test_blocky_is_the_worse_of_table_and_sight() -> None:
    assert calc_blocky(None, None) == 1.0
    assert calc_blocky(None, 230.0) == 0.5
    assert calc_blocky((18.0, 3.0), 10.0) == pytest.approx(0.25)
    assert calc_blocky((1.0, 3.0), 10.0) == 1.0


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (40, 40), (900, 3)])
def test_tiny_and_narrow_pictures_have_scores(size: tuple[int, int]) -> None:
    assert all(0 <= score <= 1 for score in scores(photo(0, *size) if min(size) > 3 else Image.new("RGB", size)).values())
