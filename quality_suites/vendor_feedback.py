"""Gate of `vendor_feedback`: it names no person, rests on answers, and no sign of behaviour stands without evidence or decides alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels.behaviour import GROUP
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, filled, matching, not_empty, suite_of, true


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `is_explained` (each sign has its sentence, and no other has one) and `is_seen_twice` (a look has signs of two groups)."""
    flags = frame["flags"].fillna("").map(lambda joined: {sign for sign in joined.split("|") if sign})
    told = frame["evidence"].fillna("[]").map(lambda text: {one["signal"] for one in json.loads(text) if one.get("sentence")})
    groups = flags.map(lambda signs: len({GROUP.get(sign) for sign in signs}))
    looks = is_true(frame["needs_look"])
    return frame.assign(is_explained=[one == other for one, other in zip(flags, told, strict=True)], is_seen_twice=looks.eq(groups > 1))


def suite(spec: ProjectSpec) -> Any:
    least = spec.gates.min_worker_gold_accuracy
    signs = "|".join(sorted(GROUP))
    return suite_of(
        "vendor_feedback",
        not_empty("Feedback", "worker"),
        matching("worker_id", "^w-[0-9a-f]{16}$", "workers_pseudonymous", "Workers must be pseudonyms"),
        between("n_labels", "answers_counted", "Feedback must rest on at least one answer", low=1),
        filled("advice", "advice_given", "Everyone must hear something"),
        between("right_share", "right_share_is_share", "A share of right answers must lie between 0 and 1", low=0, high=1, nullable=True),
        between("alpha", "alpha_possible", "Alpha must lie between -1 and 1", low=-1, high=1, nullable=True),
        matching("flags", rf"^(?:(?:{signs})(?:\|(?:{signs}))*)?$", "signs_known", "A sign of behaviour must be one that is documented"),
        true("is_explained", "signs_explained", "Each sign of behaviour must come with its evidence"),
        true("is_seen_twice", "looks_seen_twice", "A person is asked to look where, and only where, signs of two kinds meet"),
        among("needs_look", [False], "nobody_to_look_at", "A person should look at the work of some workers", severity=WARNING),
        between(
            "gold_accuracy", "workers_accurate", f"Some workers are below {least:.0%} on gold: retrain or replace them", low=least,
            where="gold_accuracy.notnull()", severity=WARNING,
        ),
    )  # fmt: skip
