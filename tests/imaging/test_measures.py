"""Each measure on a picture whose answer is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from dataops_assets.contracts import QUALITY_ISSUES
from dataops_assets.imaging.decode import Decoded, decode, encode
from dataops_assets.imaging.duplicates import calc_colour_grids
from dataops_assets.imaging.measures import THRESHOLDS, calc_odd_aspect_ratio, calc_odd_size, calc_scores_of
from dataops_assets.imaging.measures import calc_scores as scores_of
from dataops_assets.imaging.view import WORKING_SIDE_PX, View


def calc_scores(pixels: np.ndarray) -> dict[str, float]:
    return scores_of(View.of(Decoded(pixels, sides_px=(pixels.shape[1], pixels.shape[0]))))


def even(*rgb: int) -> np.ndarray:
    return np.full((120, 160, 3), rgb, dtype=np.uint8)


def garment() -> Image.Image:
    """A sharp, colourful shape with texture on a plain wall."""
    image = Image.new("RGB", (300, 400), (205, 200, 190))
    pen = ImageDraw.Draw(image)
    pen.polygon([(100, 60), (200, 60), (240, 340), (60, 340)], fill=(170, 30, 60))
    for top in range(80, 340, 20):
        pen.line([(80, top), (220, top)], fill=(240, 220, 60), width=3)
    noise = np.random.default_rng(1).normal(0, 6, (400, 300, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def issues(pixels: np.ndarray) -> set[str]:
    return {issue for issue, score in calc_scores(pixels).items() if score < THRESHOLDS[issue]}


def test_every_issue_has_a_threshold() -> None:
    assert set(THRESHOLDS) == set(QUALITY_ISSUES)


def test_a_good_picture_has_no_issue() -> None:
    assert issues(np.asarray(garment())) == set()


def test_black_and_white_ends() -> None:
    black, white = calc_scores(even(0, 0, 0)), calc_scores(even(255, 255, 255))
    assert (black["dark"], black["light"]) == (0.0, 1.0)
    assert (white["dark"], white["light"]) == (1.0, 0.0)
    assert black["low_information"] == white["low_information"] == 0.0


def test_brightness_follows_the_formula() -> None:
    assert calc_scores(even(0, 255, 0))["dark"] == pytest.approx(0.691**0.5, abs=0.002)


def test_underexposed_is_dark_and_overexposed_is_light() -> None:
    pixels = np.asarray(garment()).astype(float)
    assert "dark" in issues((pixels * 0.2).astype(np.uint8))
    assert "light" in issues(np.clip(pixels + 250, 0, 255).astype(np.uint8))


def test_a_lamp_in_the_night_is_not_dark() -> None:
    pixels = even(5, 5, 5).copy()
    pixels[:30, :40] = 250
    assert calc_scores(pixels)["dark"] > 0.9


def test_blur_falls_with_the_radius_and_is_flagged() -> None:
    scores = [calc_scores(np.asarray(garment().filter(ImageFilter.GaussianBlur(radius))))["blurry"] for radius in (0, 1, 2, 4)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.5 > THRESHOLDS["blurry"] > scores[3]


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shaken_picture_is_blurry_although_edges_along_the_movement_are_sharp(axis: int) -> None:
    pixels = np.asarray(garment()).astype(float)
    shaken = sum(np.roll(pixels, shift, axis=axis) for shift in range(13)) / 13
    assert "blurry" in issues(shaken.astype(np.uint8))


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_blur_does_not_depend_on_contrast(contrast: float) -> None:
    def at(radius: float) -> float:
        pixels = np.asarray(garment().filter(ImageFilter.GaussianBlur(radius))).astype(float)
        return calc_scores(((pixels - 128) * contrast + 128).astype(np.uint8))["blurry"]

    assert at(0) > THRESHOLDS["blurry"] > at(4)


def test_scores_hardly_depend_on_the_scale_at_which_a_jpeg_is_decoded() -> None:
    large = encode(np.asarray(garment().resize((1200, 1600), Image.Resampling.BICUBIC)))
    small = decode(large, enough_px=WORKING_SIDE_PX)
    assert small.pixels is not None and max(small.pixels.shape) < 1600
    full = scores_of(View.of(decode(large)))
    reduced = scores_of(View.of(small))
    del full["blocky"], reduced["blocky"]  # blocks are looked for at the scale at which the file is decoded
    assert reduced == pytest.approx(full, abs=0.12)


def test_entropy_of_two_and_of_all_grays() -> None:
    half = even(0, 0, 0).copy()
    half[:, 80:] = 255
    assert calc_scores(half)["low_information"] == pytest.approx(1 / 8, abs=0.001)
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[:, :, None], 3, axis=2)
    assert calc_scores(ramp)["low_information"] > 0.65  # of 48 columns that are looked at: log2(48) of 8 bits


def test_gray_is_seen_in_the_content() -> None:
    gray = np.asarray(garment().convert("L").convert("RGB"))
    assert "grayscale" in issues(gray)
    assert calc_scores(gray)["grayscale"] == 0.0


def test_shape() -> None:
    assert calc_odd_aspect_ratio(100, 400) == calc_odd_aspect_ratio(400, 100) == 0.25
    assert "odd_aspect_ratio" in issues(np.zeros((100, 400, 3), dtype=np.uint8))


def test_size_is_seen_against_the_set() -> None:
    assert calc_odd_size([(100, 100), (100, 100), (50, 200), (10, 10), (400, 400)]) == [1.0, 1.0, 1.0, 0.1, 0.25]
    assert calc_odd_size([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2, 2), (3, 3)])
def test_tiny_pictures_have_scores(shape: tuple[int, int]) -> None:
    assert all(0 <= score <= 1 for score in calc_scores(np.zeros((*shape, 3), dtype=np.uint8)).values())


def test_a_picture_has_the_scores_it_has_whatever_it_is_measured_with() -> None:
    """A run that goes on where another was killed measures pictures in other company."""
    made = [np.asarray(garment().filter(ImageFilter.GaussianBlur(radius)).resize((300 - 7 * radius, 400))) for radius in range(5)]
    made += [even(200, 180, 90), even(0, 0, 0)]
    views = [View.of(Decoded(pixels, sides_px=(pixels.shape[1], pixels.shape[0]))) for pixels in made]
    alone = [scores_of(view) for view in views]
    assert calc_scores_of(views) == alone and calc_scores_of(views[::-1]) == alone[::-1]
    grids = calc_colour_grids(np.concatenate([view.samples for view in views]))
    assert grids == [calc_colour_grids(view.samples)[0] for view in views]
