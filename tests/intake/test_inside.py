"""A vendor who swaps folders and files for links while we read: nothing outside the delivery is ever read, and nothing hangs."""

from __future__ import annotations

import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.intake import inside, landing, members, readiness
from dataops_assets.spec import IntakeLimits, ProjectSpec

pytestmark = pytest.mark.timeout(60)
CANARY = b"what lies outside must not be read"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside landing that has the same names inside as the delivery."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "deep/a.jpg", "manifest.json", "urls.csv"):
        (folder / name).write_bytes(CANARY)
    return folder


@pytest.fixture
def delivery(tmp_path: Path) -> landing.Delivery:
    path = tmp_path / "landing" / "dresses" / "atelier" / "drop"
    (path / "sub" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "sub/a.jpg", "sub/b.jpg", "sub/deep/a.jpg", "z.jpg"):
        (path / name).write_bytes(b"delivered")
    return landing.Delivery("dresses", "atelier", "drop", path, False)


def swap(path: Path, target: Path) -> None:
    """Put a link in the place of something, as fast as a system can."""
    link = path.with_name(f"{path.name}.link")
    link.symlink_to(target)
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.away"))
    os.replace(link, path)


def read(delivery: landing.Delivery) -> tuple[str, list[tuple[str, bytes]]]:
    """The refusal's code, and what was read."""
    found = []
    try:
        for member in members.members(delivery, IntakeLimits()):
            found.append((member.path, b"".join(member.chunks)))
    except members.Refused as error:
        return error.code, found
    return "", found


