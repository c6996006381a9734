"""Only public addresses count as public, however they are written."""

import ipaddress

import pytest
from django.test import override_settings

from octavo.kernel.egress import check_url, is_metadata, is_public
from octavo.kernel.errors import InvalidInput

INTERNAL = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",  # NAT64 for local use
    "100::1",  # discard
    "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",  # site-local
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INTERNAL)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_global_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "http://",
        "http:///path",
        "http://[::1",
        "http://example.org:99999/",
        "http://example.org:http/",
        "http://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_a_url_that_leads_nowhere_public_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url)


@pytest.mark.parametrize("url", ["https://example.org/a?b=c", "http://8.8.8.8:8080/"])
def test_a_url_that_may_be_public_comes_back_unchanged(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("rule", ["10.0.0.5", "10.0.0.5:8000", "10.0.0.0/8"])
def test_an_internal_address_is_reachable_when_it_is_listed(rule: str) -> None:
    with override_settings(EGRESS_ALLOW=(rule,)):
        assert check_url("http://10.0.0.5:8000/v1")


@pytest.mark.parametrize("rule", ["10.0.0.6", "10.0.0.5:9000", "11.0.0.0/8", "10.0.0", ""])
def test_a_rule_allows_nothing_but_what_it_names(rule: str) -> None:
    with override_settings(EGRESS_ALLOW=(rule,)), pytest.raises(InvalidInput, match="EGRESS_ALLOW"):
        check_url("http://10.0.0.5:8000/v1")


@pytest.mark.parametrize(
    "literal",
    [
        "169.254.169.254",
        "100.100.100.200",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:100.100.100.200",
    ],
)
def test_addresses_of_cloud_credentials_are_known_in_every_form(literal: str) -> None:
    assert is_metadata(literal)


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "8.8.8.8", "gpu"])
def test_other_addresses_and_names_are_not_taken_for_them(literal: str) -> None:
    assert not is_metadata(literal)
