"""What in a text is personal: e-mail addresses, phone numbers, IBANs and payment card numbers.

Text comes from OCR, which takes O for 0, l for 1, loses dots and adds spaces. Where a number has a checksum (IBAN, card) such slips are
undone and the checksum decides; a phone number has none, so it must be written like one: with a plus, with the trunk prefix of its
country, in groups or after a word such as Tel. Article numbers (GTIN), dates, sizes and prices aren't.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dataops_assets.imaging.personal_data.regions import Kind, Region, in_reading_order
from dataops_assets.imaging.personal_data.text import Line

if TYPE_CHECKING:
    from phonenumbers import PhoneNumberMatch

PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "PL")  # whose national formats are known; +.. is read anywhere
MAX_CHARACTERS = 400  # of a row; OCR lines are far shorter

AS_DIGIT = str.maketrans("OoQDIl|!iSsBZzGTg", "00001111155822679")
AS_LETTER = str.maketrans("0158264", "OISBZGA")

# BBAN by country: n digits, a letters, c both (SWIFT IBAN Registry, ISO 13616).
BBAN = {
    "AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n", "BG": "4a6n8c", "BH": "4a14c",
    "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c", "CR": "18n", "CY": "8n16c", "CZ": "20n", "DE": "18n", "DK": "14n", "DO": "4c20n",
    "EE": "16n", "EG": "25n", "ES": "20n", "FI": "14n", "FO": "14n", "FR": "10n11c2n", "GB": "4a14n", "GE": "2a16n", "GI": "4a15c",
    "GL": "14n", "GR": "7n16c", "GT": "4c20c", "HR": "17n", "HU": "24n", "IE": "4a14n", "IL": "19n", "IQ": "4a15n", "IS": "22n",
    "IT": "1a10n12c", "JO": "4a4n18c", "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c", "LC": "4a24c", "LI": "5n12c", "LT": "16n",
    "LU": "3n13c", "LV": "4a13c", "LY": "21n", "MC": "10n11c2n", "MD": "2c18c", "ME": "18n", "MK": "3n10c2n", "MR": "23n",
    "MT": "4a5n18c", "MU": "4a19n3a", "NL": "4a10n", "NO": "11n", "PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n", "QA": "4a21c",
    "RO": "4a16c", "RS": "18n", "SA": "2n18c", "SC": "4a20n3a", "SE": "20n", "SI": "15n", "SK": "20n", "SM": "1a10n12c", "ST": "21n",
    "SV": "4a20n", "TL": "19n", "TN": "20n", "TR": "6n16c", "UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n",
}  # fmt: skip

# First digits, length and the places where groups may part, as printed on cards.
CARDS = (
    (r"4", 16, {4, 8, 12}),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", 16, {4, 8, 12}),  # Mastercard
    (r"3[47]", 15, {4, 10}),  # American Express
    (r"30[0-5]|36|38|39", 14, {4, 10}),  # Diners Club
    (r"6011|64[4-9]|65|62", 16, {4, 8, 12}),  # Discover, UnionPay
    (r"35(2[89]|[3-8])", 16, {4, 8, 12}),  # JCB
    (r"220[0-4]", 16, {4, 8, 12}),  # Mir
    (r"62", 19, {4, 6, 8, 12, 16}),  # UnionPay
    (r"6759|676[1-3]|5018|5020|5038|6304", 16, {4, 8, 12}),  # Maestro
    (r"4|6759|676[1-3]|5018|5020|5038|6304", 19, {4, 8, 12, 16}),  # Visa, Maestro
)
CARD_NUMBER = [(re.compile(first), length, parts) for first, length, parts in CARDS]

# Letters of any script count, as in addresses with international names (RFC 6531); OCR's c0m and 0rg end one too.
LOCAL = r"[^\W_][\w.%+'-]{0,63}"
TOP = r"(?:[^\W\d_]{2,24}|xn--[A-Z0-9]{1,20}|c0m|0rg)(?!\w)"
E_MAIL = re.compile(rf"{LOCAL}@(?:[^\W_](?:[\w-]{{0,62}})\.){{1,4}}{TOP}", re.IGNORECASE)
E_MAIL_WITH_SPACES = re.compile(
    rf"{LOCAL} ?(?:@|\(at\)|\[at\]| at (?=\S+ dot )) ?(?:(?=[\w-]*[^\W\d_])[\w-]{{1,63}}(?: ?\. ?|,| dot )){{1,4}}{TOP}", re.IGNORECASE
)
E_MAIL_WITHOUT_DOT = re.compile(r"[A-Za-z0-9._%+-]*[A-Za-z][A-Za-z0-9._%+-]+@[A-Za-z][A-Za-z0-9-]{4,63}(?![A-Za-z0-9])")
PROVIDERS = "gmail|googlemail|hotmail|outlook|yahoo|icloud|web|gmx|t-online|aol|mail|yandex|proton|protonmail|live|orange|libero|wp|o2"
E_MAIL_OF_PROVIDER = re.compile(
    rf"(?<![\w/.])(?!www)[A-Za-z0-9._%+-]{{2,64}}[©®&]\.?(?:{PROVIDERS})[., ]?[a-z]{{2,3}}(?![A-Za-z0-9])", re.IGNORECASE
)

GROUPS = re.compile(r"[0-9OoQDIl|!iSsBZzGT]+")
PHONE_WORDS = "tel|telefon|telephone|phone|fon|mob|mobile|mobil|handy|cell|call|fax|whats ?app|viber|telegram|sms|hotline|тел|моб"
SAID_TO_BE_ONE = re.compile(
    rf"(?:(?<![^\W\d_])(?:{PHONE_WORDS})|[☎✆📞])[\s.:|/-]{{0,4}}(?:(?:nr|no)\b[\s.:]{{0,3}})?([+(]?\d[\d ()./-]{{5,22}}\d)(?!\w)",
    re.IGNORECASE,
)
DATE = re.compile(r"(?<!\d)(?:(?:19|20)\d\d[-./:](?:0?[1-9]|1[0-2])[-./:]\d{1,2}|\d{1,2}[-./](?:0?[1-9]|1[0-2])[-./](?:19|20)?\d\d)(?!\d)")
NANP = re.compile(r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[-. /])\d{3}[-. ]\d{4}")
GTIN_GROUPS = ((1, 6, 6), (1, 5, 5, 1), (4, 4), (1, 2, 5, 5, 1), (6, 6), (7, 6), (2, 5, 5, 1))
MIN_PHONE_DIGITS, MIN_SAID_DIGITS, MAX_PHONE_DIGITS = 9, 7, 15  # the last by ITU-T E.164


@dataclass(frozen=True)
class Match:
    """Characters `start` to `end` of a text are personal."""

    kind: Kind
    start: int
    end: int


def personal(lines: Sequence[Line], regions: Sequence[str] = PHONE_REGIONS) -> list[Region]:
    """Where the picture shows something personal: the whole lines that hold it, in reading order.

    Args:
        lines: Of `text.read_text`. Pieces of one row that OCR took apart are read together.
        regions: Countries (ISO 3166, two letters) whose phone numbers are known without their +.. prefix.
    """
    found = set()
    for row in _rows(lines):
        text, spans = "", []
        for line in row:
            text += " " if text else ""
            spans.append((len(text), len(text) + len(line.text), line))
            text += line.text
        for match in find(text, regions):
            held = [line for start, end, line in spans if start < match.end and match.start < end]
            x, y = min(line.x for line in held), min(line.y for line in held)
            right, bottom = max(line.x + line.w for line in held), max(line.y + line.h for line in held)
            found.add(Region(match.kind, x, y, right - x, bottom - y, min(line.score for line in held)))
    return in_reading_order(found)


def find(text: str, regions: Sequence[str] = PHONE_REGIONS) -> list[Match]:
    """What is personal in one row of text, in its order; no character counts twice."""
    plain = _plain(text[:MAX_CHARACTERS])
    found: list[Match] = []
    searches: list[tuple[Kind, Callable[[str], Iterator[tuple[int, int]]]]] = [("e_mail", _e_mails), ("iban", _ibans), ("card", _cards)]
    for kind, search in searches:
        for start, end in search(plain):
            found.append(Match(kind, start, end))
            plain = plain[:start] + "\n" * (end - start) + plain[end:]
    found += [Match("phone", start, end) for start, end in _phones(plain, regions)]
    return sorted(found, key=lambda match: match.start)


def _plain(text: str) -> str:
    """The text with full-width letters, dashes and the like as ASCII; each character stays one."""
    characters = (unicodedata.normalize("NFKC", character) for character in text)
    text = "".join(new if len(new) == 1 else old for new, old in zip(characters, text, strict=True))
    return re.sub(r"[‐‑‒–—―−]", "-", re.sub(r"\s|·|•", " ", text))


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines side by side at one height are one row."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.x, line.y)):
        for row in rows:
            last = row[-1]
            height = min(last.h, line.h)
            overlap = min(last.y + last.h, line.y + line.h) - max(last.y, line.y)
            if overlap >= 0.5 * height and max(last.h, line.h) <= 2 * height and -height <= line.x - last.x - last.w <= 2 * height:
                row.append(line)
                break
        else:
            rows.append([line])
    return rows


def _e_mails(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (E_MAIL, E_MAIL_WITH_SPACES, E_MAIL_WITHOUT_DOT, E_MAIL_OF_PROVIDER):
        for match in pattern.finditer(text):
            yield match.span()
        text = pattern.sub(lambda match: "\n" * len(match.group()), text)


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    past = 0
    for start in range(len(text) - 14):
        if start < past or not text[start].isalpha() or (start and text[start - 1].isdigit()):
            continue
        country = text[start : start + 2].upper()
        if country in BBAN and (end := _iban_end(text, start, BBAN[country])):
            past = end
            yield start, end


def _iban_end(text: str, start: int, bban: str) -> int:
    """Where the IBAN that starts there ends, or 0 where there is none."""
    kinds = "aann" + "".join(kind * int(count) for count, kind in re.findall(r"(\d+)([nac])", bban))
    characters, at = "", start
    while at < len(text) and len(characters) < len(kinds):
        if (text[at].isascii() and text[at].isalnum()) or text[at] in "|!":
            characters += text[at]
        elif text[at] not in " -.:" or text[at - 1] in "-.:":
            return 0
        at += 1
    if len(characters) < len(kinds) or _digits(characters) < kinds.count("n") / 2:
        return 0
    for both in (str.upper, lambda character: character.translate(AS_DIGIT).upper()):
        number = "".join(
            character.translate(AS_DIGIT) if kind == "n" else character.upper().translate(AS_LETTER) if kind == "a" else both(character)
            for character, kind in zip(characters, kinds, strict=True)
        )
        if all(kind != "n" or character.isdigit() for character, kind in zip(number, kinds, strict=True)) and has_mod_97(number):
            return at
    return 0


def has_mod_97(iban: str) -> bool:
    """Whether the checksum of an IBAN (ISO 7064, mod 97-10) is right."""
    rest = iban[4:] + iban[:4]
    return rest.isascii() and rest.isalnum() and int("".join(str(int(character, 36)) for character in rest)) % 97 == 1


def _cards(text: str) -> Iterator[tuple[int, int]]:
    groups = [match for match in GROUPS.finditer(text) if _digits(match.group()) * 4 >= len(match.group())]
    past = 0
    for first, group in enumerate(groups):
        if group.start() < past or text[group.start() - 1 : group.start()].isalnum():
            continue
        digits, parts, end = "", set(), group.start()
        for following in groups[first:]:
            between = text[end : following.start()]
            if len(between) > 2 or between.strip(" -."):
                break
            parts.add(len(digits))
            digits, end = digits + following.group().translate(AS_DIGIT), following.end()
            if len(digits) > 19:
                break
            if is_card(digits, parts - {0}) and not text[end : end + 1].isalnum():
                past = end
                yield group.start(), end
                break


def is_card(digits: str, parts: set[int]) -> bool:
    """Whether these are the digits of a payment card, with spaces after the counts in `parts`: issuer, length, Luhn's checksum."""
    if not any(len(digits) == length and first.match(digits) and parts <= allowed for first, length, allowed in CARD_NUMBER):
        return False
    if len(digits) == 14 and not parts and has_gtin_checksum(digits):
        return False
    doubled = [int(digit) * (2 - (len(digits) - place) % 2) for place, digit in enumerate(digits)]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0 and len(set(digits)) > 1


