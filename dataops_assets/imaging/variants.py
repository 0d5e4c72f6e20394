"""Variants of a picture by recipes of albumentations transforms, each seeded by what it is made from."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import Pixels, decode, encode

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network for a newer version

Transforms = Sequence[Mapping[str, Mapping[str, Any]]]


class RecipeError(ValueError):
    """A recipe can't be built or fails on a picture; the message is a sentence that names both."""


@dataclass(frozen=True)
class Rendered:
    """One variant in the blob store."""

    recipe: str
    copy: int
    seed: int
    sha256: str
    width_px: int
    height_px: int


def variant_seed(image_id: str, recipe: str, copy: int) -> int:
    """63 bits of SHA-256 over the source's id, the recipe's name and the copy's number: no run or order changes it."""
    return int.from_bytes(hashlib.sha256(f"{image_id}|{recipe}|{copy}".encode()).digest()[:8], "big") >> 1


def render(blobs: Blobs, item: tuple[str, str], recipes: Sequence[tuple[str, int, Transforms]]) -> list[Rendered]:
    """All variants of one cleaned picture, put in the blob store; those that changed no pixel are left out.

    Args:
        blobs: The store.
        item: (image_id, sha256 of the cleaned picture).
        recipes: (name, copies, transforms) each.

    Raises:
        RecipeError: when a transform can't be built or fails, naming recipe and image.
    """
    image_id, sha256 = item
    source = decode(blobs.read(sha256)).pixels
    if source is None:
        raise RecipeError(f"cleaned picture {sha256} of image {image_id} can't be decoded")
    rendered = []
    for name, copies, transforms in recipes:
        for copy in range(1, copies + 1):
            seed = variant_seed(image_id, name, copy)
            try:
                pixels = apply(transforms, source, seed)
            except Exception as error:
                raise RecipeError(f"recipe {name!r} fails on image {image_id}: {error}") from error
            if not np.array_equal(pixels, source):
                height, width = pixels.shape[:2]
                rendered.append(Rendered(name, copy, seed, blobs.put(encode(pixels)), width, height))
    return rendered


def apply(transforms: Transforms, pixels: Pixels, seed: int) -> Pixels:
    """The picture after all transforms in order.

    Raises:
        RecipeError: when a transform isn't one, or what comes out isn't an RGB picture.
    """
    import albumentations as A

    pipeline = A.Compose([_build(name, arguments) for step in transforms for name, arguments in step.items()], seed=seed)
    result: Pixels = pipeline(image=pixels.copy())["image"]
    if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.ndim != 3 or result.shape[2] != 3 or not result.size:
        raise RecipeError("the result is no 8-bit RGB picture: leave conversion to numbers to the training code")
    return result


def check_transforms(transforms: Transforms) -> list[str]:
    """Sentences on what is wrong with a recipe's transforms; tries them on a drawn picture."""
    found = []
    for step in transforms:
        for name, arguments in step.items():
            try:
                _build(name, arguments)
            except RecipeError as error:
                found.append(str(error))
    if not found:
        rows, columns = np.mgrid[0:512, 0:384]
        picture = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)
        try:
            apply(transforms, picture, seed=0)
        except Exception as error:
            found.append(f"fails on a picture of 384 x 512 px: {error}")
    return found


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    """One transform; albumentations only warns of an argument it doesn't know, here that is an error."""
    import albumentations as A

    found = getattr(A, name, None)
    if not (isinstance(found, type) and issubclass(found, A.BasicTransform)):
        raise RecipeError(f"albumentations has no transform {name!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return found(**arguments)
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise RecipeError(f"{name}: {'; '.join(line.strip() for line in lines if 'errors.pydantic.dev' not in line)}") from error
