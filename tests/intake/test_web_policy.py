"""Which web addresses may be asked: forms of hosts, ports and IP addresses that have fooled others."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataops_assets.intake.web_policy import is_public, judge, shown
from dataops_assets.spec import UrlLists

RULES = UrlLists(enabled=True, hosts=("photos.example.org", "*.cdn.example.org", "alt.example.org:8443", "bücher.example", "8.8.8.8"))

INSIDE = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.127.255.255
192.0.0.8 192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:100.64.0.1 ::ffff:0:8.8.8.8
64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:808:808:: 2001:0:53aa:64c:0:fbff:80ff:fffe
2001::1 2001:2::1 2001:10::1 2001:db8::1 3fff::1 100::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1
ff0e::1 5f00::1 4000::1 2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1 127.1 0x7f000001 0177.0.0.1 2130706433 localhost
"""
OPEN = "8.8.8.8 93.184.215.14 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2a00:1450:4001::5efe:8.8.8.8"


@pytest.mark.parametrize("address", INSIDE.split())
def test_no_inside_address_passes_in_any_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN.split())
def test_addresses_of_the_open_internet_pass(address: str) -> None:
    assert is_public(address)


@given(
    st.ip_addresses(v=4, network="10.0.0.0/8")
    | st.ip_addresses(v=4, network="127.0.0.0/8")
    | st.ip_addresses(v=4, network="169.254.0.0/16")
)
def test_an_inside_address_stays_one_however_it_is_wrapped(inside: ipaddress.IPv4Address) -> None:
    high, low = int(inside) >> 16, int(inside) & 0xFFFF
    forms = (
        f"::ffff:{inside}",
        f"::{inside}",
        f"64:ff9b::{inside}",
        f"2002:{high:x}:{low:x}::1",
        f"2001::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
    )
    assert not any(map(is_public, (str(inside), *forms)))


@pytest.mark.parametrize(
    ("url", "asks"),
    [
        ("https://photos.example.org/a.jpg", ("photos.example.org", 443, "/a.jpg")),
        ("HTTPS://Photos.Example.ORG.:443/a%20b.jpg?k=1&s=a/b#part", ("photos.example.org", 443, "/a%20b.jpg?k=1&s=a/b")),
        ("https://photos.example.org", ("photos.example.org", 443, "/")),
        ("https://photos.example.org?x=é", ("photos.example.org", 443, "/?x=%C3%A9")),
        ("https://a.b.cdn.example.org/@2x.png", ("a.b.cdn.example.org", 443, "/@2x.png")),
        ("https://alt.example.org:8443/", ("alt.example.org", 8443, "/")),
        ("https://BÜCHER.example/ü", ("xn--bcher-kva.example", 443, "/%C3%BC")),
        ("https://xn--bcher-kva.example/", ("xn--bcher-kva.example", 443, "/")),
        ("https://ｐhotos.example。org/", ("photos.example.org", 443, "/")),
        ("https://8.8.8.8/", ("8.8.8.8", 443, "/")),
    ],
)
def test_what_an_address_asks_of_whom(url: str, asks: tuple[str, int, str]) -> None:
    target = judge(url, RULES)
    assert (target.host, target.port, target.target) == asks


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://photos.example.org/a", "only https"),
        ("ftp://photos.example.org/a", "only https"),
        ("file:///etc/passwd", "only https"),
        ("//photos.example.org/a", "not a web address"),
        ("photos.example.org/a", "not a web address"),
        ("javascript:alert(1)", "not a web address"),
        ("https:photos.example.org", "not a web address"),
        (" https://photos.example.org/", "not a web address"),
        ("https://photos.example.org/a b", "spaces"),
        ("https://photos.example.org\\@evil.test/", "backslashes"),
        ("https://photos.example.org/\r\nHost: evil.test", "control characters"),
        ("https://photos.example.org/\tx", "control characters"),
        ("https://user:secret@photos.example.org/", "user name or password"),
        ("https://photos.example.org@evil.test/", "user name or password"),
        ("https://@photos.example.org/", "user name or password"),
        ("https:///a", "can't be read"),
        ("https://photos.example.org:/", "can't be read"),
        ("https://photos.example.org:0/", "can't be read"),
        ("https://photos.example.org:99999/", "can't be read"),
        ("https://photos.example.org:443:443/", "can't be read"),
        ("https://photos%2eexample.org/", "can't be read"),
        ("https://photos..example.org/", "can't be read"),
        ("https://[::1]photos.example.org/", "can't be read"),
        ("https://[fe80::1%25eth0]/", "can't be read"),
        (f"https://{'a' * 64}.example.org/", "can't be read"),
        (f"https://{'a.' * 200}example.org/", "can't be read"),
        ("https://127.1/", "can't be read"),
        ("https://2130706433/", "can't be read"),
        ("https://0x7f.0.0.1/", "can't be read"),
        ("https://0177.0.0.1/", "can't be read"),
        ("https://a.cdn.example.org.0x1/", "can't be read"),
        ("https://１２７.0.0.1/", "127.0.0.1 is not in `sources.urls.hosts`"),
        ("https://[::ffff:8.8.8.8]/", "is not in `sources.urls.hosts`"),
        ("https://8.8.4.4/", "8.8.4.4 is not in `sources.urls.hosts`"),
        ("https://evil.test/", "evil.test is not in `sources.urls.hosts`"),
        ("https://cdn.example.org/", "cdn.example.org is not in"),
        ("https://notcdn.example.org/", "notcdn.example.org is not in"),
        ("https://photos.example.org.evil.test/", "is not in"),
        ("https://evilphotos.example.org/", "is not in"),
        ("https://photos.example.org:8443/", "photos.example.org:8443 is not in"),
        ("https://alt.example.org/", "alt.example.org is not in"),
    ],
)
def test_what_may_not_be_asked_is_said_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        judge(url, RULES)


def test_a_wildcard_stands_for_names_below_a_host_only() -> None:
    for pattern in ("*", "*.", "*.8.8.8", "https://photos.example.org", "", "photos.example.org/", "*.*"):
        rules = UrlLists(enabled=True, hosts=(pattern,))
        for host in ("photos.example.org", "8.8.8.8"):
            with pytest.raises(ValueError, match=r"is not in"):
                judge(f"https://{host}/", rules)


def test_an_ipv6_address_is_taken_when_it_is_listed_in_any_spelling() -> None:
    rules = UrlLists(enabled=True, hosts=("2606:4700::1111", "[2606:4700::2222]:8443"))
    assert judge("https://[2606:4700:0::1111]/x", rules).url == "https://[2606:4700::1111]/x"
    assert judge("https://[2606:4700::2222]:8443/x", rules).port == 8443


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_sentence(text: str) -> None:
    for url in (text, f"https://{text}", f"https://photos.example.org/{text}", f"https://{text}.cdn.example.org/"):
        try:
            target = judge(url, RULES)
        except ValueError as error:
            assert str(error)
        else:
            assert target.url.isascii() and target.host.endswith((".example.org", ".example", "8.8.8.8"))
        assert len(shown(url)) <= 4096


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://a.example/b.jpg?token=secret#secret", "https://a.example/b.jpg"),
        ("https://a.example/b@2x.jpg", "https://a.example/b@2x.jpg"),
        ("https://user:secret@a.example/b", "https://…"),
        ("https://user:12secret/34@a.example/b", "https://…"),
        ("https://user:12?secret@a.example/b", "https://…"),
        ("https://secret@a.example/b", "https://…@a.example/b"),
        ("user:secret@a.example", "…"),
        ("secret:x@://a.example", "…"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, words: str) -> None:
    assert shown(url) == words
