"""What is meant for the real services reaches neither demo nor tests."""

from __future__ import annotations

import os

import pytest

from infra.local.aws import server
from infra.local.outside import shut_out, without

MEANT_FOR_THE_REAL = {
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.example.com",
    "AWS_SESSION_TOKEN": "token",
    "QSTASH_URL": "https://qstash.example.com",
    "QSTASH_TOKEN": "token",
    "RELAY_NAME": "production",
    "RELAY_SECRET_GITHUB": "secret",
    "POWERTOOLS_DEV": "1",
    "NODE_OPTIONS": "--require /nowhere",
    "JSII_NODE": "/nowhere",
    "FORCE_COLOR": "1",
}


def test_nothing_is_kept_that_is_meant_for_the_real_services() -> None:
    kept = without({**MEANT_FOR_THE_REAL, "PATH": "/bin", "ALL_PROXY": "http://proxy.example.com"})

    assert not kept.keys() & MEANT_FOR_THE_REAL.keys()
    assert (kept["PATH"], kept["HTTPS_PROXY"]) == ("/bin", "http://proxy.example.com")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", ":::bad", "http//nowhere", "foo://127.0.0.1:1"])
def test_a_proxy_that_packages_cannot_be_had_through_is_none(proxy: str) -> None:
    kept = without({"ALL_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy})

    assert not {name for name in kept if name.lower().endswith("_proxy") and name.lower() != "no_proxy"}


def test_a_proxy_for_http_is_none_for_https() -> None:
    assert "HTTPS_PROXY" not in without({"HTTP_PROXY": "http://proxy.example.com"})


def test_awss_own_files_are_not_read_and_loopback_has_no_proxy() -> None:
    kept = without({"AWS_CONFIG_FILE": "/home/ada/aws", "no_proxy": "example.com"})

    assert kept["AWS_CONFIG_FILE"] == kept["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert "127.0.0.1" in kept["NO_PROXY"]
    assert "127.0.0.1" in kept["no_proxy"]


def test_a_process_that_shut_it_out_has_none_of_it_and_knows_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MEANT_FOR_THE_REAL.items():
        monkeypatch.setenv(name, value)

    before = shut_out()

    assert not os.environ.keys() & MEANT_FOR_THE_REAL.keys()
    assert before.items() >= MEANT_FOR_THE_REAL.items()


def test_the_tests_themselves_have_none_of_it() -> None:
    assert not os.environ.keys() & MEANT_FOR_THE_REAL.keys()
    assert os.environ["AWS_CONFIG_FILE"] == os.devnull


def test_a_client_of_the_local_aws_needs_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be none of that name, and it is for another AWS."""
    monkeypatch.setenv("AWS_PROFILE", "no such profile")
    shut_out()

    assert server.client("s3", "http://127.0.0.1:9").meta.endpoint_url == "http://127.0.0.1:9"
