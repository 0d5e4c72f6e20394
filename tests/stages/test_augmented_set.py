"""Sources and variants: seeded, repeatable, unlike each other."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.variants import RecipeError, variant_seed
from dataops_assets.spec import Augmentation
from dataops_assets.stages.augmented_set import augment, check_recipes

MIRROR = {"name": "mirror", "transforms": [{"HorizontalFlip": {"p": 1.0}}]}
LIGHT = {
    "name": "light",
    "copies": 2,
    "transforms": [{"ColorJitter": {"brightness": [0.5, 1.5], "p": 1.0}}, {"GaussNoise": {"p": 1.0}}],
    "breaks": ["colour", "style"],
}


def recipes(*given: dict[str, object]) -> Augmentation:
    return Augmentation.model_validate({"recipes": given})


def cleaned_set(blobs: Blobs, count: int = 3) -> pd.DataFrame:
    rows = []
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(pixels).resize((90, 120), Image.Resampling.BICUBIC))
        row = {"image_id": f"{seed:064x}", "drop_id": "d1", "vendor": "acme", "path": f"{seed}.jpg", "status": "kept", "category": "dress"}
        rows.append({**row, "clean_sha256": blobs.put(encode(picture)), "width_px": 90, "height_px": 120, "near_duplicate_group": "g"})
    frame = pd.DataFrame(rows)
    frame.loc[count - 1, "status"] = "review"
    return manifest.conform(frame, CONTRACTS["cleaned_set"])


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def test_sources_and_variants(blobs: Blobs) -> None:
    cleaned = cleaned_set(blobs)
    frame = augment(cleaned, recipes(MIRROR, LIGHT), blobs, workers=1)
    sources, variants = frame[frame["kind"] == "source"], frame[frame["kind"] == "variant"]
    assert list(sources["image_id"]) == list(sources["source_image_id"]) == [f"{seed:064x}" for seed in range(2)]
    assert list(sources["sha256"]) == list(cleaned["clean_sha256"][:2])
    assert len(variants) == 2 * (1 + 2)
    assert (variants["image_id"] == variants["sha256"]).all()
    assert set(variants.groupby("recipe")["breaks"].first().items()) == {("light", "colour|style"), ("mirror", None)}
    assert (frame["near_duplicate_group"] == "g").all() and (frame["category"] == "dress").all()
    for row in variants.itertuples():
        assert row.seed == variant_seed(row.source_image_id, row.recipe, row.copy)
        with Image.open(BytesIO(blobs.read(row.sha256))) as image:
            assert image.size == (row.width_px, row.height_px) == (90, 120)
    mirrored = variants[(variants["recipe"] == "mirror") & (variants["source_image_id"] == f"{0:064x}")].iloc[0]
    flipped = decode(blobs.read(mirrored["sha256"])).pixels[:, ::-1].astype(int)
    assert np.abs(flipped - decode(blobs.read(sources.iloc[0]["sha256"])).pixels).mean() < 4


def test_two_runs_give_the_same_frame(blobs: Blobs, tmp_path: Path) -> None:
    other = Blobs(str(tmp_path / "elsewhere"))
    spec = recipes(LIGHT)
    first = augment(cleaned_set(blobs, 10), spec, blobs, workers=2)
    second = augment(cleaned_set(other, 10).iloc[::-1], spec, other, workers=1)
    pd.testing.assert_frame_equal(first, second)


def test_variants_that_repeat_are_left_out(blobs: Blobs) -> None:
    idle = {"name": "idle", "copies": 3, "transforms": [{"HorizontalFlip": {"p": 0.0}}]}
    again = {"name": "again", "copies": 4, "transforms": [{"HorizontalFlip": {"p": 1.0}}]}
    frame = augment(cleaned_set(blobs), recipes(idle, MIRROR, again), blobs, workers=1)
    assert set(frame["recipe"].dropna()) == {"mirror"}
    assert len(frame) == 4


def test_without_recipes_or_pictures(blobs: Blobs) -> None:
    assert set(augment(cleaned_set(blobs), recipes(), blobs)["kind"]) == {"source"}
    pd.testing.assert_frame_equal(augment(manifest.empty("cleaned_set"), recipes(MIRROR), blobs), manifest.empty("augmented_set"))


def test_a_failing_recipe_is_named_with_its_image(blobs: Blobs) -> None:
    crop = {"name": "crop", "transforms": [{"RandomCrop": {"height": 500, "width": 500}}]}
    with pytest.raises(RecipeError, match=f"recipe 'crop' fails on image {0:064x}: "):
        augment(cleaned_set(blobs), recipes(crop), blobs, workers=1)


def test_good_recipes_have_no_problems() -> None:
    assert check_recipes(recipes(MIRROR, LIGHT)) == []
    assert check_recipes(Augmentation()) == []


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"Sharpenn": {}}, "albumentations has no transform 'Sharpenn'"),
        ({"Compose": {}}, "albumentations has no transform 'Compose'"),
        ({"HorizontalFlip": {"probability": 1}}, "HorizontalFlip: .*probability"),
        ({"ColorJitter": {"brightness": "much"}}, "ColorJitter: .*brightness"),
        ({"Normalize": {"p": 1.0}}, "no 8-bit RGB picture"),
        ({"RandomCrop": {"height": 9000, "width": 9000}}, "fails on a picture of 384 x 512 px"),
    ],
)
def test_bad_recipes_are_explained(step: dict[str, dict[str, object]], says: str) -> None:
    problems = check_recipes(recipes({"name": "odd", "transforms": [step]}))
    assert len(problems) == 1
    assert problems[0].startswith("recipe 'odd': ")
    assert pd.Series(problems).str.contains(says).all()


def test_a_recipe_named_twice_is_explained() -> None:
    assert check_recipes(recipes(MIRROR, MIRROR)) == ["recipe 'mirror' is there 2 times; name each once"]
