"""A folder's files as members: their order, their stamps, and what is refused."""

from __future__ import annotations

import errno
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from dataops_assets.intake import landing, members
from dataops_assets.intake.journal import Journal
from dataops_assets.spec import IntakeLimits
from tests.intake.made import Part, Take, tarred, zipped
from tests.intake.made import take as take_unwatched

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    for name in ("b.jpg", "a/z.jpg", "a/y.jpg", "c.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def stream(root: Path, **limits: int) -> members.Iterator[members.Member]:
    return members.members(landing.Delivery("dresses", "atelier", root.name, root, root.is_file()), IntakeLimits(**limits))


def test_files_come_in_order_of_path_with_a_stamp(take: Take, folder: Path) -> None:
    taken = take(folder)
    assert (taken.code, taken.files) == ("", [(name, name.encode()) for name in ("a/y.jpg", "a/z.jpg", "b.jpg", "c.jpg")])
    os.utime(folder / "b.jpg", ns=(5, 7))
    assert [member.stamp for member in stream(folder)][2] == "5:7"


def test_members_of_archives_have_no_stamp(tmp_path: Path) -> None:
    path = tmp_path / "drop.zip"
    path.write_bytes(zipped(Part()))
    assert [member.stamp for member in stream(path)] == [""]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_member_that_is_skipped_counts_and_is_not_read(folder: Path, tmp_path: Path, kind: str) -> None:
    names = [b"a/y.jpg", b"a/z.jpg", b"b.jpg", b"c.jpg"]
    path = folder if kind == "folder" else tmp_path / "drop"
    if kind != "folder":
        path.write_bytes(
            zipped(*[Part(name, name) for name in names]) if kind == "zip" else b"".join(map(tarred, names, names)) + bytes(1024)
        )
    found = []
    for number, member in enumerate(stream(path)):
        if number < 2:
            member.skip(7)
        else:
            found.append((member.path, b"".join(member.chunks)))
    assert found == [("b.jpg", b"b.jpg"), ("c.jpg", b"c.jpg")]
    if kind == "folder":
        with pytest.raises(members.Refused, match="BOMB") as refused:
            for member in stream(path, total_bytes=10):
                member.skip(7)
        assert refused.value.paths == ("b.jpg", "c.jpg")


def test_links_and_pipes_are_refused_with_all_that_follows(take: Take, folder: Path) -> None:
    (folder / "b2").symlink_to("/etc/passwd")
    link = take(folder)
    assert (link.code, link.names, link.paths) == ("LINK_MEMBER", ["a/y.jpg", "a/z.jpg", "b.jpg"], ("b2", "c.jpg"))
    (folder / "b2").unlink()
    (folder / "b2").symlink_to(folder / "a", target_is_directory=True)
    assert take(folder).code == "LINK_MEMBER"
    (folder / "b2").unlink()
    os.mkfifo(folder / "a/x")
    assert (take(folder).code, take(folder).paths) == ("SPECIAL_MEMBER", ("a/x", "a/y.jpg", "a/z.jpg", "b.jpg", "c.jpg"))


def test_limits(take: Take, folder: Path) -> None:
    many = take(folder, members=2)
    assert (many.code, many.names, many.paths) == ("TOO_MANY_MEMBERS", ["a/y.jpg", "a/z.jpg"], ("b.jpg", "c.jpg"))
    assert take(folder, members=1).paths == ("a/z.jpg", "b.jpg", "c.jpg")  # each of them lies there
    total = take(folder, total_bytes=13)
    assert (total.code, total.names, total.paths) == ("BOMB", ["a/y.jpg", "a/z.jpg"], ("b.jpg", "c.jpg"))
    assert take(folder, member_bytes=5).files == [
        ("a/y.jpg", "TOO_LARGE"), ("a/z.jpg", "TOO_LARGE"), ("b.jpg", b"b.jpg"), ("c.jpg", b"c.jpg"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["a folder", "a zip", "a tar"])
def test_folders_count_as_the_setting_says(take: Take, tmp_path: Path, kind: str) -> None:
    place = tmp_path / {"a folder": "drop", "a zip": "drop.zip", "a tar": "drop.tar"}[kind]
    names = [f"sub{number}/" for number in range(4)]
    if kind == "a folder":
        for name in names:
            (place / name).mkdir(parents=True)
        (place / "a.jpg").write_bytes(b"a")
    elif kind == "a zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name in (*names, "a.jpg"):
                archive.writestr(name, b"")
    else:
        with tarfile.open(place, "w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            archive.addfile(tarfile.TarInfo("a.jpg"))
    assert take(place, members=5).names == ["a.jpg"]
    counts = take(place, members=4).code == "TOO_MANY_MEMBERS"
    said = IntakeLimits.model_fields["members"].description
    assert said == "Files of a delivery; of an archive, its folders count too."
    assert counts == (kind != "a folder")


@pytest.mark.parametrize(
    ("change", "code"),
    [("link", "LINK_MEMBER"), ("pipe", "SPECIAL_MEMBER"), ("gone", "INCOMPLETE"), ("grown", "INCOMPLETE"), ("swapped", "INCOMPLETE")],
)
def test_a_file_that_changes_while_the_delivery_is_read(folder: Path, change: str, code: str) -> None:
    source = stream(folder)
    member = next(source)
    path = folder / "a/y.jpg"
    if change == "grown":
        path.write_bytes(b"more than before")
    elif change == "swapped":
        listed = path.stat()
        (folder / "other").write_bytes(path.read_bytes())
        os.utime(folder / "other", ns=(listed.st_atime_ns, listed.st_mtime_ns))
        (folder / "other").rename(path)
    else:
        path.unlink()
    if change == "link":
        path.symlink_to("/etc/passwd")
    elif change == "pipe":
        os.mkfifo(path)
    with pytest.raises(members.Refused) as refused:
        b"".join(member.chunks)
    assert (refused.value.code, refused.value.paths) == (code, ("a/z.jpg", "b.jpg", "c.jpg"))


def test_a_file_that_somebody_goes_on_writing_to_is_not_followed_to_its_end(folder: Path) -> None:
    path = folder / "a/y.jpg"
    path.write_bytes(bytes(3 << 20))
    source = stream(folder)
    read = 0
    with pytest.raises(members.Refused, match="INCOMPLETE"), open(path, "ab") as file:
        for chunk in next(source).chunks:
            read += len(chunk)
            file.write(bytes(2 << 20))
            file.flush()
            assert read <= (3 << 20) + 1


def test_an_archive_that_is_a_link_or_a_pipe_is_not_opened(take: Take, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(zipped(Part()))
    (tmp_path / "drop").symlink_to("real")
    assert take(tmp_path / "drop").code == "LINK_MEMBER"
    os.mkfifo(tmp_path / "pipe")
    assert take(tmp_path / "pipe").code == "SPECIAL_MEMBER"


def test_a_missing_archive_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error:
        next(members.members(landing.Delivery("p", "v", "x", tmp_path / "none.zip", True), IntakeLimits()))
    assert error.value.errno == errno.ENOENT


def test_folders_a_thousand_deep(tmp_path: Path) -> None:
    root = os.fspath(tmp_path / "deep")
    below = [root + "/d" * depth for depth in range(1100)]
    for path in below:
        os.mkdir(path)
    file = f"{below[-1]}/a.jpg"
    with open(file, "xb"):
        pass
    try:
        assert take_unwatched(Path(root)).files == [(members.readable(os.path.relpath(file, root))[0], "NAME_TOO_LONG")]
    finally:
        os.unlink(file)
        for path in reversed(below):
            os.rmdir(path)


@pytest.mark.parametrize(
    ("name", "path", "warnings"),
    [
        ("a.jpg", "a.jpg", ()),
        ("é.jpg", "é.jpg", ()),
        ("a\nb.jpg", "a\\u000ab.jpg", ("NAME_CONTROL_CHARS",)),
        ("a\u202eb.jpg", "a\\u202eb.jpg", ("NAME_CONTROL_CHARS",)),
        ("\udcff.jpg", "\\xff.jpg", ("NAME_CONTROL_CHARS",)),
        ("<b>.jpg", "<b>.jpg", ("NAME_MARKUP",)),
        ("x/=1+1.jpg", "x/=1+1.jpg", ("NAME_FORMULA",)),
        ("n" * 256, "n" * 256, ("NAME_LONG",)),
    ],
)
def test_names_become_text(name: str, path: str, warnings: tuple[str, ...]) -> None:
    assert members.readable(name) == (path, warnings)


def test_a_name_of_many_invisible_characters_stays_short_and_itself() -> None:
    names = [f"{number}".rjust(400, "\x01") + ".jpg" for number in range(3)]
    told = [members.readable(name)[0] for name in names]
    assert len(set(told)) == 3
    assert all(len(text) < 1100 and text.endswith(".jpg") for text in told)
    assert members.readable("n" * 1024)[0] == "n" * 1024


def test_a_journal_goes_with_those_of_the_drop_s_other_states(tmp_path: Path) -> None:
    for name in ("p.d.old", "p.d.new", "p.d-r2.old", "q.d.old"):
        Journal(tmp_path / f"{name}.jsonl").write([])
    Journal(tmp_path / "p.d.new.jsonl").discard()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.d-r2.old.jsonl", "q.d.old.jsonl"]
