"""What a policy for personal data means for pictures that were screened under the same one or another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import PersonalData

COLUMNS = ("image_id", "drop_id", "status", "personal_data", "open_personal_data", "regions", "faces", "text_regions", "decided_by")
SEARCHED = {"face": "faces", "text": "text_regions"}  # what tells, picture by picture, that it was searched for this

Policy = Mapping[str, Any]


def policy_of(personal: PersonalData) -> dict[str, Any]:
    """What screening depends on, in one spelling: `look_for`, `actions` of all kinds, `cover`, `phone_regions`."""
    return {
        "look_for": sorted(set(personal.look_for)),
        "actions": personal.actions,
        "cover": personal.cover,
        "phone_regions": sorted(set(personal.phone_regions)),
    }


def unsearched(rows: pd.DataFrame, now: Policy, then: Policy | None) -> pd.Series:
    """What today's policy looks for that a picture wasn't searched for, joined by |; "" where there is nothing.

    Args:
        rows: `cleaned_set` rows of one drop with `COLUMNS`.
        now: The policy of today.
        then: The one they were screened under; None: nobody knows.
    """
    missing = pd.Series("", index=rows.index, dtype="object")
    for search in now["look_for"]:
        if search in SEARCHED:
            missing += (rows[SEARCHED[search]].isna()).map({True: f"{search}|", False: ""})
        elif search == "plate" and (then is None or search not in then["look_for"]):
            missing += f"{search}|"
    return missing.str.rstrip("|")  # metadata isn't among them: a cleaned picture has none


def let_pass(rows: pd.DataFrame, now: Policy, then: Policy | None) -> pd.Series:
    """Whether today's policy lets a kept picture pass as it was screened: searched for all that is looked for, and not `forbidden`."""
    return (unsearched(rows, now, then) == "") & ~forbidden(rows, now, then)


def forbidden(rows: pd.DataFrame, now: Policy, then: Policy | None) -> pd.Series:
    """Whether what was found in a kept picture keeps it from passing.

    It shows uncovered what is to be covered, holds something for which it is rejected, or something that people have to decide on and that
    wasn't in question when they decided.
    """
    actions = now["actions"]
    asked = {kind for kind, action in (then or now)["actions"].items() if action == "review"}

    def is_fine(found: Any, shown: Any, by: Any) -> bool:
        if not isinstance(found, str) and not isinstance(shown, str):
            return True
        kinds = _kinds(shown)
        acts = {actions.get(kind) for kind in kinds if not (kind in asked and isinstance(by, str) and actions.get(kind) == "review")}
        return not acts & {"redact", "review"} and not any(actions.get(kind) == "reject" for kind in kinds | _kinds(found))

    columns = (rows[name] for name in ("personal_data", "open_personal_data", "decided_by"))
    return pd.Series([not is_fine(*row) for row in zip(*columns, strict=True)], index=rows.index, dtype=bool)


def differs(rows: pd.DataFrame, now: Policy, then: Policy | None) -> bool:
    """Whether a drop could be screened otherwise under today's policy; another spelling or a rule about what isn't there changes nothing.

    Args:
        rows: All its rows, with `COLUMNS`.
        now: The policy of today.
        then: The one it was screened under; None: nobody knows.
    """
    if then is None:
        return not let_pass(rows[rows["status"] == "kept"], now, then).all()
    if then == now or rows.empty:
        return False
    if set(now["look_for"]) - set(then["look_for"]):
        return True
    found = set().union(*rows["personal_data"].dropna().map(_kinds), *rows["open_personal_data"].dropna().map(_kinds))
    if any(then["actions"].get(kind) != now["actions"].get(kind) for kind in found):
        return True
    if found and set(then["look_for"]) != set(now["look_for"]):  # what was found may not be, now
        return True
    is_read = bool(rows["text_regions"].fillna(0).gt(0).any())
    if "text" in now["look_for"] and then["phone_regions"] != now["phone_regions"] and is_read:
        return True
    return then["cover"] != now["cover"] and bool(rows["regions"].fillna("").str.contains("true").any())


def _kinds(text: Any) -> set[str]:
    return set(text.split("|")) - {""} if isinstance(text, str) else set()
