"""What a picture and its file say of people: every check that was asked for, in one call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.personal_data import contacts, faces, text
from dataops_assets.imaging.personal_data.metadata import metadata
from dataops_assets.imaging.personal_data.plates import plates
from dataops_assets.imaging.personal_data.regions import Region, in_reading_order
from dataops_assets.imaging.personal_data.text import Line
from dataops_assets.imaging.personal_data.text_hint import text_part

CONTACTS = frozenset({"e_mail", "phone", "iban", "card"})
KINDS = CONTACTS | {"face", "plate", "text", "metadata"}


@dataclass(frozen=True)
class Findings:
    """What was found of the kinds that were asked for.

    Attributes:
        regions: Parts of the picture, in reading order; of kind `text` the lines that hold no personal data.
        metadata: Names of findings in the file's metadata, sorted (see `metadata.metadata`), `more_metadata` among them: that search
            can be cut short, too, but a cleaned picture has no metadata, so nothing of it is still to be covered.
        text_regions: Lines of text that were read, whether personal or not.
        faces: How many.
        was_text_read: Whether the picture had anything like a line of text, so that it was read.
        more: `more_faces`, `more_text`: there is more of it in the picture than is looked at, so not all may be found.
    """

    regions: tuple[Region, ...] = ()
    metadata: tuple[str, ...] = ()
    text_regions: int = 0
    faces: int = 0
    was_text_read: bool = False
    more: tuple[str, ...] = ()


def look_for(pixels: Pixels, data: bytes, kinds: Collection[str], phone_regions: Sequence[str] = contacts.PHONE_REGIONS) -> Findings:
    """Everything personal of the kinds asked for; nothing else is computed. The same input gives the same findings.

    Args:
        pixels: RGB of shape (height, width, 3), uint8; regions are in its px.
        data: The file as delivered, for its metadata.
        kinds: Of `KINDS`: the kinds of `Region`, and `metadata`.
        phone_regions: Countries whose phone numbers are known without their prefix.

    Raises:
        ValueError: for an unknown kind.
    """
    unknown = set(kinds) - KINDS
    if unknown:
        raise ValueError(f"unknown kinds of personal data: {', '.join(sorted(unknown))}")
    shown, has_more_faces = faces.search(pixels) if "face" in kinds else ([], False)
    found = list(shown)
    if "plate" in kinds:
        found += plates(pixels)
    part = text_part(pixels) if "text" in kinds or CONTACTS & set(kinds) else None
    lines, has_more_text = text.search(pixels, part) if part else ([], False)
    private = contacts.personal(lines, phone_regions) if lines and CONTACTS & set(kinds) else []
    found += [region for region in private if region.kind in kinds]
    if "text" in kinds:
        found += [Region("text", line.x, line.y, line.w, line.h, line.score) for line in lines if not _is_part(line, private)]
    return Findings(
        regions=tuple(in_reading_order(found)),
        metadata=tuple(metadata(data)) if "metadata" in kinds else (),
        text_regions=len(lines),
        faces=len(shown),
        was_text_read=part is not None,
        more=tuple(name for name, is_so in (("more_faces", has_more_faces), ("more_text", has_more_text)) if is_so),
    )


def _is_part(line: Line, private: Sequence[Region]) -> bool:
    """Whether the line lies in a region that holds personal data."""
    return any(
        region.x <= line.x and region.y <= line.y and line.x + line.w <= region.x + region.w and line.y + line.h <= region.y + region.h
        for region in private
    )
