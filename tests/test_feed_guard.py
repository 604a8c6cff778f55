"""Where a fetch may connect to: redirects, private addresses, TLS, proxies, and who gets a password."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.feed.guard import AddressGuard, Refused, is_public
from tests.fakes import FakeClock
from tests.smtpd import Authority
from tests.website import BODY, Response, error_of, forget_proxies, get, says, site


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)


# --- redirects -------------------------------------------------------------------------------------------------------


def to(location: str, status: int = 302) -> Response:
    return says(status, Location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_site_is_followed(status: int) -> None:
    with site({"/a": to("b?c=d e", status), "/b": says(200, BODY)}) as server:
        assert get(server.url("/a")) == BODY
    assert server.asked[1][0] == "/b?c=d%20e"


def test_redirects_are_counted() -> None:
    hops: dict[str, Response | list[Response]] = {f"/{n}": to(f"/{n + 1}") for n in range(6)}
    with site({**hops, "/6": says(200, BODY)}) as server:
        assert get(server.url("/1")) == BODY
        assert "more than 5 redirects" in error_of(server.url("/0"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.1]",
        "user@127.1",
    ],
)
def test_a_redirect_never_touches_a_private_address(host: str) -> None:
    """There is not even a connection, since it would tell the server's owner which ports are open."""
    with socket.create_server(("", 0)) as trap:
        trap.setblocking(False)
        with site({"/": to(f"http://{host}:{trap.getsockname()[1]}/secret")}) as server:
            assert "not a public address" in error_of(server.url("/"))
        with pytest.raises(BlockingIOError):
            trap.accept()


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "gopher://127.0.0.1/_x", "javascript:alert(1)", "http://a..b"]
)
def test_a_redirect_stays_on_the_web(location: str) -> None:
    with site({"/": to(location)}) as server:
        assert "a redirect to a URL that is not http(s)" in error_of(server.url("/"))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "224.0.0.1",
        ),
        *("255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::"),
        *(
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "64:ff9b:1::9.9.9.9",
            "100::1",
            "2001:2::1",
            "2001:10::1",
            "2002:909:909::1",
        ),
        *("3fff::1", "5f00::1", "fc00::1", "fe80::1%1", "fec0::1", "::9.9.9.9", "4000::1", "192.0.0.8", "198.18.0.1"),
    ],
)
def test_these_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"])
def test_these_are(address: str) -> None:
    assert is_public(address)


def test_a_redirect_may_lead_to_any_public_address() -> None:
    assert AddressGuard(("feeds.example.org", 443)).addresses("9.9.9.9", 443) == ["9.9.9.9"]


def test_the_configured_place_may_be_private_but_not_its_other_ports() -> None:
    guard = AddressGuard(("127.0.0.1", 8025))
    assert guard.addresses("127.0.0.1", 8025) == ["127.0.0.1"]
    with pytest.raises(Refused):
        guard.addresses("127.0.0.1", 22)


def test_the_configured_host_is_not_resolved_again_for_a_redirect_back_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["9.9.9.9", "127.0.0.1"])  # of a name server that belongs to an attacker
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (next(answers), 443))])
    guard = AddressGuard(("feeds.example.org", 443))
    assert guard.addresses("feeds.example.org", 443) == ["9.9.9.9"]
    assert guard.addresses("feeds.example.org", 443) == ["9.9.9.9"]


# --- secrets ---------------------------------------------------------------------------------------------------------


def with_login(url: str) -> str:
    return url.replace("http://", "http://reader:s%40cret@")


def test_a_password_in_the_url_is_sent_and_never_shown() -> None:
    with site({"/": says(200, BODY), "/no": says(404)}) as server:
        assert get(with_login(server.url("/"))) == BODY
        message = error_of(with_login(server.url("/no")))
    assert server.asked[0][1]["Authorization"] == "Basic cmVhZGVyOnNAY3JldA=="
    assert "s%40cret" not in message
    assert "s@cret" not in message
    assert server.url("/no").removeprefix("http://") in message


def test_no_password_is_taken_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with site({"/": says(200, BODY)}) as server:
        get(server.url("/"))
    assert "Authorization" not in server.asked[0][1]


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that this process trusts."""
    made = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_a_certificate_of_a_trusted_authority_for_this_host_is_accepted(authority: Authority) -> None:
    with site({"/": says(200, BODY)}, authority.context(host="localhost")) as server:
        assert get(f"https://localhost:{server.server_port}/") == BODY


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (lambda authority: authority.context(host="elsewhere.example"), "the certificate is for another host name"),
        (lambda authority: authority.context(host="localhost", expired=True), "the certificate has expired"),
        (lambda authority: authority.context(host="localhost", self_signed=True), "the certificate is self-signed"),
    ],
    ids=["wrong host", "expired", "self-signed"],
)
def test_any_other_certificate_is_refused_at_once(
    authority: Authority, tls: Callable[[Authority], ssl.SSLContext], reason: str
) -> None:
    clock = FakeClock()
    with site({"/": says(200, BODY)}, tls(authority)) as server:
        assert f"TLS: {reason}" in error_of(f"https://localhost:{server.server_port}/", clock=clock)
    assert (server.asked, clock.slept) == ([], [])


def test_a_redirect_never_leaves_tls(authority: Authority) -> None:
    with site({"/": to("http://9.9.9.9/")}, authority.context(host="localhost")) as server:
        assert "from https to http" in error_of(f"https://localhost:{server.server_port}/")


# --- proxies ---------------------------------------------------------------------------------------------------------


def test_the_environment_s_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with site({"http://feeds.example.org/papers": says(200, BODY)}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url("").replace("//", "//me:pw@"))
        assert get("http://feeds.example.org/papers") == BODY
    [(_, headers)] = proxy.asked
    assert headers["Host"] == "feeds.example.org"
    assert headers["Proxy-Authorization"] == "Basic bWU6cHc="


def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with site({"feeds.example.org:443": says(403)}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url(""))
        assert "403" in error_of("https://feeds.example.org/papers")
    assert proxy.asked[0][0] == "feeds.example.org:443"


def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://nowhere.invalid:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with site({"/": says(200, BODY)}) as server:
        assert get(server.url("/")) == BODY


def test_a_proxy_is_not_asked_for_a_private_address_a_redirect_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with site({"http://feeds.example.org/": to("http://2852039166/latest/meta-data/")}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert "not a public address" in error_of("http://feeds.example.org/")
    assert len(proxy.asked) == 1


def test_a_kind_of_proxy_we_cannot_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://user:pw@127.0.0.1:9")
    message = error_of("http://feeds.example.org/")
    assert "only http:// proxies" in message
    assert "pw" not in message
