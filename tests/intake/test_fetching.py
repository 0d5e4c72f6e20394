"""Files of a list of addresses, from a real TLS server that behaves badly."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time

import pytest

from dataops_assets.intake import fetching, web_policy
from dataops_assets.intake.fetching import Missing, Unreachable
from dataops_assets.intake.members import Refused, TooLarge
from tests.intake.web import HOST, PICTURE, Handler, Web


def test_nothing_is_fetched_while_lists_are_off(web: Web) -> None:
    web.rules = {"enabled": False}
    with pytest.raises(Refused, match="URL_BLOCKED"):
        web.get()
    assert not web.resolved and not web.server.asked


# fetching


def test_a_file_comes_as_it_is(web: Web) -> None:
    (member,) = web.members(web.url("/é/dress.jpg?sig=%2F&b"))
    chunks = list(member.chunks)
    assert (member.path, b"".join(chunks)) == ("000001-dress.jpg", PICTURE)
    assert max(map(len, chunks)) <= 1 << 20
    ((host, path, headers),) = web.server.asked
    assert (host, path) == (HOST, "/%C3%A9/dress.jpg?sig=%2F&b")
    assert headers == {
        "Host": f"{HOST}:{web.port}",
        "User-Agent": "dataops-assets",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def test_a_member_that_is_skipped_is_not_asked_for(web: Web) -> None:
    first, second, third = web.members(web.url("/1"), web.url("/2"), web.url("/3"))
    assert not web.resolved and not web.server.asked
    assert b"".join(second.chunks) == PICTURE
    assert [path for _, path, _ in web.server.asked] == ["/2"]
    assert [first.path, third.path] == ["000001-1", "000003-3"]


def test_a_file_that_is_dropped_half_way_leaves_nothing_open(web: Web) -> None:
    (member,) = web.members(web.url())
    chunks = iter(member.chunks)
    next(chunks)
    chunks.close()


def test_a_body_in_pieces_and_one_that_ends_with_the_connection_come_whole(web: Web) -> None:
    def in_pieces(asked: Handler) -> None:
        asked.reply(length=None, Transfer_Encoding="chunked")
        asked.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def to_the_end(asked: Handler) -> None:
        asked.reply(body=b"abcde", length=None)
        asked.connection.unwrap()

    for web.server.answer in (in_pieces, to_the_end):
        assert web.get() == b"abcde"


def test_an_empty_file_is_an_empty_file(web: Web) -> None:
    web.server.answer = lambda asked: asked.reply()
    assert web.get() == b""


def test_a_redirect_to_a_listed_host_is_followed(web: Web) -> None:
    leads = {"/a.jpg": web.url("/b c.jpg", "cdn.example.org"), "/b%20c.jpg": "d.jpg?x=1"}
    web.server.answer = lambda asked: asked.reply(302, Location=leads[asked.path]) if asked.path in leads else asked.reply(body=b"here")
    assert web.get() == b"here"
    assert [(host, path) for host, path, _ in web.server.asked][1:] == [
        ("cdn.example.org", "/b%20c.jpg"),
        ("cdn.example.org", "/d.jpg?x=1"),
    ]
    assert web.resolved == [HOST, "cdn.example.org", "cdn.example.org"]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://photos.example.org/b?key=secret", "only https"),
        ("https://evil.test/b", "evil.test is not in"),
        ("//evil.test/b", "is not in"),
        ("https://photos.example.org/b", "photos.example.org is not in"),  # another port than the listed one
        ("https://127.0.0.1/b", "127.0.0.1 is not in"),
        ("https://me:secret@photos.example.org/b", "user name or password"),
        ("file:///etc/passwd", "only https"),
        ("https://[oops/b", "web address|can't be read"),
    ],
)
def test_a_redirect_against_the_rules_refuses_the_delivery(web: Web, location: str, why: str) -> None:
    web.server.answer = lambda asked: asked.reply(301, Location=location)
    with pytest.raises(Refused, match=f"row 1, .* leads on to .*({why})") as caught:
        web.get(web.url("/a.jpg?sig=secret"))
    assert caught.value.code == "URL_BLOCKED" and "secret" not in str(caught.value)
    assert len(web.server.asked) == 1


def test_a_redirect_to_a_name_of_the_inside_is_refused(web: Web) -> None:
    web.names["intranet.example.org"] = ["10.0.0.3"]
    web.server.answer = lambda asked: asked.reply(307, Location=web.url("/b", "intranet.example.org"))
    with pytest.raises(Refused, match=r"intranet.example.org leads to 10.0.0.3, which is not a public address"):
        web.get()
    assert len(web.server.asked) == 1


def test_one_inside_address_among_public_ones_is_enough(web: Web) -> None:
    web.names[HOST] = ["127.0.0.1", "192.168.1.1"]
    with pytest.raises(Refused, match=r"URL_BLOCKED.*192.168.1.1"):
        web.get()
    assert not web.server.asked


def test_by_default_the_inside_is_refused_even_where_it_is_listed(web: Web) -> None:
    with pytest.raises(Refused, match=r"leads to 127.0.0.1"):
        web.get(is_allowed=web_policy.is_public)
    web.rules = {"hosts": (f"127.0.0.1:{web.port}",)}
    with pytest.raises(Refused, match=r"leads to 127.0.0.1"):
        web.get(web.url(host="127.0.0.1"), is_allowed=web_policy.is_public)


def test_a_listed_ip_address_is_asked_without_a_lookup(web: Web) -> None:
    web.rules = {"hosts": (f"127.0.0.1:{web.port}",)}
    assert web.get(web.url(host="127.0.0.1")) == PICTURE
    assert not web.resolved


def test_redirects_end(web: Web) -> None:
    web.server.answer = lambda asked: asked.reply(302, Location=asked.path)
    with pytest.raises(Missing, match=r"leads on more than 3 times \(`sources.urls.redirects`\)"):
        web.get()
    assert len(web.server.asked) == 4
    web.rules = {"redirects": 0}
    with pytest.raises(Missing, match="more than 0 times"):
        web.get()


def test_a_name_that_changes_its_address_is_asked_once(web: Web) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    assert web.get(resolve=lambda host: answers.pop(0)) == PICTURE
    assert answers == [["10.0.0.1"]]


def test_the_next_address_is_tried_when_one_does_not_answer(web: Web) -> None:
    web.names[HOST] = ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first
    assert web.get(is_allowed=lambda text: True) == PICTURE


# what goes wrong outside


@pytest.mark.parametrize("status", [401, 403, 404, 410, 418, 204, 206, 300, 304, 302])
def test_an_answer_that_will_not_change_is_missing(web: Web, status: int) -> None:
    web.server.answer = lambda asked: asked.reply(status)
    with pytest.raises(Missing, match=rf"^row 1, https://{HOST}:\d+/a.jpg: answered {status}$"):
        web.get(web.url("/a.jpg?sig=secret"))


@pytest.mark.parametrize("status", [103, 408, 425, 429, 500, 503, 599])
def test_an_answer_that_may_change_is_unreachable(web: Web, status: int) -> None:
    web.server.answer = lambda asked: asked.reply(status)
    with pytest.raises(Unreachable, match=f"answered {status}$"):
        web.get()


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_packed_content_is_not_unpacked(web: Web, coding: str) -> None:
    web.server.answer = lambda asked: asked.reply(body=gzip.compress(bytes(10**6)), Content_Encoding=coding)
    with pytest.raises(Missing, match="packed content"):
        web.get()


def test_too_large_is_known_from_the_length_or_from_the_bytes(web: Web) -> None:
    def endless(asked: Handler) -> None:
        asked.reply(length=None, Transfer_Encoding="chunked")
        while True:
            asked.wfile.write(b"400\r\n" + bytes(1024) + b"\r\n")

    web.server.answer = lambda asked: asked.reply(length=10**15)  # sends none of it
    with pytest.raises(TooLarge):
        web.get()
    web.server.answer = endless
    with pytest.raises(TooLarge):
        web.get(member_bytes=5000)
    web.server.answer = lambda asked: asked.reply(body=bytes(5000))
    assert len(web.get(member_bytes=5000)) == 5000


def test_a_body_that_breaks_off_is_not_taken_for_whole(web: Web) -> None:
    def announced(asked: Handler) -> None:
        asked.reply(body=b"abc", length=10)
        asked.connection.unwrap()

    def in_pieces(asked: Handler) -> None:
        asked.reply(body=b"a\r\nabc", length=None, Transfer_Encoding="chunked")
        asked.connection.unwrap()

    def cut(asked: Handler) -> None:  # the connection ends, and nobody said that the file does
        asked.reply(body=b"abc", length=None)

    for web.server.answer in (announced, in_pieces, cut):
        with pytest.raises(Unreachable, match=r"broke off 7 bytes|can't be read|no secure connection|EOF"):
            web.get()


@pytest.mark.parametrize("size", ["-1", "-5", "-FFFFFFFF"])
def test_a_piece_of_less_than_nothing_is_not_read_to_the_end(web: Web, size: str) -> None:
    """http.client takes -1 for a size, and would read whatever comes into memory."""
    sent = [0]

    def answer(asked: Handler) -> None:
        asked.reply(length=None, Transfer_Encoding="chunked")
        asked.wfile.write(f"{size}\r\n".encode())
        for _ in range(200):
            asked.wfile.write(bytes(1 << 20))
            sent[0] += 1

    web.server.answer = answer
    with pytest.raises(Unreachable, match="can't be read"):
        web.get(member_bytes=5000)
    assert sent[0] < 100


@pytest.mark.parametrize("size", ["FFFFFFFFFFFFFFFFFFFF", "0x5", "5;" + "x" * 60_000])
def test_a_piece_that_says_more_than_it_holds_breaks_off_or_is_too_large(web: Web, size: str) -> None:
    def answer(asked: Handler) -> None:
        asked.reply(length=None, Transfer_Encoding="chunked")
        asked.wfile.write(f"{size}\r\nabcde".encode())
        asked.connection.unwrap()

    web.server.answer = answer
    with pytest.raises((Unreachable, TooLarge)):
        web.get(member_bytes=5000)


def test_endless_heads_before_the_answer_end_with_the_time(web: Web) -> None:
    def answer(asked: Handler) -> None:
        while True:
            asked.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.001)

    web.rules = {"file_seconds": 0.4}
    web.server.answer = answer
    began = time.monotonic()
    with pytest.raises(Unreachable, match="took longer"):
        web.get()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: -3",
        "Content-Length: 1_0",
        "Transfer-Encoding: gzip, chunked",
        "X: " + "a" * 70_000,
        "\r\n".join(f"X-{number}: 1" for number in range(200)),
    ],
)
def test_a_head_that_makes_no_sense_is_unreachable(web: Web, head: str) -> None:
    web.server.answer = lambda asked: asked.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\nabc".encode())
    with pytest.raises(Unreachable, match="can't be read"):
        web.get()


@pytest.mark.parametrize("line", ["", "SSH-2.0-OpenSSH", "HTTP/1.1 two hundred\r\n\r\n", "HTTP/1.1 200" + "x" * 70_000])
def test_what_is_not_http_is_unreachable(web: Web, line: str) -> None:
    web.server.answer = lambda asked: asked.wfile.write(line.encode())
    with pytest.raises(Unreachable):
        web.get()


def test_a_certificate_for_another_name_is_refused(web: Web) -> None:
    with pytest.raises(Unreachable, match=r"its certificate is refused: .*other.example.org"):
        web.get(web.url(host="other.example.org"))
    with pytest.raises(Unreachable, match="its certificate is refused"):
        web.get(context=ssl.create_default_context())  # nobody vouches for it
    assert not web.server.asked


def test_the_system_s_resolver_gives_each_address_once() -> None:
    assert fetching.addresses_of("127.0.0.1") == ["127.0.0.1"]


def test_a_name_that_leads_nowhere_and_a_port_nobody_listens_on_are_unreachable(web: Web) -> None:
    def unknown(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Unreachable, match="Name or service not known"):
        web.get(resolve=unknown)
    with pytest.raises(Unreachable, match="leads nowhere"):
        web.get(resolve=lambda host: [])
    web.names[HOST] = ["127.0.0.2"]
    with pytest.raises(Unreachable, match=r"no connection to photos\.example\.org: Connection refused"):
        web.get(is_allowed=lambda text: True)


# time


def drip(asked: Handler, before: bytes) -> None:
    asked.wfile.write(before)
    for _ in range(100):
        asked.wfile.write(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_server_that_drips_is_left_when_the_time_is_up(web: Web, before: bytes) -> None:
    web.rules = {"file_seconds": 0.4}
    web.server.answer = lambda asked: drip(asked, before)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"took longer than 0.4 s \(`sources.urls.file_seconds`\)"):
        web.get()
    assert time.monotonic() - began < 2


def test_a_handshake_that_drips_and_a_lookup_that_hangs_are_left_too(web: Web) -> None:
    web.rules = {"file_seconds": 0.4}
    done = threading.Event()

    def handshake(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x3f\x00")  # a record of 16 kB, a byte at a time
            while not done.wait(0.05):
                connection.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=handshake, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        web.rules["hosts"] = (f"{HOST}:{port}",)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="took longer"):
            web.get(f"https://{HOST}:{port}/")
        del web.rules["hosts"]
        with pytest.raises(Unreachable, match="took longer"):
            web.get(resolve=lambda host: [str(done.wait(5))])
        assert time.monotonic() - began < 3
        done.set()
        thread.join()
