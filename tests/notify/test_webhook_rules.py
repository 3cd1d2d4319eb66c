"""Which events and which addresses webhooks may have: rules, without servers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deploy.topology import Topology
from services.notify.settings import NotifySettings
from services.notify.webhooks.domain import PUBLIC_TYPES, AddressRefused, Answer, Verdict, choose_address, read_url
from shared.contracts.messages import TYPE_PREFIX

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
NOT_PUBLIC = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",  # noqa: S104
    "192.0.0.192", "168.63.129.16", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1",
    "2001:0:7f00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_P7_a_public_address_is_taken(address: str) -> None:
    assert str(choose_address([address], loopback=False)) == address


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_P7_an_address_that_leads_into_the_house_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        choose_address([address], loopback=False)


def test_P7_one_private_address_spoils_a_name_that_has_public_ones_too() -> None:
    with pytest.raises(AddressRefused):
        choose_address([*PUBLIC, "10.0.0.1"], loopback=False)
    with pytest.raises(AddressRefused):
        choose_address([], loopback=False)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "224.0.0.1"])
def test_P7_the_setting_for_the_loopback_opens_nothing_else(address: str) -> None:
    assert str(choose_address(["127.0.0.1"], loopback=True)) == "127.0.0.1"
    with pytest.raises(AddressRefused):
        choose_address([address], loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.exemple.invalid/", "ftp://receiver.exemple.invalid/", "https://", "https:///path", "https://a:b@host.invalid/",
        "https://user@receiver.invalid/", "https://receiver.invalid/#part", "https://host.invalid:99999/", "https://host.invalid/a b",
        "https://réception.invalid/", "https://[::1/", "//receiver.invalid/", "http://127.0.0.1/",
    ],
)  # fmt: skip
def test_P7_only_https_to_a_plain_host(url: str) -> None:
    with pytest.raises(AddressRefused):
        read_url(url, loopback=False)


def test_P7_plain_http_is_for_the_loopback_of_the_embedded_stack_only() -> None:
    assert read_url("http://127.0.0.1:9000/hook", loopback=True).port == 9000
    with pytest.raises(AddressRefused):
        read_url("http://receiver.exemple.invalid/", loopback=True)
    with pytest.raises(ValidationError, match="embedded stack only"):
        NotifySettings(environment="production", webhooks_to_loopback=True)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (204, "delivered"), (410, "gone"), *((status, "again") for status in (301, 307, 400, 401, 429, 500, None))],
)
def test_P7_success_is_2xx_and_nothing_else(status: int | None, verdict: str) -> None:
    assert Answer(status, "").verdict is Verdict(verdict)


def test_P4_webhooks_carry_what_the_public_stream_carries_and_no_more() -> None:
    (public,) = (stream for stream in Topology.read().streams if stream.name == "PUBLIC")
    subjects = {subject for source in public.settings["sources"] for subject in sources(source)}

    assert {f"{TYPE_PREFIX}{subject.removeprefix('evt.').removesuffix('.*')}" for subject in subjects} == PUBLIC_TYPES


def sources(source: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["src"] for each in source["subject_transforms"]]
