"""Which web addresses may be asked: https, hosts the spec lists, the open Internet. Looks at words only, asks nobody."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from dataops_assets.intake.members import readable
from dataops_assets.spec import UrlLists

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?")
HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes resolvers read the host as an IPv4 address
PRINTABLE = "!#$%&'()*+,/:;=?@[]~"

# What `is_global` of Python 3.11 lets through though it isn't the open Internet (IANA special-purpose registries), or is the
# inside of a cloud (168.63.129.16, the host of an Azure machine).
V4_SPECIAL = [ipaddress.IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/4", "240.0.0.0/4")]
V6_UNICAST = ipaddress.IPv6Network("2000::/3")
V6_SPECIAL = [ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]  # Teredo, 6to4 among them
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)


@dataclass(frozen=True)
class Target:
    """An address that may be asked: ASCII host, port, what to ask it for, and by which entry of `hosts` it may be."""

    host: str
    port: int
    target: str = field(repr=False)
    agreed: str = ""

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, not a name."""
        return ":" in self.host or NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}{'' if self.port == 443 else f':{self.port}'}{self.target}"


def judge(url: str, rules: UrlLists) -> Target:
    """What an address asks of whom.

    Raises:
        ValueError: when the rules don't let it be asked; the message says which.
    """
    if not rules.enabled:
        raise ValueError("`sources.urls.enabled` is off")
    found = URL.fullmatch(url)
    if found is None or re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ValueError("not a web address, or one with spaces, backslashes or control characters")
    scheme, authority, path, query = found.group(1), found.group(2), found.group(3), found.group(4) or ""
    if scheme.lower() != "https":
        raise ValueError("only https is taken")
    if "@" in authority:
        raise ValueError("a user name or password in an address is not taken")
    try:
        host, port = _host_port(authority)
    except ValueError:
        raise ValueError("its host or port can't be read") from None
    agreed = next((pattern for pattern in rules.hosts if _lets(pattern, host, port)), None)
    if agreed is None:
        name = host if port == 443 else f"{host}:{port}"
        raise ValueError(f"{name} is not in `sources.urls.hosts`")
    return Target(host, port, quote(path or "/", safe=PRINTABLE) + quote(query, safe=PRINTABLE), agreed)


def _host_port(authority: str) -> tuple[str, int]:
    """Host as lower-case ASCII (or an IP literal in its one form) and port; ValueError when it is neither."""
    found = AUTHORITY.fullmatch(authority)
    if found is None or len(authority) > 260:
        raise ValueError(authority)
    host, port = found.group(1), int(found.group(2) or 443)
    if not 0 < port < 65536:
        raise ValueError(port)
    if host.startswith("["):
        return str(ipaddress.IPv6Address(host[1:-1])), port
    name = host.encode("idna").decode().lower().removesuffix(".")  # full-width digits and the like become plain here
    if len(name) > 253 or HOST.fullmatch(name) is None:
        raise ValueError(host)
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        return str(ipaddress.IPv4Address(name)), port
    return name, port


@lru_cache(maxsize=1024)
def _pattern(text: str) -> tuple[bool, str, int]:
    is_wild = text.startswith("*.")
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    try:
        host, port = _host_port(text[2:] if is_wild else text)
    except ValueError:
        return False, "", 0
    return is_wild, host, port


def _lets(pattern: str, host: str, port: int) -> bool:
    is_wild, name, allowed = _pattern(pattern)
    return port == allowed and (host.endswith(f".{name}") if is_wild else host == name)


def shown(url: str) -> str:
    """An address for people: without query, fragment, and whatever may be a password."""
    head = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, mark, rest = head.partition("://")
    if "@" in url and (":" in rest or not mark or not scheme.isalpha()):
        return f"{scheme}://…" if mark and scheme.isalpha() else "…"
    if "@" in rest.partition("/")[0]:
        head = f"{scheme}://…@{rest.partition('@')[2]}"
    return readable(head[:200])[0]


def is_public(text: str) -> bool:
    """Whether an IP address lies in the open Internet, and so does the IPv4 address that may be wrapped in it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in net for net in V4_SPECIAL)
    if address.scope_id is not None:
        return False
    wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in NAT64:
        return is_public(str(wrapped))
    if int(address) >> 32 & 0xFFFFFFFF in ISATAP and not is_public(str(wrapped)):
        return False
    return address in V6_UNICAST and address.is_global and not any(address in net for net in V6_SPECIAL)
