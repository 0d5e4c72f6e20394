"""How good a threshold is, by what people decided about the pictures it flagged."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from dataops_assets.contracts import ISSUES
from dataops_assets.manifest import records

STEPS = 9
COLUMNS = (
    "image_id", "status", "reason", "personal_data", "decided_by",
    *(f"{issue}_score" for issue in ISSUES), *(f"is_{issue}" for issue in ISSUES),
)  # fmt: skip


def precision_and_recall(cleaned: pd.DataFrame, reviewed: Collection[str]) -> pd.DataFrame:
    """What each threshold would have found among the pictures that people decided on.

    People see only what some threshold flagged, so recall is the share of these: a threshold that is raised flags pictures about which
    nothing is known yet. A picture that people were asked about for several reasons says nothing of any of them.

    Args:
        cleaned: `cleaned_set` rows of drops in use, of which `COLUMNS` are looked at. Those with `decided_by` count; rejected ones are
            right to be flagged.
        reviewed: Issues and kinds of personal data about which people are asked.

    Returns:
        Columns issue, threshold, flagged, precision (null where nothing is flagged), recall; a row for each of up to nine thresholds
        between the scores of the flagged pictures. Issues for which people rejected nothing are left out.
    """
    decided = cleaned[cleaned["decided_by"].notna()]
    asked = [_asked(row, reviewed) for row in records(decided)]
    rows = []
    for issue in ISSUES:
        scores = decided[f"{issue}_score"].astype("float64")
        flagged_now = decided[f"is_{issue}"].astype("boolean").fillna(False).to_numpy(dtype=bool) & scores.notna().to_numpy()
        flagged_now &= np.array([reasons == {issue} for reasons in asked], dtype=bool)
        wrong = (decided["status"] == "rejected").to_numpy()[flagged_now]
        held = scores.to_numpy()[flagged_now]
        if not wrong.any():
            continue
        levels = np.unique(np.quantile(held, np.linspace(0, 1, STEPS)).round(4)) + 1e-4
        for level in levels:
            below = held < level
            found = int((below & wrong).sum())
            rows.append(
                {
                    "issue": issue,
                    "threshold": round(float(level), 4),
                    "flagged": int(below.sum()),
                    "precision": round(found / int(below.sum()), 4) if below.any() else None,
                    "recall": round(found / int(wrong.sum()), 4),
                }
            )
    return pd.DataFrame(rows, columns=["issue", "threshold", "flagged", "precision", "recall"])


def _asked(row: dict[str, object], reviewed: Collection[str]) -> set[str]:
    """For which reasons people looked at a picture: its row keeps them where they rejected it, else they are those that it has today."""
    if isinstance(row["reason"], str):
        return set(row["reason"].split("|"))
    found = str(row["personal_data"] or "").split("|")
    return {name for name in (*(issue for issue in ISSUES if row[f"is_{issue}"]), *found) if name in reviewed}
