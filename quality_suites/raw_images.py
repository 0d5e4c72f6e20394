"""Gate of `raw_images`: a delivery is worth going on with, lawful to use, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, filled, matching, not_empty, suite_of, true

STATUSES = ("accepted", "duplicate", "ignored", "quarantined", "held")
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF")
ACCEPTED = 'status == "accepted"'


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `any_accepted`: whether the delivery has an accepted file at all; and `is_counted`: whether as many rows have a status as
    the drops ledger says files were seen, which counts what the delivery listed before any of it was taken. A file that the manifest
    names and the delivery lacks has a row, but was not seen.
    """
    seen = inputs["drops"]["files_seen"] if "drops" in inputs else pd.Series(dtype="Int64")
    accounted = frame["status"].isin(STATUSES) & ~_absent(frame)
    is_counted = len(seen) == 1 and int(accounted.sum()) == int(seen.iloc[0])
    return frame.assign(any_accepted=bool((frame["status"] == "accepted").any()), is_counted=is_counted)


def _absent(frame: pd.DataFrame) -> pd.Series:
    return (frame["reason"] == "MANIFEST_FILE_MISSING") & frame["size_bytes"].isna() & (frame["status"] == "held")


def suite(spec: ProjectSpec) -> Any:
    share = spec.gates.min_accepted_file_share
    vendors = [vendor.name for vendor in spec.sources.vendors]
    rules = [
        not_empty("A delivery", "file"),
        among("status", STATUSES, "status_known", "Every file must be accepted, duplicate, ignored, quarantined or held"),
        true("is_counted", "nothing_lost", "Every file that was seen must have a row: accepted, duplicate, ignored, quarantined or held"),
        true("any_accepted", "something_accepted", "A delivery must hold at least one file that can be used"),
        among(
            "status", ("accepted", "duplicate"), "accepted_share", f"At least {share:.0%} of the files must be accepted",
            where='status != "ignored"', mostly=share,
        ),
        among("vendor", vendors, "vendor_known", f"The vendor must be one of the project's: {', '.join(vendors)}"),
        matching("image_id", "^[0-9a-f]{64}$", "accepted_hashed", "Every accepted file must be named by its sha256", where=ACCEPTED),
        between("size_bytes", "accepted_not_empty", "No accepted file may be empty", low=1, where=ACCEPTED),
        among("format", FORMATS, "format_known", "Every accepted file must be a picture of a known format", where=ACCEPTED),
        between("width_px", "width_known", "Every accepted picture must have a width", low=1, where=ACCEPTED),
        between("height_px", "height_known", "Every accepted picture must have a height", low=1, where=ACCEPTED),
        filled(
            "reason", "refusals_explained", "Every file that was not accepted must say why",
            where='status in ["duplicate", "quarantined", "held"]',
        ),
        among(
            "status", ("accepted", "duplicate", "ignored"), "nothing_refused", "Some files were refused: tell the vendor",
            severity=WARNING,
        ),
    ]  # fmt: skip
    if spec.sources.licenses:
        allowed = ", ".join(spec.sources.licenses)
        rules.append(among("license", spec.sources.licenses, "license_allowed", f"Accepted files must be under {allowed}", where=ACCEPTED))
        rules.append(filled("license", "license_given", "Every accepted file must name its licence", where=ACCEPTED))
    if spec.sources.consent == "required":
        rules.append(matching("consent", r"\S", "consent_given", "Every accepted file must name a consent reference", where=ACCEPTED))
    return suite_of("raw_images", *rules)
