"""A delivery that is a list of addresses, `urls.csv`: what it says, and whether it may be asked for. `fetching.py` asks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from dataops_assets.intake import delivery_manifest, landing
from dataops_assets.intake.delivery_manifest import Listed, ManifestError
from dataops_assets.intake.members import Refused, readable
from dataops_assets.intake.web_policy import judge, shown
from dataops_assets.spec import IntakeLimits, UrlLists

NAME = delivery_manifest.ADDRESSES
RESERVED = (NAME, *delivery_manifest.NAMES, *landing.MARKERS)  # names that say something about a delivery
URL_CHARS = 8192
PATH_BYTES = 1024


@dataclass(frozen=True)
class Address:
    """One row of the list."""

    row: int
    url: str = field(repr=False)  # may carry a signature
    listed: Listed
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Name of the file in the drop."""
        return self.listed.path


@dataclass(frozen=True)
class UrlList:
    files: tuple[Address, ...]
    warnings: tuple[str, ...] = ()


def parse(data: bytes, limit: int = IntakeLimits().members) -> UrlList:
    """Read a list of addresses of at most `limit` rows.

    Columns: `url`; optional `path`, the file's name in the drop (default `<row, 6 digits>-<last part of the address>`), and the
    columns of a manifest. Nothing is judged here but the list itself: see `check`.

    Raises:
        ManifestError: MANIFEST_INVALID when it isn't CSV, MANIFEST_SCHEMA when its content doesn't fit, UNSAFE_PATH,
            TOO_MANY_MEMBERS.
    """
    files: dict[str, Address] = {}
    rows, warnings = delivery_manifest.read_table(delivery_manifest.text_of(data, limit), "url", limit)
    for number, row in enumerate(rows, start=1):
        url = row.pop("url", "")
        if not url or len(url) > URL_CHARS:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number} needs a url of at most {URL_CHARS} characters")
        row["path"] = row.get("path") or _default_path(number, url)
        path, odd = readable(row["path"])
        listed = replace(delivery_manifest.read_row(row, number), path=path)
        if path in RESERVED or len(path.encode()) > PATH_BYTES:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is reserved, or longer than {PATH_BYTES} bytes")
        if path in files:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is listed twice")
        files[path] = Address(number, url, listed, odd)
    return UrlList(tuple(files.values()), tuple(warnings))


def _default_path(number: int, url: str) -> str:
    last = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2].rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]+", "_", unquote(last))[-60:]
    return f"{number:06d}-{name or 'file'}"


def check(listed: UrlList, rules: UrlLists) -> None:
    """See that every address of a list may be asked, as far as the address alone tells.

    Raises:
        Refused: URL_BLOCKED, with the first that may not, and how many more.
    """
    if not rules.enabled:
        raise Refused(
            "URL_BLOCKED", "lists of addresses are off; to take them set `sources.urls.enabled: true` and name `sources.urls.hosts`"
        )
    faults = [(address, why) for address in listed.files if (why := _fault(address.url, rules))]
    if faults:
        address, why = faults[0]
        raise Refused(
            "URL_BLOCKED", f"row {address.row}, {shown(address.url)}: {why} ({len(faults)} of {len(listed.files)} addresses refused)"
        )


def _fault(url: str, rules: UrlLists) -> str:
    try:
        judge(url, rules)
    except ValueError as error:
        return str(error)
    return ""
