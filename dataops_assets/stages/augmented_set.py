"""The kept pictures of a drop and the variants made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.variants import RecipeError, check_transforms, render
from dataops_assets.imaging.workers import Died, map_blobs
from dataops_assets.manifest import conform
from dataops_assets.spec import Augmentation

CARRIED = ["drop_id", "vendor", "category", "group_id", "near_duplicate_group"]


def check_recipes(spec: Augmentation) -> list[str]:
    """What is wrong with the recipes, a sentence each; empty when all can be used.

    Builds every transform and applies each recipe to a drawn picture (imports albumentations: about a second).
    """
    names = [recipe.name for recipe in spec.recipes]
    found = [f"recipe {name!r} is there {names.count(name)} times; name each once" for name in sorted(set(names)) if names.count(name) > 1]
    return found + [f"recipe {recipe.name!r}: {problem}" for recipe in spec.recipes for problem in check_transforms(recipe.transforms)]


def augment(
    cleaned: pd.DataFrame,
    spec: Augmentation,
    blobs: Blobs,
    workers: int | Callable[[], int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Each kept picture as `source`, and `copies` variants of it for every recipe.

    A variant's id is the sha256 of its bytes; its seed follows from source, recipe and copy, so the same input gives the
    same variants. One that changes no pixel, or equals another byte for byte, is left out.

    Args:
        cleaned: `cleaned_set` of one drop; rows not `kept` are passed over.
        spec: The recipes.
        blobs: Where the cleaned pictures are and the variants go.
        workers: Rendering processes, or a function that is asked again and again for how many; None: the machine's cores.
        progress: Called with (sources done, sources in all).

    Returns:
        A frame of the contract `augmented_set`.

    Raises:
        RecipeError: when a recipe can't be built or fails, naming recipe and image.
    """
    kept = cleaned[cleaned["status"] == "kept"].sort_values("image_id", kind="stable", ignore_index=True)
    rows: list[dict[str, Any]] = [
        {
            **{column: row[column] for column in [*CARRIED, "image_id", "width_px", "height_px"]},
            "source_image_id": row["image_id"],
            "kind": "source",
            "sha256": row["clean_sha256"],
        }
        for row in kept.to_dict("records")
    ]
    if spec.recipes:
        rows += _variants(rows, spec, blobs, workers, progress)
    frame = pd.DataFrame(rows, dtype="object")  # pandas would make floats of numbers beside nulls, and round the seeds
    return conform(frame, CONTRACTS["augmented_set"])


def _variants(
    sources: list[dict[str, Any]],
    spec: Augmentation,
    blobs: Blobs,
    workers: int | Callable[[], int] | None,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    task = partial(render, recipes=[(recipe.name, recipe.copies, recipe.transforms) for recipe in spec.recipes])
    breaks = {recipe.name: "|".join(recipe.breaks) or None for recipe in spec.recipes}
    items = [(source["image_id"], source["sha256"]) for source in sources]
    taken = {name for item in items for name in item}
    rows = []
    for index, result in map_blobs(task, items, blobs, workers=workers):
        source = sources[index]
        if isinstance(result, Died):
            names = ", ".join(breaks)
            raise RecipeError(f"one of the recipes {names} fails on image {source['image_id']}: {result.detail}")
        for variant in result:
            if variant.sha256 in taken:
                continue
            taken.add(variant.sha256)
            rows.append(
                {
                    **{column: source[column] for column in [*CARRIED, "source_image_id"]},
                    "image_id": variant.sha256,
                    "kind": "variant",
                    "recipe": variant.recipe,
                    "copy": variant.copy,
                    "seed": variant.seed,
                    "sha256": variant.sha256,
                    "width_px": variant.width_px,
                    "height_px": variant.height_px,
                    "breaks": breaks[variant.recipe],
                }
            )
        if progress is not None:
            progress(index + 1, len(sources))
    return rows
