"""A web server over TLS that answers as a test says, for the tests of lists of addresses."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dataops_assets.intake import fetching, urls
from dataops_assets.spec import UrlLists

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