@pytest.fixture
def before_open(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Do something once, at the moment before a name is opened."""
    real, plans = os.open, dict[str, Callable[[], None]]()

    def opened(name: Any, *rest: Any, **more: Any) -> int:
        plans.pop(Path(os.fsdecode(name)).name, lambda: None)()
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    return plans.__setitem__


@pytest.mark.parametrize("what", ["drop", "sub", "deep", "z.jpg"])
@pytest.mark.parametrize("how", ["members", "look", "content", "readiness"])
def test_a_link_put_between_the_listing_and_the_opening_leads_nowhere(
    delivery: landing.Delivery, outside: Path, dresses: ProjectSpec, before_open: Any, monkeypatch: pytest.MonkeyPatch, what: str, how: str
) -> None:
    at = {"drop": delivery.path, "sub": delivery.path / "sub", "deep": delivery.path / "sub/deep", "z.jpg": delivery.path / "z.jpg"}[what]
    target = outside / "a.jpg" if what == "z.jpg" else outside
    lengths: list[int] = []
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda handle: lengths.append((found := real(handle)).st_size) or found)
    before_open(what, lambda: swap(at, target))
    if how == "members":
        code, found = read(delivery)
        assert code == ("LINK_MEMBER" if what == "z.jpg" else "INCOMPLETE")
        assert {data for _, data in found} <= {b"delivered"}
    elif how == "look" and what == "z.jpg":
        assert landing.look(delivery).bytes == 5 * len(b"delivered")  # it opens no file
    else:
        if how == "readiness":
            (delivery.path / "manifest.json").write_bytes(b'{"files": [{"path": "z.jpg", "sha256": "%b", "bytes": 9}]}' % (b"0" * 64))
        with pytest.raises(OSError, match=r"Not a directory|symbolic links|No such file"):
            {
                "look": landing.look, "content": landing.content_sha256,
                "readiness": lambda given: readiness.of(given, dresses, None, 0.0),
            }[how](delivery)  # fmt: skip
    assert len(CANARY) not in lengths  # no file outside was opened


@pytest.mark.parametrize("inside_", ["manifest.json", "urls.csv"])
def test_lists_are_read_no_other_way(delivery: landing.Delivery, outside: Path, before_open: Any, inside_: str) -> None:
    (delivery.path / inside_).write_bytes(b"delivered")
    assert b"".join(inside.pieces(delivery.path, None, inside_)) == b"delivered"
    before_open("drop", lambda: swap(delivery.path, outside))
    with pytest.raises(OSError, match="Not a directory"):
        inside.open_file(delivery.path, inside_)
    with pytest.raises(OSError, match="leads out"):
        inside.open_file(delivery.path.parent / "drop.away", "../a.jpg")


def test_a_vendor_s_folder_that_becomes_a_link_is_not_listed(
    tmp_path: Path, delivery: landing.Delivery, outside: Path, before_open: Any
) -> None:
    before_open("atelier", lambda: swap(delivery.path.parent, outside))
    landed = landing.scan(tmp_path / "landing", "dresses")
    assert landed.deliveries == []
    assert landed.faults == {"atelier": "can't be read: Not a directory"}


def test_an_archive_that_becomes_a_link_is_not_read(tmp_path: Path, outside: Path, before_open: Any) -> None:
    path = tmp_path / "landing" / "dresses" / "atelier" / "drop.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK")
    before_open("drop.zip", lambda: swap(path, outside / "a.jpg"))
    assert read(landing.Delivery("dresses", "atelier", "drop.zip", path, True)) == ("LINK_MEMBER", [])


def test_a_folder_of_which_we_come_back_up_must_still_lie_there(
    delivery: landing.Delivery, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "OPEN_FOLDERS", 1)
    entries = iter(inside.walk(delivery.path, 100))
    for entry in entries:
        if entry.path == "sub/deep/a.jpg":
            (delivery.path / "sub/deep").rename(outside / "moved")  # its `..` is another folder now
            break
    with pytest.raises(OSError, match="was moved"):
        list(entries)


def test_a_racing_vendor_never_gets_us_to_read_outside(delivery: landing.Delivery, outside: Path) -> None:
    sub, over = delivery.path / "sub", threading.Event()

    def race() -> None:
        away, link = delivery.path.with_name("away"), delivery.path.with_name("link")
        while not over.is_set():
            sub.rename(away)
            link.symlink_to(outside)
            os.rename(link, sub)
            sub.unlink()
            away.rename(sub)

    vendor = threading.Thread(target=race)
    vendor.start()
    codes: list[str] = []
    until = time.monotonic() + 30  # a busy machine lets only one of the two run at a time
    try:
        while len(codes) < 400 or (len(set(codes)) < 2 and time.monotonic() < until):
            code, found = read(delivery)
            codes.append(code)
            assert {data for _, data in found} <= {b"delivered"}
    finally:
        over.set()
        vendor.join()
    assert set(codes) <= {"", "INCOMPLETE", "LINK_MEMBER"}
    assert len(set(codes)) > 1  # it was a race


def test_deep_folders_need_few_descriptors(tmp_path: Path) -> None:
    root = tmp_path / "drop"
    deepest = root / "/".join("d" * 200)
    deepest.mkdir(parents=True)
    (deepest / "a.jpg").touch()
    (root / "z.jpg").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + inside.OPEN_FOLDERS + 8, hard))
    try:
        assert [Path(entry.path).name for entry in inside.walk(root, 1000)] == ["a.jpg", "z.jpg"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == held


def test_nothing_stays_open_when_nobody_reads_on(delivery: landing.Delivery) -> None:
    held = len(os.listdir("/proc/self/fd"))
    entries = inside.walk(delivery.path, 100)
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    with pytest.raises(inside.TooMany):
        list(inside.walk(delivery.path, 6))
    assert len(os.listdir("/proc/self/fd")) == held


def test_too_many_in_one_folder_are_not_looked_at_one_by_one(delivery: landing.Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "MOST_ENTRIES", 50)
    for number in range(51):
        (delivery.path / f"{number}.jpg").touch()
    asked: list[object] = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *given, **more: asked.append(given) or real(*given, **more))
    with pytest.raises(landing.TooMany, match="more than 50 files and folders"):
        landing.look(delivery)
    assert asked == []


def names(root: Path) -> Iterator[str]:
    return (entry.path for entry in inside.walk(root, 1000))


def test_a_walk_is_in_order_of_path_and_follows_no_link(delivery: landing.Delivery, outside: Path) -> None:
    (delivery.path / "link").symlink_to(outside)
    assert list(names(delivery.path)) == ["a.jpg", "link", "sub/a.jpg", "sub/b.jpg", "sub/deep/a.jpg", "z.jpg"]
    shutil.rmtree(delivery.path / "sub")
    assert list(names(delivery.path)) == ["a.jpg", "link", "z.jpg"]
