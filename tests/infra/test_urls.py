"""Which URLs a configuration may name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config import urls


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b?c=d&e=%20f",
        "https://ci.example.co.uk/hooks/github",
        "https://xn--bcher-kva.example.com/in",
        "https://8.8.8.8/in",
        "https://[2606:4700:4700::1111]/in",
        "https://example.com/keys/tokens",
        "https://example.com/sk-bratislavsky-kraj-odbor-dopravy/in",
        "https://example.com/?page=1&sort=key",
    ],
)
def test_a_public_https_url_is_taken(url: str) -> None:
    assert urls.problem(url) is None


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0"),  # noqa: S104  # what is refused
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255"),
        *("[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]", "[fe80::1%25eth0]"),
        *("[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::10.0.0.1]", "[2002:a9fe:a9fe::1]", "[::127.0.0.1]"),
        *("[64:ff9b:1::a00:1]", "[2001:0:0a00:1::1]"),
        *("localhost", "localhost.", "api.localhost", "printer.local", "metadata.google.internal", "intranet"),
        *("hooks.test", "hooks.example", "hooks.invalid", "hooks.onion", "hooks.alt"),
    ],
)
def test_what_isnt_on_the_internet_is_refused_however_it_is_written(host: str) -> None:
    said = urls.problem(f"https://{host}/in")

    assert said is not None
    assert "not a public" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/in", "must be https"),
        ("ftp://example.com/in", "absolute URL"),
        ("example.com/in", "absolute URL"),
        ("/in", "absolute URL"),
        ("", "absolute URL"),
        ("https://", "absolute URL"),
        ("https://exa mple.com/", "percent-encoded"),
        ("https://example.com/ü", "percent-encoded"),
        ("https://example.com/\n", "percent-encoded"),
        ("https://bücher.example.com/", "xn--"),
        ("https://example.com:99999/", "isn't a URL"),
        ("https://example.com:0/", "port 0"),
        ("https://[::1/", "isn't a URL"),
        ("https://exa_.-mple..com/", "not a host name"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com/" + "a" * 2048, "longer than"),
        ("https://user:pass@example.com/", "user name or password"),
        ("https://user@example.com/", "user name or password"),
        ("https://example.com/?token=abc", "'token'"),
        ("https://example.com/?a=b&API_KEY=abc", "'API_KEY'"),
        ("https://example.com/?x-functions-key=abc", "'x-functions-key'"),
        ("https://example.com/?access_token=", "'access_token'"),
        ("https://example.com/ghp_0123456789abcdefghij0123", "looks like a secret"),
        ("https://example.com/?q=sk_live_0123456789", "looks like a secret"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "looks like a secret"),
    ],
)
def test_a_url_that_cant_be_used_is_told_why(url: str, said: str) -> None:
    assert said in (urls.problem(url) or "")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/in", "http://localhost:1/", "https://[::1]:2/", "http://127.1/"]
)
def test_this_machine_is_taken_only_where_that_is_allowed(url: str) -> None:
    assert urls.problem(url, allow_local=True) is None
    assert urls.problem(url) is not None


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "https://169.254.169.254/", "http://example.com/", "https://a.local/"]
)
def test_allowing_this_machine_allows_no_other(url: str) -> None:
    assert urls.problem(url, allow_local=True) is not None


@given(st.text(max_size=60), st.booleans())
def test_any_text_gets_an_answer_and_no_error(text: str, allow_local: bool) -> None:  # noqa: FBT001  # drawn
    for url in (text, f"https://{text}", f"https://{text}/", f"https://a.example/{text}"):
        said = urls.problem(url, allow_local=allow_local)
        assert said is None or said


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_taken_as_the_ipv4_address_it_is(address: object) -> None:
    plain = urls.problem(f"https://{address}/")
    mapped = urls.problem(f"https://[::ffff:{address}]/")

    assert (mapped is None) <= (plain is None)
