"""Lists of addresses: read strictly, and judged before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.blobs import Blobs
from dataops_assets.intake import fetching, landing, readiness, urls
from dataops_assets.intake.delivery_manifest import ManifestError
from dataops_assets.intake.journal import Journal
from dataops_assets.intake.members import Member, Refused
from dataops_assets.spec import ProjectSpec, UrlLists
from dataops_assets.stages import raw_images
from tests.conftest import changed
from tests.intake.web import HOST


def test_a_list_says_where_files_are_and_what_they_are_called() -> None:
    listed = urls.parse(
        b"\xef\xbb\xbfurl,path,sha256,bytes,category,license,consent,captured_at,price,group\r\n"
        b"https://a.example/1.jpg,shirts/1.jpg," + b"AB" * 32 + b",12,shirt,CC0,c-1,2026-01-02,0.5,g1\r\n"
        b'"https://a.example/x/dress,%20red.jpg?sig=1/2.png",,,,,,,,,\r\n'
        b"https://a.example/,,,,,,,,,\r\n"
    )
    first, second, third = listed.files
    assert (first.path, first.listed.sha256, first.listed.bytes, first.listed.price) == ("shirts/1.jpg", "ab" * 32, 12, 0.5)
    assert (first.listed.category, first.listed.license, first.listed.consent, first.listed.group) == ("shirt", "CC0", "c-1", "g1")
    assert (second.path, third.path) == ("000002-dress_red.jpg", "000003-file")
    assert second.url.endswith("?sig=1/2.png") and "sig" not in repr(second)
    assert listed.warnings == ()


@pytest.mark.parametrize(
    ("last", "path"),
    [
        ("../../etc/passwd", "000001-passwd"),
        ("a%2F..%2Fb.jpg", "000001-a_.._b.jpg"),
        ("%00%0a%E2%80%AEgpj.jpg", "000001-_gpj.jpg"),
        ("été.jpg", "000001-été.jpg"),
        ("a" * 500 + ".jpg", "000001-" + "a" * 56 + ".jpg"),
        ("..", "000001-.."),
    ],
)
def test_a_name_made_from_an_address_is_safe(last: str, path: str) -> None:
    assert urls.parse(f"url\nhttps://a.example/{last}\n".encode()).files[0].path == path


def test_a_name_with_control_characters_is_taken_as_readable_text() -> None:
    (address,) = urls.parse("url,path\nhttps://a.example/x,a\u202eb.jpg\n".encode()).files
    assert (address.path, address.warnings) == ("a\\u202eb.jpg", ("NAME_CONTROL_CHARS",))


def test_unknown_columns_are_a_warning() -> None:
    assert urls.parse(b"url,colour\nhttps://a.example/1,red\n").warnings == ("MANIFEST_UNKNOWN_FIELD",)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"url\nhttps://a.example/\xff\n", "MANIFEST_INVALID"),
        (b'url\n"https://a.example/"x\n', "MANIFEST_INVALID"),
        (b"", "MANIFEST_SCHEMA"),
        (b"path\na.jpg\n", "MANIFEST_SCHEMA"),
        (b"url,url\na,b\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/\n", "MANIFEST_SCHEMA"),
        (b"url\nhttps://a.example/,b\n", "MANIFEST_SCHEMA"),
        (b"url,path\n,a.jpg\n", "MANIFEST_SCHEMA"),
        (b"url\nhttps://a.example/" + b"a" * 9000 + b"\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1,a.jpg\nhttps://a.example/2,a.jpg\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1,000002-b.jpg\nhttps://a.example/b.jpg,\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1,manifest.json\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1,urls.csv\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1," + b"a" * 1025 + b"\n", "MANIFEST_SCHEMA"),
        (b"url,sha256\nhttps://a.example/1,abc\n", "MANIFEST_SCHEMA"),
        (b"url,bytes\nhttps://a.example/1,-1\n", "MANIFEST_SCHEMA"),
        (b"url,path\nhttps://a.example/1,../a.jpg\n", "UNSAFE_PATH"),
        (b"url,path\nhttps://a.example/1,/etc/a.jpg\n", "UNSAFE_PATH"),
        (b"url\n" + b"https://a.example/1\n" * 4, "TOO_MANY_MEMBERS"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_with_its_code(data: bytes, code: str) -> None:
    with pytest.raises(ManifestError) as caught:
        urls.parse(data, limit=3)
    assert caught.value.code == code


# judged before anything is asked


def test_lists_are_off_until_the_spec_says_so() -> None:
    with pytest.raises(Refused, match=r"URL_BLOCKED.*sources.urls.enabled: true"):
        urls.check(urls.parse(b"url\n"), UrlLists())


def test_the_whole_list_is_judged_and_the_first_fault_is_told() -> None:
    listed = urls.parse(f"url\nhttps://{HOST}/1\nhttp://{HOST}/2?key=secret\nhttps://me:secret@{HOST}/3\nhttps://evil.test/4\n".encode())
    with pytest.raises(Refused) as caught:
        urls.check(listed, UrlLists(enabled=True, hosts=(HOST,)))
    assert str(caught.value) == f"URL_BLOCKED: row 2, http://{HOST}/2: only https is taken (3 of 4 addresses refused)"
    urls.check(listed.__class__(listed.files[:1]), UrlLists(enabled=True, hosts=(HOST,)))


def test_a_list_of_addresses_is_the_manifest_that_is_required(
    tmp_path: Path, garments: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(listed: urls.UrlList, *_: Any, **__: Any) -> Iterator[Member]:
        for address in listed.files:
            yield Member(address.path, (), iter([b"fetched"]), lambda size: None)

    monkeypatch.setattr(fetching, "fetch", fetch)
    rules = {"enabled": True, "hosts": [HOST]}
    spec = changed(garments, sources={"vendors": [{"name": "acme", "manifest": "required", "license": "CC0-1.0"}], "urls": rules})
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "urls.csv").write_text(f"url,path\nhttps://{HOST}/1,1.png\n")
    (tmp_path / "drop" / "own.png").write_bytes(b"listed nowhere")
    delivery = landing.Delivery("garments", "acme", "drop", tmp_path / "drop", False)
    assert readiness.of(delivery, spec, None, 0).reason == "INCOMPLETE"
    with monkeypatch.context() as here:
        here.setattr(raw_images, "_describe", lambda *_: None)
        receipt = raw_images.receive(delivery, "d", spec, Blobs(str(tmp_path / "store")), Journal(tmp_path / "store" / "journal"))
    told = dict(zip(receipt.frame["path"], zip(receipt.frame["status"], receipt.frame["reason"], strict=True), strict=True))
    assert (receipt.status, told["own.png"]) == ("partial", ("quarantined", "MANIFEST_FILE_UNLISTED"))
    assert told["1.png"][0] == "accepted"
