"""What people decided stands for pictures that nobody can look at again, as far as it refuses them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages.decided import refused_unseen

ACTIONS = {"face": "review", "plate": "redact", "text": "keep"}


def outcome(seen: dict[str, Any], decision: str | None, asked: str | None = None) -> list[Any]:
    rows = conform(pd.DataFrame([{"image_id": "a" * 64, "drop_id": "d1", "phash": "0" * 16, **seen}]), CONTRACTS["cleaned_set"])
    said = pd.DataFrame([{"image_id": "a" * 64, "decision": decision, "by": "ann", "asked": asked}]) if decision else None
    return refused_unseen(rows, said, ACTIONS)[["status", "reason"]].to_numpy().tolist()


GREY, FACE = {"status": "review", "reason": "grayscale"}, {"status": "review", "reason": "face", "personal_data": "face"}
REFUSED = {"status": "rejected", "reason": "NOTHING_TO_REDACT"}
STANDS, NOTHING = [["rejected", "NOTHING_TO_REDACT"]], list[Any]()


@pytest.mark.parametrize(
    ("seen", "decision", "asked", "told"),
    [
        (REFUSED, "redact", "grayscale", STANDS),
        (REFUSED, None, None, STANDS),
        (REFUSED, "keep", "grayscale", NOTHING),  # somebody looked again, and saw nothing in it
        (GREY, "redact", "grayscale", STANDS),
        (GREY, "reject", "grayscale", NOTHING),  # for its looks: no copy goes with it
        (GREY, "keep", "grayscale", NOTHING),
        (GREY | {"reason": "face|grayscale"}, "redact", "grayscale", NOTHING),  # they weren't asked about all of it
        (FACE, "reject", "face", [["rejected", "face"]]),
        (FACE | {"open_personal_data": "face"}, "redact", "face", NOTHING),  # it could have been covered, and nobody knows
        (FACE, "redact", "face", NOTHING),
        (FACE, "redact", None, NOTHING),
        (GREY | {"personal_data": "plate"}, "redact", "grayscale", STANDS),  # covered by the policy: they saw something else
        ({"status": "rejected", "reason": "PURGED"}, "redact", None, NOTHING),
        ({"status": "rejected", "reason": "near_refused"}, None, None, NOTHING),  # follows the refused one, as long as that stands
    ],
)
def test_refused_where_nobody_can_look_again(seen: dict[str, Any], decision: str | None, asked: str | None, told: list[Any]) -> None:
    assert outcome(seen, decision, asked) == told
