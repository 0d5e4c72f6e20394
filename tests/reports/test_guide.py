"""The page for vendors says what the code does: every code, in its place, with the same words; every limit as it is set."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dataops_assets.blobs import Blobs
from dataops_assets.intake import delivery_manifest, landing
from dataops_assets.intake.journal import Journal
from dataops_assets.intake.turns import LONGEST_PAUSE_S
from dataops_assets.reports import delivery_page
from dataops_assets.reports.delivery_story import WORDS
from dataops_assets.reports.reasons import OF_DELIVERIES, OF_FILES, OF_ONE_FOR_ALL, OF_SCREENING, REASONS, WARNINGS, Reason
from dataops_assets.spec import FORMATS, ImageVendor, IntakeLimits, ProjectSpec, Sources, UrlLists
from dataops_assets.stages.raw_images import HELD, MOST_PRICE, TRIES, WHOLE_DROP, Receipt, receive
from tests.conftest import REPO

GUIDE = (REPO / "docs/vendors.md").read_text()
SECTIONS = {
    "Reasons for a whole delivery": OF_DELIVERIES, "Reasons in one file for a whole delivery": OF_ONE_FOR_ALL,
    "Reasons for a file": OF_FILES | {"UNREADABLE": OF_DELIVERIES["UNREADABLE"]},
    "Reasons of the screening": OF_SCREENING,
    "Warnings: the file was taken all the same": WARNINGS,
}  # fmt: skip
AGREED = """
UNSAFE_PATH LINK_MEMBER SPECIAL_MEMBER BOMB NESTED_ARCHIVE TOO_MANY_MEMBERS ARCHIVE_CORRUPT ENCRYPTED UNSUPPORTED_ARCHIVE POLYGLOT
DUPLICATE_NAME_CONFLICT EMPTY_DROP INCOMPLETE VENDOR_UNKNOWN URL_BLOCKED MANIFEST_MISSING MANIFEST_INVALID MANIFEST_SCHEMA
MANIFEST_FILE_MISSING CHECKSUM_MISMATCH DUPLICATE_NAME DUPLICATE_CONTENT NAME_TOO_LONG TYPE_MISMATCH CORRUPT ZERO_BYTE MULTI_FRAME TOO_LARGE
MANIFEST_FILE_UNLISTED EXTRA_MANIFEST JUNK_IGNORED LICENSE_REFUSED CONSENT_MISSING NAME_LONG NAME_CASE_COLLISION NAME_UNICODE_COLLISION
NAME_CONTROL_CHARS NAME_MARKUP NAME_FORMULA MANIFEST_UNKNOWN_FIELD
"""  # what vendors' own tools may rely on: a code that is renamed breaks them


@pytest.fixture
def take(tmp_path: Path, garments: ProjectSpec) -> Callable[[dict[str, bytes]], Receipt]:
    """Receive a folder of files."""
    numbers = iter(range(99))

    def run(files: dict[str, bytes]) -> Receipt:
        place = tmp_path / f"lot-{next(numbers)}"
        place.mkdir()
        for name, data in files.items():
            (place / name).write_bytes(data)
        delivery = landing.Delivery("garments", "acme", place.name, place, False)
        return receive(delivery, "d", garments, Blobs(str(tmp_path / "store")), Journal(tmp_path / "journals" / place.name))

    return run


def section(title: str) -> str:
    return GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("title", "reasons"), SECTIONS.items())
def test_each_section_has_the_codes_of_its_kind_and_no_others(title: str, reasons: dict[str, Reason]) -> None:
    rows = [line.strip("|").split(" | ") for line in section(title).splitlines() if line.startswith("| `")]
    assert {row[0].strip(" `"): tuple(cell.strip() for cell in row[1:]) for row in rows} == {
        code: tuple(told) for code, told in reasons.items()
    }
    assert len(rows) == len(reasons)


def test_every_code_that_was_agreed_is_explained() -> None:
    assert set(AGREED.split()) - REASONS.keys() == set()
    assert set(HELD) <= OF_DELIVERIES.keys()
    assert set(WHOLE_DROP) == OF_ONE_FOR_ALL.keys()


def test_what_one_bad_file_does_is_said(take: Callable[[dict[str, bytes]], Receipt]) -> None:
    """As the intake does it: of the good picture beside each, whether it is taken."""
    good = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(good, "JPEG")
    bad = {
        "CORRUPT": {"bad.jpg": b"no picture"}, "ZERO_BYTE": {"bad.jpg": b""}, "TYPE_MISMATCH": {"bad.txt": b"words"},
        "NESTED_ARCHIVE": {"bad.zip": b"PK\x05\x06" + bytes(18)},
        "CHECKSUM_MISMATCH": {"bad.jpg": good.getvalue() + b"1", "manifest.csv": b"path,bytes\ngood.jpg,\nbad.jpg,1\n"},
    }  # fmt: skip
    for code, files in bad.items():
        receipt = take({"good.jpg": good.getvalue(), **files})
        frame = receipt.frame.set_index("path")
        assert code in set(frame["reason"])
        is_taken = frame.loc["good.jpg", "status"] == "accepted"
        title = "Reasons for a file" if is_taken else "Reasons in one file for a whole delivery"
        assert f"| `{code}` |" in section(title), code
        assert is_taken == (code not in OF_ONE_FOR_ALL)


def test_statuses_columns_and_words_of_the_report_are_told() -> None:
    told = section("The report you get")
    assert [word for word in WORDS if f"| `{word}` |" not in told] == []
    assert [column for column in delivery_page.COLUMNS if f"`{column}`" not in told] == []
    source = (REPO / "dataops_assets/reports/delivery_story.py").read_text()
    verdicts = set(re.findall(r'"((?:Waiting|Refused|Withdrawn|Accepted|Partly)[a-z ]*)"', source))
    assert verdicts == {"Waiting for you", "Waiting for us", "Refused", "Withdrawn", "Accepted", "Partly accepted"}
    assert [word for word in (*verdicts, *delivery_page.COLOURS) if word not in told] == []


def test_limits_and_settings_are_as_they_are_set() -> None:
    limits, urls, sources = IntakeLimits(), UrlLists(), Sources(vendors=(ImageVendor(name="acme"),))
    told = (
        f"{limits.pixels // 10**6} megapixels a picture", f"{limits.member_bytes // 2**20} MiB a file",
        f"{limits.total_bytes // 2**30} GiB and {limits.members:,} files", f"at most {limits.ratio} times its size",
        f"list may have {delivery_manifest.MAX_BYTES // 2**20} MiB", f"at most {MOST_PRICE:,.0f}.",
        *(f"`{suffix}`" for suffix in (*landing.ARCHIVES, *landing.UNFINISHED)), *(f"`{marker}`" for marker in landing.MARKERS),
    )  # fmt: skip
    assert [words for words in told if words not in GUIDE] == []
    assert [name for name in FORMATS if name not in GUIDE] == []
    assert [name for name in delivery_manifest.FIELDS if f"| `{name}` |" not in GUIDE] == []
    assert (sources.settle_s, urls.file_seconds, urls.run_seconds, urls.list_seconds) == (60, 60, 15 * 60, 86_400)
    assert (LONGEST_PAUSE_S, TRIES) == (6 * 3600, 5)
    for words in ("(a minute, unless agreed", "(a minute unless agreed", "some 15 minutes", "After a day", "up to six hours", "five times"):
        assert words in GUIDE, words
