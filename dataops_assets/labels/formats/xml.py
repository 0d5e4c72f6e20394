"""XML from strangers, a piece at a time: no document type, no entities, UTF-8, bounded in size, depth and elements a piece."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from dataops_assets.labels.tables import MAX_DEPTH, Refused

MAX_BYTES = 128 * 2**20
MAX_ELEMENTS = 100_000  # below one child of the root: a picture with so many shapes is none
_ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)", re.IGNORECASE)


def root_of(data: bytes) -> str:
    """The name of the outermost element; "" when there is none within the first 64 KiB."""
    found = re.search(rb"<([A-Za-z_][\w.-]*)[\s/>]", re.sub(rb"<!--.*?-->", b"", data[: 1 << 16], flags=re.DOTALL))
    return found[1].decode("ascii", "replace") if found else ""


def children(data: bytes) -> Iterator[Element]:
    """The children of the root, each whole and gone again once the next is asked for.

    Raises:
        Refused: XML_FORBIDDEN (document type, entities), TOO_DEEP, TOO_LARGE, ENCODING (not UTF-8), SCHEMA (not XML).
    """
    if len(data) > MAX_BYTES:
        raise Refused("TOO_LARGE", f"{len(data)} bytes of XML; at most {MAX_BYTES} are read")
    data = data.removeprefix(b"\xef\xbb\xbf")
    stated = _ENCODING.match(data)
    if stated and stated[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        raise Refused("ENCODING", "XML in another encoding than UTF-8")
    try:
        data.decode("utf-8")
        yield from _children(data)
    except UnicodeDecodeError as error:
        raise Refused("ENCODING", f"not UTF-8 at byte {error.start}") from error
    except DefusedXmlException as error:
        raise Refused("XML_FORBIDDEN", "a document type or entity declaration") from error
    except (ParseError, ValueError, LookupError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused("SCHEMA", f"not XML: {str(error)[:120]}") from error


def _children(data: bytes) -> Iterator[Element]:
    depth = elements = 0
    root: Element | None = None
    for event, element in iterparse(io.BytesIO(data), events=("start", "end"), forbid_dtd=True):
        if event == "start":
            root = element if root is None else root
            depth, elements = depth + 1, elements + 1
            if depth > MAX_DEPTH:
                raise Refused("TOO_DEEP", f"nested deeper than {MAX_DEPTH}")
            if elements > MAX_ELEMENTS:
                raise Refused("TOO_LARGE", f"more than {MAX_ELEMENTS} elements in one")
            continue
        depth -= 1
        if depth == 1 and root is not None:
            yield element
            root.clear()
            elements = 0


def document(root: Element) -> bytes:
    """A tree as a file."""
    indent(root)
    found: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return found + b"\n"
