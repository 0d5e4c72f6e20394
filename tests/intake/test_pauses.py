"""Hosts are asked politely: no faster than agreed, with the pauses they ask for, and not at all after a while of silence."""

from __future__ import annotations

import datetime
import email.utils

import pytest

from dataops_assets.intake import fetching
from dataops_assets.intake.fetching import Unreachable
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

    def test_a_long_one_is_left_to_another_run_and_nobody_else_waits(self, web: Web, clock: Clock) -> None:
        def answer(asked: Handler) -> None:
            if asked.headers["Host"].startswith(HOST):
                asked.reply(503, Retry_After="86400")
            else:
                asked.reply(body=b"x")

        web.server.answer = answer
        told = self.read(web, clock, web.url("/1"), web.url("/2"), web.url("/1", "cdn.example.org"))
        assert "answered 503" in told[0]
        assert "wants to be left alone for 86400 s more" in told[1]
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
