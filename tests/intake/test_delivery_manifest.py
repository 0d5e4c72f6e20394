"""A vendor's manifest: what is refused before it costs memory or stops a run."""

from __future__ import annotations

import tracemalloc

import pytest

from dataops_assets.intake import delivery_manifest
from dataops_assets.intake.delivery_manifest import Listed, ManifestError

MANY = 400_000


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        *(
            pytest.param("manifest.json", data, "MANIFEST_INVALID", id=f"half-a-character-{name}")
            for name, data in {
                "path": b'{"files": [{"path": "\\ud800.jpg"}]}', "word": b'{"files": [{"path": "a.jpg", "license": "CC\\uDfff"}]}',
                "head": b'{"vendor": "\\ude00\\ud83d", "files": [{"path": "a.jpg"}]}', "key": b'{"\\ud83d": 1, "files": []}',
                "list": b'{"files": [{"path": "a.jpg", "tags": ["\\ud83d"]}]}',
            }.items()
        ),
        pytest.param("manifest.json", b'{"files": [{"path": "a", "price": 1' + b"0" * 400 + b"}]}", "MANIFEST_SCHEMA", id="number"),
        pytest.param("manifest.csv", b"path\n" + b"a\n" * 11, "TOO_MANY_MEMBERS", id="csv-rows"),
        pytest.param("manifest.json", b'{"files": [' + b'{"path": "a"},' * 10 + b'{"path": "a"}]}', "TOO_MANY_MEMBERS", id="rows"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(name: str, data: bytes, code: str) -> None:
    with pytest.raises(ManifestError) as caught:
        delivery_manifest.parse(name, data, limit=10)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("manifest.csv", b"path\n" + b"a\n" * MANY, id="rows"),
        pytest.param("manifest.csv", b"path," + b"b," * MANY + b"\n", id="columns"),
        pytest.param("manifest.csv", ",".join(["path", *map(str, range(300))]).encode() + b"\n" + b"a\n" * MANY, id="filled-up"),
        pytest.param("manifest.json", b'{"files": [' + b"[]," * MANY + b"[]]}", id="lists"),
        pytest.param("manifest.json", b'{"files": [' + b"1.5," * MANY + b"1]}", id="numbers"),
    ],
)
def test_a_small_file_that_would_take_much_memory_is_refused_at_once(name: str, data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ManifestError):
            delivery_manifest.parse(name, data, limit=10)
        assert tracemalloc.get_traced_memory()[1] < 6 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()


def test_a_list_at_the_limit_is_read_whatever_its_names_hold() -> None:
    rows = b",".join(b'{"path": "a [%d], {x}, y.jpg", "bytes": 1}' % n for n in range(10))
    assert len(delivery_manifest.parse("manifest.json", b'{"files": [' + rows + b"]}", limit=10).files) == 10
    told = delivery_manifest.parse("manifest.csv", b"\npath,price\n\na.jpg,\nb.jpg,2\n", limit=2)
    assert told.files == (Listed("a.jpg"), Listed("b.jpg", price=2.0))


def test_a_character_of_two_halves_is_one() -> None:
    told = delivery_manifest.parse("manifest.json", b'{"files": [{"path": "\\ud83d\\udc57.jpg", "group": "\\ud83d\\udc57 \\u00e9"}]}')
    assert told.files == (Listed("\U0001f457.jpg", group="\U0001f457 \u00e9"),)


def test_half_a_character_is_said_where_it_is() -> None:
    with pytest.raises(ManifestError, match=r"half of a character, '\\ud800', after '.*\"consent\": \"model-'"):
        delivery_manifest.parse("manifest.json", b'{"files": [{"path": "a.jpg", "consent": "model-\\ud800"}]}')


def test_a_name_from_here_on_is_the_same_name() -> None:
    assert delivery_manifest.parse("manifest.csv", b"path\n./a/b.jpg\n").files == (Listed("a/b.jpg"),)
    for text, code in (
        (b"path\n./a.jpg\na.jpg\n", "MANIFEST_SCHEMA"),
        (b"path\n./../a.jpg\n", "UNSAFE_PATH"),
        (b"path\n././a\n", "UNSAFE_PATH"),
    ):
        with pytest.raises(ManifestError) as caught:
            delivery_manifest.parse("manifest.csv", text)
        assert caught.value.code == code
