"""What people decided about pictures in review, and what that means for their rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from dataops_assets.contracts import CONTRACTS, DECIDED
from dataops_assets.manifest import conform
from dataops_assets.stages.copies import NOTHING_TO_REDACT, is_refused

CARE = ("keep", "redact", "reject")  # what a person may decide, ever more careful


def covers(asked: str | None, reason: str | None) -> bool:
    """Whether people who were asked for some reasons, joined by |, knew of all those that a picture is in review for."""
    return asked is None or set((reason or "").split("|")) <= set(asked.split("|"))


def settled_by(decisions: pd.DataFrame | None) -> pd.DataFrame:
    """One decision a picture, by image_id: columns decision, by, at, asked. Where people disagree, the more careful answer stands."""
    columns = ["decision", "by", "at", "answered_by", "answered_at", "asked"]
    if decisions is None:
        return pd.DataFrame(columns=columns, dtype="object")
    known = decisions[decisions["decision"].isin(CARE)]
    ordered = known.assign(care=known["decision"].map(CARE.index)).sort_values(["image_id", "care", "by"], kind="stable")
    return ordered.drop_duplicates("image_id", keep="last").set_index("image_id").reindex(columns=columns)


def decide(frame: pd.DataFrame, settled: pd.DataFrame, prepared: Collection[int] = ()) -> None:
    """What a person decided on a picture in review stands, for the reasons that person knew of.

    A refusal stands also where the picture isn't in review any more; it is `prepared` (positions) first, so that what it shows is known.
    """
    if settled.empty:
        return
    refused = settled.index[(settled["decision"] == "reject") & settled["asked"].fillna("").ne("")]
    again = frame.index[(frame["status"] == "kept") & frame["image_id"].isin(refused) & frame.index.isin(list(prepared))]
    frame.loc[again, "reason"] = frame.loc[again, "image_id"].map(settled["asked"]).astype("object")
    frame.loc[again, "status"] = "review"
    waits = frame[(frame["status"] == "review") & frame["image_id"].isin(settled.index)]
    asked = [text if isinstance(text, str) else None for text in waits["image_id"].map(settled["asked"])]
    known = [covers(knew, reason) for knew, reason in zip(asked, waits["reason"].tolist(), strict=True)]
    decided = waits.index[np.array(known, dtype=bool)]
    if decided.empty:
        return
    ids = frame.loc[decided, "image_id"]
    rejected = ids.map(settled["decision"]) == "reject"
    frame.loc[decided, "status"] = np.where(rejected, "rejected", "kept")
    for name, given in zip(DECIDED, ("by", "at", "answered_by", "answered_at"), strict=True):
        frame.loc[decided, name] = ids.map(settled[given]).astype("object")
    frame.loc[rejected[~rejected].index, "reason"] = None


def refused_unseen(seen: pd.DataFrame, decisions: pd.DataFrame | None, actions: Mapping[str, str]) -> pd.DataFrame:
    """Rows of pictures that people refused for what they show of people, where nobody can look at them again.

    Args:
        seen: `cleaned_set` rows of such pictures as they were screened last, refused then or waiting for a person.
        decisions: What people have decided by now. A refusal is overturned by `keep`; `redact` counts as one only where screening had
            found nothing that could have been meant.
        actions: The policy for personal data: kind -> action.
    """
    settled = settled_by(decisions)
    said = seen["image_id"].map(settled["decision"])
    rows = seen[(is_refused(seen) & (said != "keep")) | (seen["status"] == "review")]
    rows = rows.astype(dict.fromkeys(DECIDED, "object"))
    decide(rows, settled)
    for place in rows.index[(rows["status"] == "kept") & (said[rows.index] == "redact")]:
        asked, found = settled.at[rows.at[place, "image_id"], "asked"], rows.at[place, "personal_data"]
        meant = asked.split("|") if isinstance(asked, str) and asked else [kind for kind, action in actions.items() if action == "review"]
        is_found = isinstance(found, str) and bool(set(found.split("|")) & set(meant))
        if not is_found and not isinstance(rows.at[place, "open_personal_data"], str):
            rows.loc[place, ["status", "reason", "clean_sha256"]] = ["rejected", NOTHING_TO_REDACT, None]
            rows.loc[place, DECIDED] = None
    return conform(rows[is_refused(rows)], CONTRACTS["cleaned_set"])
