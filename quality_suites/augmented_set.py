"""Gate of `augmented_set`: every kept picture is there, and every variant knows where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, expect, filled, gxe, matching, not_empty, suite_of, true

VARIANT, SOURCE = 'kind == "variant"', 'kind == "source"'


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `is_source`, `has_source` (the row's source is a source row here) and `n_variants` of each source."""
    sources = set(frame.loc[frame["kind"] == "source", "image_id"])
    counts = frame[frame["kind"] == "variant"].groupby("source_image_id").size()
    variants = frame["image_id"].map(counts).fillna(0).astype("int64")
    is_source = (frame["kind"] == "source").astype("int64")
    return frame.assign(has_source=frame["source_image_id"].isin(sources), n_variants=variants, is_source=is_source)


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    return {"kept_rows": int((inputs["cleaned_set"]["status"] == "kept").sum())}


def suite(spec: ProjectSpec) -> Any:
    kept = {"$PARAMETER": "kept_rows"}
    recipes = [recipe.name for recipe in spec.augmentation.recipes]
    wanted = sum(recipe.copies for recipe in spec.augmentation.recipes)
    rules = [
        not_empty("augmented_set", "picture"),
        among("kind", ("source", "variant"), "kind_known", "A picture is a source or a variant"),
        expect(
            gxe.ExpectColumnSumToBeBetween(column="is_source", min_value=kept, max_value=kept),
            "every_input_accounted_for", "Every kept picture must be there as a source",
        ),
        true("has_source", "source_in_table", "Every variant's source must be in the table"),
        matching("sha256", "^[0-9a-f]{64}$", "picture_stored", "Every picture must be named by its sha256"),
        between("width_px", "width_known", "Every picture must have a width", low=1),
        between("height_px", "height_known", "Every picture must have a height", low=1),
        filled("seed", "seed_known", "Every variant must know its seed", where=VARIANT),
        among("recipe", recipes or ["-"], "recipe_known", "Every variant must be made by a recipe of the project", where=VARIANT),
        filled("recipe", "recipe_given", "Every variant must name its recipe", where=VARIANT),
    ]  # fmt: skip
    if wanted:
        rules.append(
            between(
                "n_variants", "variants_made", f"Every source should have its {wanted} variants", low=wanted, high=wanted,
                where=SOURCE, severity=WARNING,
            )
        )  # fmt: skip
    return suite_of("augmented_set", *rules)
