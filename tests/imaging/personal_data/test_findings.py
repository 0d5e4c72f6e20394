"""One call for everything personal; only what was asked for is looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataops_assets.imaging.personal_data.findings import CONTACTS, KINDS, look_for
from tests.imaging.personal_data.made import scene, with_face, written
from tests.imaging.personal_data.test_metadata import exif, file_of

REGIONS = ("DE", "FR", "GB", "US")


def test_contacts_are_found_where_they_stand_and_other_lines_are_text() -> None:
    pixels, (x, y, w, h) = written("SPRING SALE 2026", "anna.nowak@example.org", "+49 151 23456789", letter_px=13)
    found = look_for(pixels, b"", {"text", *CONTACTS}, REGIONS)
    assert found.was_text_read and found.text_regions == 3
    assert [region.kind for region in found.regions] == ["text", "e_mail", "phone"]
    for region in found.regions:
        assert x <= region.x and y <= region.y and region.x + region.w <= x + w and region.y + region.h <= y + h
    only_phones = look_for(pixels, b"", {"phone"}, REGIONS)
    assert [region.kind for region in only_phones.regions] == ["phone"] and only_phones.text_regions == 3


def test_numbers_of_an_account_and_of_a_card() -> None:
    pixels, _ = written("DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", letter_px=13)
    assert [region.kind for region in look_for(pixels, b"", CONTACTS, REGIONS).regions] == ["iban", "card"]


def test_a_price_tag_holds_nothing_personal() -> None:
    pixels, _ = written("EUR 49,95  SIZE 38", "ART. 4006381333931", "25.11.2026", letter_px=13)
    found = look_for(pixels, b"", {"text", *CONTACTS}, REGIONS)
    assert found.text_regions >= 3 and {region.kind for region in found.regions} == {"text"}


def test_faces_are_counted_and_metadata_named(faces_folder: Path) -> None:
    pixels, _ = with_face(faces_folder, 64, (100, 200))
    found = look_for(pixels, file_of("JPEG", exif=exif(artist="Anna")), {"face", "metadata"})
    assert (found.faces, [region.kind for region in found.regions], found.metadata) == (1, ["face"], ("artist",))
    assert not found.was_text_read
    nothing = look_for(pixels, file_of("JPEG", exif=exif(artist="Anna")), ())
    assert (nothing.faces, nothing.regions, nothing.metadata) == (0, (), ())


def test_a_room_holds_nothing() -> None:
    found = look_for(scene(3), b"", KINDS, REGIONS)
    assert (found.regions, found.metadata, found.faces) == ((), (), 0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kinds of personal data: passport, tattoo"):
        look_for(np.zeros((8, 8, 3), np.uint8), b"", {"face", "tattoo", "passport"})


def crowd(faces_folder: Path, across: int, down: int) -> np.ndarray:
    """So many heads, side by side."""
    pixels, (x, y, w, h) = with_face(faces_folder, 40, (150, 150))
    head = pixels[y - h // 3 : y + h + h // 3, x - w // 3 : x + w + w // 3]
    return np.ascontiguousarray(np.tile(head, (down, across, 1)))


def test_everybody_in_a_crowd_is_found(faces_folder: Path) -> None:
    found = look_for(crowd(faces_folder, 12, 10), b"", ("face",))
    assert found.faces >= 118 and found.more == ()


def test_where_there_are_more_places_than_are_looked_at_that_is_said(faces_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataops_assets.imaging.personal_data.faces.MAX_CANDIDATES", 3)
    assert look_for(crowd(faces_folder, 2, 2), b"", ("face",)).more == ("more_faces",)


PAGE = (
    [f"order {number} is packed and on its way" for number in range(50)] + ["write to anna.nowak@example.org"] + ["thank you very much"] * 4
)


def test_a_full_page_is_read_to_its_end() -> None:
    pixels, _ = written(*PAGE, letter_px=14, at=(60, 40), size=(1200, 1600))
    found = look_for(pixels, b"", ("text", "e_mail"))
    assert [region.kind for region in found.regions if region.kind != "text"] == ["e_mail"]
    assert found.text_regions > 50 and found.more == ()


def test_where_there_is_more_to_read_than_is_read_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = written(*PAGE[:6])
    monkeypatch.setattr("dataops_assets.imaging.personal_data.text.MAX_COST", 40)
    found = look_for(pixels, b"", ("text", "e_mail"))
    assert 0 < found.text_regions < 6 and found.more == ("more_text",)