def has_gtin_checksum(digits: str) -> bool:
    """Whether they may be an article number: 8, 12, 13 or 14 digits with the checksum of GS1 (EAN, UPC)."""
    if len(digits) not in (8, 12, 13, 14):
        return False
    return sum(int(digit) * (1 if (len(digits) - place) % 2 else 3) for place, digit in enumerate(digits)) % 10 == 0


def _phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    text = GROUPS.sub(_without_slips, text)
    if _digits(text) < MIN_SAID_DIGITS:
        return
    past: list[tuple[int, int]] = []
    for said in SAID_TO_BE_ONE.finditer(text):
        groups = re.findall(r"\d+", said[1])
        if MIN_SAID_DIGITS <= len("".join(groups)) <= MAX_PHONE_DIGITS and not DATE.search(said[1]) and not _is_scale(groups):
            past.append(said.span(1))
            yield said.span(1)
    for region in (None, *regions):
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=100):
            if any(match.start < end and start < match.end for start, end in past):
                continue
            if _is_written_as_phone(text, match, region):
                past.append((match.start, match.end))
                yield match.start, match.end


def _without_slips(match: re.Match[str]) -> str:
    group = match.group()
    return group.translate(AS_DIGIT) if _digits(group) * 3 >= len(group) else group


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _is_written_as_phone(text: str, match: PhoneNumberMatch, region: str | None) -> bool:
    """Whether a number that is valid in the region looks like a phone number and not like another number."""
    from phonenumbers import PhoneMetadata, PhoneNumberType, number_type

    groups = re.findall(r"\d+", match.raw_string)
    digits = "".join(groups)
    if match.raw_string.startswith("+"):
        return len(digits) >= MIN_PHONE_DIGITS - 1
    if len(digits) < MIN_PHONE_DIGITS or DATE.search(text[max(0, match.start - 5) : match.end + 5]) or _is_scale(groups):
        return False
    if has_gtin_checksum(digits) and (len(groups) == 1 or tuple(map(len, groups)) in GTIN_GROUPS):
        return False
    if region in ("US", "CA"):
        return NANP.fullmatch(match.raw_string.strip()) is not None
    if len(groups) == 1 and not digits.startswith("00") and number_type(match.number) != PhoneNumberType.MOBILE:
        return False
    metadata = PhoneMetadata.metadata_for_region(region) if region else None
    return digits.startswith(("0", (metadata and metadata.national_prefix) or "0"))


def _is_scale(groups: Sequence[str]) -> bool:
    """Whether they are numbers in equal steps, as sizes are: 36 38 40 42 44."""
    steps = {int(following) - int(group) for group, following in pairwise(groups)}
    return len(groups) > 2 and len(steps) == 1
