"""Pictures of a drop that nobody can look at again, as their originals are gone: they stand as they were, unless policy says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from dataops_assets.contracts import DECIDED
from dataops_assets.imaging.personal_data.policy import Policy, forbidden, policy_of, unsearched
from dataops_assets.imaging.screening import Preparation, Prepared, prepare
from dataops_assets.spec import Cleaning


def rows_of(
    before: pd.DataFrame,
    raw: pd.DataFrame,
    purged: Collection[str],
    spec: Cleaning,
    then: Policy | None = None,
    refused: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rows of pictures that can't be looked at again, as their retention period has passed: they stand as they were.

    What waited for a person isn't among them, nobody can decide any more; what the policy of today wouldn't let pass is left out. A
    person's refusal stands, whatever became of the version that carried it.

    Args:
        before: The drop's own released rows.
        raw: Its `raw_images` rows.
        purged: image_ids of pictures that were deleted.
        spec: The policy of today.
        then: The policy that they were screened under; None: nobody knows.
        refused: Rows of those that people refused, by `decided.refused_unseen`.

    Returns:
        Rows of `cleaned_set`, in the order of their image_ids.
    """
    accepted = raw.loc[raw["status"] == "accepted", "image_id"]
    rows = before[before["image_id"].isin(purged) & before["image_id"].isin(accepted) & (before["status"] != "review")].copy()
    lost = (rows["status"] == "kept") & forbidden(rows, policy_of(spec.personal_data), then)
    rows.loc[lost, ["status", "reason"]] = ["rejected", "PURGED"]
    rows.loc[lost, ["clean_sha256", *DECIDED]] = None
    if refused is not None and len(refused):
        others = rows[~rows["image_id"].isin(refused["image_id"])]
        rows = pd.concat([others, refused]) if len(others) else refused
    return rows.sort_values("image_id", kind="stable", ignore_index=True)


def missing(lasting: pd.DataFrame, spec: Cleaning, then: Policy | None) -> dict[str, str]:
    """image_id -> what a lasting picture in use wasn't searched for and today's policy looks for, joined by |."""
    kept = lasting[lasting["status"] == "kept"]
    found = unsearched(kept, policy_of(spec.personal_data), then)
    return {image: kinds for image, kinds in zip(kept["image_id"], found, strict=True) if kinds}


def searched(lasting: pd.DataFrame, missing: Mapping[str, str], look: Callable[..., list[Prepared]], how: Preparation) -> pd.DataFrame:
    """Lasting rows, with what a search of the cleaned files finds: covered there, or the picture is left out.

    What people would have to decide on is left out as `PURGED`, like all that waits for them when its original is gone.
    """
    rows, asked = lasting.copy(), lasting["image_id"].map(missing)
    for kinds, mine in rows[asked.notna()].groupby(asked):
        search = replace(how, look_for=tuple(str(kinds).split("|")), max_side_px=how.max_pixels, is_cleaned=True)
        items = [(sha256, "", "", str(kinds)) for sha256 in mine["clean_sha256"]]
        looks = look(Prepared, partial(prepare, how=search), items, "cleaned images searched")
        for place, seen in zip(mine.index, looks, strict=True):
            was: dict[Any, Any] = mine.loc[place].to_dict()
            for name, new in (("personal_data", seen.found), ("open_personal_data", seen.open)):
                old = was[name].split("|") if isinstance(was[name], str) else []
                rows.at[place, name] = "|".join(sorted({*old, *new})) or None
            if seen.regions:
                rows.at[place, "regions"] = json.dumps([*json.loads(was["regions"] or "[]"), *seen.regions])
            for name, count in (("faces", seen.faces), ("text_regions", seen.text_regions)):
                rows.at[place, name] = was[name] if count is None else count
            refused = [kind for kind in seen.found if how.actions.get(kind) == "reject"]
            waits = any(how.actions.get(kind) == "review" for kind in seen.found)
            rows.at[place, "clean_sha256"] = seen.clean_sha256
            if seen.reason or refused or waits:
                rows.loc[place, ["status", "reason"]] = ["rejected", seen.reason or "|".join(refused) or "PURGED"]
                rows.loc[place, ["clean_sha256", *DECIDED]] = None
    return rows
