"""Lists of addresses: read strictly, judged before anything is asked, fetched from a real TLS server that behaves badly."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dataops_assets.blobs import Blobs
from dataops_assets.intake import fetching, landing, readiness, urls, web_policy
from dataops_assets.intake.delivery_manifest import ManifestError
from dataops_assets.intake.fetching import Missing, Unreachable
from dataops_assets.intake.journal import Journal
from dataops_assets.intake.members import Member, Refused, TooLarge
from dataops_assets.spec import ProjectSpec, UrlLists
from dataops_assets.stages import raw_images
from tests.conftest import changed

HOST = "photos.example.org"
PICTURE = bytes(range(256)) * 10_000  # more than two chunks


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"].partition(":")[0], self.path, dict(self.headers)))
        self.close_connection = True
        self.server.answer(self)

    def reply(self, status: int = 200, body: bytes = b"", length: int | None = -1, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext
    answer: Callable[[Handler], None]
    asked: list[tuple[str, str, dict[str, str]]]

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secured:
            self.RequestHandlerClass(secured, client_address, self)


@dataclass
class Web:
    """A server that answers for every host, with a certificate for two of them, and a resolver that leads there."""

    server: Server
    trusted: ssl.SSLContext
    names: dict[str, list[str]] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def url(self, path: str = "/a.jpg", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    def resolve(self, host: str) -> list[str]:
        self.resolved.append(host)
        return self.names.get(host, ["127.0.0.1"])

    def members(self, *addresses: str, member_bytes: int = 10**7, **tools: Any) -> Iterator[Any]:
        hosts = tuple(f"{name}:{self.port}" for name in (HOST, "*.example.org"))
        rules = UrlLists(**{"enabled": True, "hosts": hosts, "files_per_second": 1e6, "file_seconds": 10.0, **self.rules})
        listed = urls.parse("\n".join(["url", *addresses]).encode())
        tools = {"resolve": self.resolve, "is_allowed": lambda text: text == "127.0.0.1", "context": self.trusted, **tools}
        return fetching.fetch(listed, rules, member_bytes, **tools)

    def get(self, url: str | None = None, **tools: Any) -> bytes:
        (member,) = self.members(url or self.url(), **tools)
        return b"".join(member.chunks)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, ssl.SSLContext]]:
    folder = tmp_path_factory.mktemp("tls")
    server = Server(("127.0.0.1", 0), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(*certificate(folder))
    trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server, trusted
    server.shutdown()
    server.server_close()
    thread.join()


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    today = datetime.datetime.now(datetime.UTC)
    held = [x509.DNSName(HOST), x509.DNSName("cdn.example.org"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(held), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage, True)
        .add_extension(identifier, False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def web(running: tuple[Server, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Web:
    server, trusted = running
    server.asked = []
    server.answer = lambda asked: asked.reply(body=PICTURE)

    def no_lookup(*args: Any, **more: Any) -> Any:
        raise AssertionError(f"looked up {args}")

    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return Web(server, trusted)


# the list


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


def test_a_list_of_addresses_is_the_manifest_that_is_required(
    tmp_path: Path, garments: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(listed: urls.UrlList, *_: Any) -> Iterator[Member]:
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
