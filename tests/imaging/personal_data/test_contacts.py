"""Contacts: what can be called, written to or paid into is found in what OCR read; prices, sizes, dates and article numbers are not."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataops_assets.imaging.personal_data.contacts import find, has_gtin_checksum, has_mod_97, is_card, personal
from dataops_assets.imaging.personal_data.text import Line

REGIONS = ("DE", "FR", "GB", "US")  # a project's defaults

E_MAILS = [
    "anna@example.org",
    "jan.kowalski+shop@mail.co.uk",
    "m_rossi@web.de",
    "o'neil@example.com",
    "INFO@SHOP.EXAMPLE.COM",
    "olga-p@xn--mller-kva.de",
    "info@müller.de",
    "josé.núñez@correo.es",
    "анна@почта.рф",
    "wang88@163.com",
    "hello@shop.fashion",
    "a@b.co",
    "x@sub.domain.example.museum",
    # as OCR reads them
    "anna @ example . org",
    "anna(at)example.org",
    "anna at example dot org",
    "anna.k@gmail,com",
    "anna.k@gmail.c0m",
    "lena92@gmailcom",
    "lena92©gmail.com",
]
PHONES = [
    "+49 30 1234 5678",
    "+49 (0)30 12345678",
    "0151 23456789",
    "0049 30 12345678",
    "+1 212-555-0123",
    "(212) 555-0123",
    "212.555.0123",
    "1-800-555-0199",
    "+33 6 12 34 56 78",
    "06 12 34 56 78",
    "0612345678",
    "020 7946 0123",
    "07700 900123",
    "+7 912 345-67-89",
    "+48 601 234 567",
    "+34 912 345 678",
    "+39 02 1234 5678",
    "+81 3-1234-5678",
    "+86 138 0013 8000",
    "+91 98765 43210",
    "+55 11 91234-5678",
    "+61 412 345 678",
    "+90 532 123 45 67",
    "+380 50 123 4567",
    "+972 50 234 5678",
    # of other countries, but said to be one
    "Tel. 601 234 567",
    "Tel: 912 345 678",
    "fax 8 (912) 345-67-89",
    "call 555-2671",
    # as OCR reads them
    "+49 3O 1234 5678",
    "O151 2345678l",
]
IBANS = [
    "DE89 3704 0044 0532 0130 00",
    "DE89370400440532013000",
    "de89 3704 0044 0532 0130 00",
    "DE89-3704-0044-0532-0130-00",
    "GB29 NWBK 6016 1331 9268 19",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NL91ABNA0417164300",
    "PL61 1090 1014 0000 0712 1981 2874",
    "ES91 2100 0418 4502 0005 1332",
    "IT60 X054 2811 1010 0000 0123 456",
    "CH93 0076 2011 6238 5295 7",
    "NO93 8601 1117 947",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    "IBAN: BE68 5390 0754 7034",
    # as OCR reads them
    "DE89 37O4 0044 0532 0I30 00",
    "GB29 NW8K 6016 1331 9268 19",
]
CARDS = [
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111111111111111",
    "5555 5555 5555 4444",
    "2223 0031 2200 3222",
    "3782 822463 10005",
    "3056 930902 5904",
    "6011 1111 1111 1117",
    "3530 1113 3330 0000",
    "6759 6498 2643 8453",
    # as OCR reads it
    "4111 lll1 1111 1111",
]
NOTHING = [
    "€ 49,95",
    "$1,299.00",
    "1.299,00 EUR",
    "3 @ 1.99 EUR",
    "50% OFF",
    "36 38 40 42 44",
    "EUR 34 36 38 40 42 44 46",
    "62 68 74 80 86 92",
    "EU 38 / UK 10 / US 6",
    "W32 L34",
    "60 x 120 cm",
    "100% Cotton RN 123456 CA 00123",
    "2026-11-25",
    "25.11.2026",
    "25/11/2026 14:30",
    "06.07.2024 - 08.09.2024",
    "IMG_20261125_143000",
    "Mo-Fr 9-18, Sa 10-14",
    "EST. 1987",
    "978-3-16-148410-0",
    "40.7128, -74.0060",
    "192.168.1.1",
    "www.example.org",
    "@annadress",
    "Hotel 1234567",
    "iPhone 14 128 256 512 GB",
    "Smartphone 2024 2025",
    "Tel Aviv 2024 2025",
    "Order 302-1234567-1234567",
    "1Z999AA10123456784",
    "DE89 3704 0044 0532 0130 01",  # the checksum says no
    "DE89 3704 0044 0532 0130 0",
    "QQ89 3704 0044 0532 0130 00",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "1234 5678 9012 3456",
]


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, text) for kind, texts in (("e_mail", E_MAILS), ("phone", PHONES), ("iban", IBANS), ("card", CARDS)) for text in texts],
)
def test_each_kind_is_found_whole_and_as_nothing_else(kind: str, text: str) -> None:
    (found,) = find(text, REGIONS)
    assert (found.kind, text[found.start : found.end]) == (kind, re.sub("^(Tel[.:]|fax|call|IBAN:) ", "", text))
    (inside,) = find(f"Order here: {text} (Anna)", REGIONS)
    assert inside.kind == kind


@pytest.mark.parametrize("text", NOTHING)
def test_prices_sizes_dates_and_numbers_with_a_wrong_checksum_are_nothing(text: str) -> None:
    assert find(text, REGIONS) == []


def test_article_numbers_and_random_prices_are_not_phone_numbers() -> None:
    rng = random.Random(0)

    def gtin(length: int) -> str:
        start = "".join(rng.choices("0123456789", k=length - 1))
        return next(start + digit for digit in "0123456789" if has_gtin_checksum(start + digit))

    made = [gtin(length) for length in (8, 12, 13, 14) for _ in range(100)]
    made += [f"{code[0]} {code[1:7]} {code[7:]}" for code in (gtin(13) for _ in range(100))]
    made += [" ".join(f"{rng.randint(1, 200)}.{rng.randint(0, 99):02d}" for _ in range(4)) for _ in range(100)]
    made += [f"{rng.randint(1, 28):02d}.{rng.randint(1, 12):02d}.{rng.randint(1990, 2030)}" for _ in range(100)]
    assert [text for text in made if find(text, REGIONS)] == []


def test_numbers_of_a_country_count_where_the_project_names_it() -> None:
    assert find("912 345 678", ("DE",)) == []
    assert [match.kind for match in find("8 (912) 345-67-89", ("RU",))] == ["phone"]


@given(st.text(max_size=120))
def test_any_text_gives_matches_inside_it_in_order(text: str) -> None:
    found = find(text, REGIONS)
    ends = [0, *(match.end for match in found)]
    assert all(before <= match.start < match.end <= len(text) for before, match in zip(ends, found, strict=False))


@given(st.integers(0, 10**18 - 1), st.sampled_from(["DE"]), st.integers(0, 17), st.integers(1, 9))
def test_an_iban_with_one_digit_changed_is_none(account: int, country: str, place: int, more: int) -> None:
    bban = f"{account:018d}"
    iban = f"{country}{98 - int(bban + '131400') % 97:02d}{bban}"
    assert has_mod_97(iban)
    assert [match.kind for match in find(iban, ())] == ["iban"]
    wrong = iban[: 4 + place] + str((int(iban[4 + place]) + more) % 10) + iban[5 + place :]
    assert not has_mod_97(wrong)


@given(st.integers(0, 10**14 - 1), st.integers(0, 13), st.integers(1, 9))
def test_a_card_with_one_digit_changed_is_none(account: int, place: int, more: int) -> None:
    start = f"4{account:014d}"
    card = next(start + digit for digit in "0123456789" if len(set(start)) > 1 and is_card(start + digit, {4, 8, 12})) if account else ""
    if not card:
        return
    wrong = card[: 1 + place] + str((int(card[1 + place]) + more) % 10) + card[2 + place :]
    assert not is_card(wrong, {4, 8, 12})


def test_hostile_text_takes_no_time() -> None:
    long = ["a." * 200, "a@" * 200, ("a" * 60 + "@") * 6, "0 " * 200, "+1 " * 130, "I" * 400, "DE89 " * 80, "(at) dot " * 40, "O0l1" * 100]
    started = time.perf_counter()
    for text in [*long, "a@b." * 10_000]:
        find(text, REGIONS)
    assert time.perf_counter() - started < 5


class TestPlaces:
    """Where on the picture it stands: whole lines, and pieces of a row that were read apart."""

    def test_the_whole_line_is_named(self) -> None:
        lines = [Line("SALE", 10, 10, 80, 20, 0.9), Line("mail anna@example.org", 10, 40, 200, 20, 0.8)]
        (region,) = personal(lines, REGIONS)
        assert (region.kind, region.x, region.y, region.w, region.h, region.score) == ("e_mail", 10, 40, 200, 20, 0.8)

    def test_a_number_read_in_two_pieces_is_one(self) -> None:
        lines = [Line("0532 0130 00", 215, 42, 120, 20, 0.7), Line("DE89 3704 0044", 10, 40, 200, 20, 0.9)]
        (region,) = personal(lines, REGIONS)
        assert (region.kind, region.x, region.w, region.score) == ("iban", 10, 325, 0.7)

    def test_lines_far_apart_or_of_other_size_are_not_read_together(self) -> None:
        apart = [Line("DE89 3704 0044", 10, 40, 200, 20, 0.9), Line("0532 013000", 400, 40, 120, 20, 0.9)]
        below = [Line("DE89 3704 0044", 10, 40, 200, 20, 0.9), Line("0532 013000", 10, 65, 120, 20, 0.9)]
        larger = [Line("DE89 3704 0044", 10, 40, 200, 20, 0.9), Line("0532 013000", 215, 10, 120, 80, 0.9)]
        assert [personal(lines, ()) for lines in (apart, below, larger)] == [[], [], []]
