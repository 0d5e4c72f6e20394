"""Gate of `cleaned_set`: enough is kept, reasons are within bounds, nothing kept is unusable or a duplicate, nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dataops_assets.reports.reasons import spoken
from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, as_many_rows, blank, filled, free_of, matching, not_empty, suite_of, true

KEPT = 'status == "kept"'


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `is_alone`, `shows_refused`, `is_accepted` and `reasons`.

    A row is alone when no other kept row shows the same pixels or nearly so, here or in the drops it was compared with. It
    `shows_refused` what a person refused for what it shows of people, in a picture nearly the same. `reasons` is `reason` with an empty
    text for null: a share of all pictures counts those without a reason too.
    """
    kept = frame[(frame["status"] == "kept") & frame["clean_sha256"].notna()]
    alone = ~frame["image_id"].isin(kept.loc[kept["clean_sha256"].duplicated(keep=False), "image_id"])
    if "copies" in inputs:
        alone &= ~frame["image_id"].isin(inputs["copies"]["image_id"])
    others = inputs.get("cleaned_set")
    if others is not None:
        held = others[(others["status"] == "kept") & ~others["drop_id"].isin(frame["drop_id"])]
        alone &= ~(frame["image_id"].isin(held["image_id"]) | frame["clean_sha256"].isin(held["clean_sha256"].dropna()))
    raw = inputs["raw_images"]
    accepted = frame["image_id"].isin(raw.loc[raw["status"] == "accepted", "image_id"])
    near = frame["image_id"].isin(inputs["near_refused"]["image_id"] if "near_refused" in inputs else [])
    return frame.assign(is_alone=alone, shows_refused=near, is_accepted=accepted, reasons=frame["reason"].fillna(""))


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    return {"input_rows": int((inputs["raw_images"]["status"] == "accepted").sum())}


def suite(spec: ProjectSpec) -> Any:
    keep, review = spec.gates.min_keep_share, spec.gates.max_review_share
    flags = [flag_down(issue) for issue in spec.cleaning.reject]
    personal = spec.cleaning.personal_data
    asked = [kind for kind, action in personal.actions.items() if action == "review"]
    never = [kind for kind, action in personal.actions.items() if action in ("reject", "redact")]
    if never:
        flags.append(free_of("open_personal_data", never, "personal_data_covered", f"No kept picture may show: {_list(never)}", where=KEPT))
    if asked:
        sentence = f"No kept picture may show this unless a person decided so: {_list(asked)}"
        flags.append(free_of("open_personal_data", asked, "personal_data_decided", sentence, where=f"{KEPT} and decided_by.isnull()"))
    if "face" in personal.look_for:
        flags.append(filled("faces", "faces_looked_for", "Every kept picture must have been searched for faces", where=KEPT))
    if "text" in personal.look_for:
        flags.append(filled("text_regions", "text_looked_for", "Every kept picture must have been searched for text", where=KEPT))
    for reason, most in spec.gates.max_reason_share.items():
        sentence = f"At most {most:.0%} of the pictures may be left out or wait for: {_list([reason])}"
        flags.append(free_of("reasons", [reason], f"share_of_{reason}", sentence, mostly=round(1 - most, 9)))
    return suite_of(
        "cleaned_set",
        not_empty("cleaned_set", "picture"),
        as_many_rows("Every accepted file must be kept, rejected or up for review"),
        true("is_accepted", "of_accepted_files", "Every picture must be an accepted file of the drop"),
        among("status", ("kept", "rejected", "review"), "status_known", "A picture is kept, rejected or up for review"),
        # what waits for a person counts: only a released version can be asked about, and what they decide is judged again
        among("status", ("kept", "review"), "keep_share", f"At least {keep:.0%} of the pictures must be usable, or may be", mostly=keep),
        among(
            "status", ("kept", "rejected"), "review_share", f"At most {review:.0%} of the pictures should wait for a person",
            mostly=1 - review, severity=WARNING,
        ),
        matching("clean_sha256", "^[0-9a-f]{64}$", "kept_cleaned", "Every kept picture must have its cleaned file", where=KEPT),
        filled("clean_sha256", "kept_has_file", "Every kept picture must have its cleaned file", where=KEPT),
        filled("reason", "left_out_explained", "Every picture that is not kept must say why", where='status != "kept"'),
        blank("duplicate_of", "kept_original", "No kept picture may be a duplicate of another", where=KEPT),
        true("is_alone", "kept_once", "No two kept pictures may show the same thing", where=KEPT),
        among(
            "shows_refused", [False], "nothing_refused_kept",
            "No kept picture may show the same as one that a person refused for what it shows of people", where=KEPT,
        ),
        *flags,
    )  # fmt: skip


def _list(kinds: Sequence[str]) -> str:
    return ", ".join(map(spoken, kinds))


def flag_down(issue: str) -> Any:
    """No kept picture has an issue that rejects, unless a person kept it all the same. Of few pictures nobody can tell a mark."""
    sentence, undecided = f"No kept picture may be {spoken(issue)}", 'status == "kept" and decided_by.isnull()'
    return among(f"is_{issue}", [False], f"no_kept_{issue}", sentence, where=undecided, nullable=issue == "watermark")
