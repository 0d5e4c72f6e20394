"""Hosts are asked politely: no faster than agreed, with the pauses they ask for, and not at all after a while of silence."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.intake import fetching
from dataops_assets.intake.fetching import Missing, Unreachable
from dataops_assets.intake.members import Member, Refused
from dataops_assets.intake.turns import Turns
from dataops_assets.spec import IntakeLimits
from tests.intake.web import HOST, Handler, Web


def test_a_host_is_asked_no_faster_than_agreed_and_others_do_not_wait(web: Web) -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    web.rules = {"files_per_second": 4, "file_seconds": 0.1}  # waiting for one's turn doesn't count as slow
    web.server.answer = lambda asked: asked.reply(302, Location="/b") if asked.path == "/a" else asked.reply(body=b"x")
    found = web.members(
        web.url("/1"), web.url("/2"), web.url("/1", "cdn.example.org"), web.url("/skipped"), web.url("/a"),
        clock=lambda: now[0], sleep=sleep,
    )  # fmt: skip
    for member in found:
        if "skipped" not in member.path:
            assert b"".join(member.chunks) == b"x"
    assert slept == [0.25, 0.25, 0.25]  # /2, /a, and /b that /a leads to
    assert len(web.server.asked) == 5


class Clock:
    """Time that passes only when somebody sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class TestPauses:
    """A host that says when it wants to be asked again, and one that says nothing at all."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def read(self, web: Web, clock: Clock, *addresses: str) -> list[str]:
        """What came of each address: its bytes as text, or why there are none."""
        told = []
        for member in web.members(*addresses, clock=clock, sleep=clock.sleep):
            try:
                told.append(b"".join(member.chunks).decode())
            except Unreachable as why:
                told.append(str(why))
        return told

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_short_one_is_kept_and_the_file_asked_for_again(self, web: Web, clock: Clock, status: int) -> None:
        def answer(asked: Handler) -> None:
            if len(web.server.asked) == 2:
                asked.reply(status, Retry_After="7")
            else:
                asked.reply(body=asked.path.encode())

        web.server.answer = answer
        assert self.read(web, clock, web.url("/1"), web.url("/2"), web.url("/3")) == ["/1", "/2", "/3"]
        assert [round(seconds) for seconds in clock.slept if seconds > 0.1] == [7]
        assert [path for _, path, _ in web.server.asked] == ["/1", "/2", "/2", "/3"]

    def test_no_file_is_asked_for_without_end(self, web: Web, clock: Clock) -> None:
        web.server.answer = lambda asked: asked.reply(429, Retry_After="60")
        told = self.read(web, clock, *[web.url(f"/{number}") for number in range(4)])
        assert ["asked for a pause of 60 s" in one for one in told] == [True, True, False, False]
        assert "not asked, its host has given nothing for 300 s" in told[-1]
        assert len(web.server.asked) == 2 * fetching.TIMES

    @pytest.mark.parametrize("seconds", ["3600", "999999999"])  # nobody leaves a host alone for a generation on its word
    def test_a_long_one_is_left_to_another_run_and_nobody_else_waits(self, web: Web, clock: Clock, seconds: str) -> None:
        def answer(asked: Handler) -> None:
            if asked.headers["Host"].startswith(HOST):
                asked.reply(503, Retry_After=seconds)
            else:
                asked.reply(body=b"x")

        web.server.answer = answer
        told = self.read(web, clock, web.url("/1"), web.url("/2"), web.url("/1", "cdn.example.org"))
        assert "answered 503" in told[0]
        assert f"wants to be left alone for {min(int(seconds), 21600)} s more" in told[1]
        assert told[2] == "x"
        assert len(web.server.asked) == 2

    def test_a_host_that_hangs_is_left_alone_after_a_while(self, web: Web, clock: Clock) -> None:
        web.rules = {"file_seconds": 100}

        def answer(asked: Handler) -> None:
            clock.now += 59
            asked.reply(500 if asked.path != "/well" else 200, body=b"x")

        web.server.answer = answer
        told = self.read(web, clock, web.url("/0"), web.url("/well"), *[web.url(f"/{number}") for number in range(9)])
        assert told[1] == "x"
        assert sum("answered 500" in one for one in told) == 1 + 6  # the count began anew when it gave something
        assert sum("not asked" in one for one in told) == 3

    @pytest.mark.parametrize(
        ("text", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("", None), ("soon", None), ("-1", None), ("9" * 30, None),
                              ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
    )  # fmt: skip
    def test_it_is_seconds_or_a_date(self, text: str, seconds: float | None) -> None:
        assert fetching._seconds(text) == seconds

    def test_a_date_to_come_is_waited_for(self) -> None:
        then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
        told = fetching._seconds(email.utils.format_datetime(then, usegmt=True))
        assert told is not None
        assert 80 < told <= 90


class TestTimeOfARun:
    """A run asks for so long and no longer: it holds a place that others wait for."""

    def read(self, web: Web, clock: Clock, course: fetching.Course, *addresses: str, **tools: Any) -> list[str]:
        told = []
        for member in web.members(*addresses, clock=clock, sleep=clock.sleep, course=course, **tools):
            try:
                told.append(b"".join(member.chunks).decode())
            except (Unreachable, Missing) as why:
                told.append(str(why))
        return told

    def test_what_its_time_does_not_reach_is_not_asked(self, web: Web) -> None:
        clock, course = Clock(), fetching.Course()
        web.rules = {"run_seconds": 100, "file_seconds": 60}

        def answer(asked: Handler) -> None:
            clock.now += 45
            asked.reply(body=b"x")

        web.server.answer = answer
        told = self.read(web, clock, course, *[web.url(f"/{number}") for number in range(5)])
        assert told[:2] == ["x", "x"]
        assert ["this run's time was up (`sources.urls.run_seconds`)" in one for one in told[2:]] == [True] * 3
        assert (course.settled, course.is_cut_short, len(web.server.asked)) == (2, True, 3)
        assert 100 <= course.seconds < 150

    def test_it_does_not_wait_for_a_turn_that_comes_after_its_time(self, web: Web, tmp_path: Path) -> None:
        clock, course = Clock(), fetching.Course()
        web.rules = {"run_seconds": 30}
        turns = Turns(tmp_path, clock)
        Turns(tmp_path, clock).leave_alone(f"{HOST}:{web.port}", 60)  # another run was asked to
        (told,) = self.read(web, clock, course, web.url("/1"), turns=turns)
        assert "its turn" in told and not clock.slept and not web.server.asked and course.is_cut_short

    def test_every_run_waits_for_its_turn_among_all(self, web: Web, tmp_path: Path) -> None:
        clock = Clock()
        web.rules = {"files_per_second": 0.1}
        web.server.answer = lambda asked: asked.reply(body=b"x")
        for start in (0.0, 10.0):  # nothing passed between them: the second run waits for the first one's gap
            (told,) = self.read(web, clock, fetching.Course(), web.url("/1"), turns=Turns(tmp_path, clock))
            assert (told, sum(clock.slept)) == ("x", start)

    def test_names_below_one_wildcard_are_one_host(self, web: Web) -> None:
        clock = Clock()
        web.rules = {"files_per_second": 0.1, "hosts": (f"*.example.org:{web.port}",)}
        web.server.answer = lambda asked: asked.reply(body=b"x")
        assert self.read(web, clock, fetching.Course(), web.url("/1"), web.url("/2", "cdn.example.org")) == ["x", "x"]
        assert clock.slept == [10.0]

    def test_what_an_earlier_run_found_to_be_nowhere_is_not_asked_again(self, web: Web) -> None:
        clock, course = Clock(), fetching.Course()
        web.server.answer = lambda asked: asked.reply(404)
        self.read(web, clock, course, web.url("/1"))
        assert (course.settled, course.without) == (1, {"000001-1": fetching.MISSING})
        (told,) = self.read(web, clock, fetching.Course(dict(course.without)), web.url("/1"))
        assert "found nothing there" in told and len(web.server.asked) == 1


def member(path: str, *chunks: bytes | Exception) -> Member:
    def pieces() -> Iterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    return Member(path, (), pieces(), lambda size: None)


class TestOneLimitForAll:
    def read(self, found: Iterator[Member]) -> list[str]:
        told = []
        for one in found:
            try:
                told.append(b"".join(one.chunks).decode())
            except Unreachable:
                told.append("-")
        return told

    def test_own_files_and_fetched_ones_count_together(self) -> None:
        limits = IntakeLimits(total_bytes=10)
        given = [member("own", b"12345"), member("fetched", b"12345"), member("more", b"1")]
        assert self.read(fetching.bounded(given[:2], limits)) == ["12345", "12345"]
        given = [member("own", b"12345"), member("fetched", b"12345"), member("more", b"1")]
        with pytest.raises(Refused, match="BOMB: its files and addresses give more than 10 bytes"):
            self.read(fetching.bounded(given, limits))

    def test_what_is_known_from_before_counts_and_what_broke_off_does_not(self) -> None:
        limits = IntakeLimits(total_bytes=10)
        broken = [member("a", b"12345", Unreachable("broke off")), member("b", b"1234567890")]
        assert self.read(fetching.bounded(broken, limits)) == ["-", "1234567890"]
        known, *_ = fetching.bounded([member("a"), member("b")], limits)
        with pytest.raises(Refused, match="BOMB"):
            known.skip(11)

    def test_more_members_than_a_delivery_may_have(self) -> None:
        with pytest.raises(Refused, match="TOO_MANY_MEMBERS: its files and addresses are more than 2"):
            self.read(fetching.bounded([member("a"), member("b"), member("c")], IntakeLimits(members=2)))
