"""What routers say: advertisements by the modes of their subnets, and gratuitous ARP."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA
from scapy.layers.l2 import ARP, Ether
from tests.support.network_api import Api

from netloom.network.agents.l3.advertise import (
    Advertisement,
    advertisement_of,
    encode,
    gratuitous_arp,
)
from netloom.network.agents.rooms import Link
from netloom.network.watch.replica import Replica

MAC = "fa:16:3e:00:00:01"
LINK = Link("p", "qr-p", MAC, 1450, ("2001:db8::1/64",))


class OneSubnet(Replica):
    """A replica that knows one subnet."""

    def __init__(self, **subnet: Any) -> None:
        super().__init__()
        self.subnet = {"cidr": "2001:db8::/64", "dns_nameservers": [], **subnet}

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return self.subnet if kind == "subnet" else None


def advertised(mode: str | None, **more: Any) -> Advertisement | None:
    port = {"fixed_ips": [{"subnet_id": "s", "ip_address": "2001:db8::1"}]}
    return advertisement_of(OneSubnet(ipv6_ra_mode=mode, **more), port, LINK)


@pytest.mark.parametrize(
    ("mode", "managed", "other", "autonomous"),
    [("slaac", 0, 0, 1), ("dhcpv6-stateless", 0, 1, 1), ("dhcpv6-stateful", 1, 0, 0)],
)
def test_the_mode_of_a_subnet_sets_the_flags(
    mode: str, managed: int, other: int, autonomous: int
) -> None:
    one = advertised(mode)
    assert one is not None
    message = ICMPv6ND_RA(encode(one))
    assert (message.type, message.M, message.O, message.routerlifetime) == (
        134,
        managed,
        other,
        300,
    )
    prefix = message["ICMPv6NDOptPrefixInfo"]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == (
        "2001:db8::", 64, 1, autonomous,
    )  # fmt: skip
    assert message["ICMPv6NDOptMTU"].mtu == 1450
    assert message["ICMPv6NDOptSrcLLAddr"].lladdr == MAC


def test_name_servers_are_advertised_where_nothing_else_tells_them() -> None:
    one = advertised("slaac", dns_nameservers=["2001:db8::53", "192.0.2.53"])
    assert one is not None
    assert ICMPv6ND_RA(encode(one))["ICMPv6NDOptRDNSS"].dns == ["2001:db8::53"]
    stateless = advertised("dhcpv6-stateless", dns_nameservers=["2001:db8::53"])
    assert stateless is not None and not stateless.servers


def test_a_subnet_without_mode_is_not_advertised() -> None:
    assert advertised(None) is None


def test_an_address_is_announced_as_request_and_as_answer() -> None:
    frames = [Ether(frame) for frame in gratuitous_arp(MAC, "203.0.113.7")]
    assert [frame[ARP].op for frame in frames] == [1, 2]
    for frame in frames:
        assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", MAC)
        assert frame[ARP].psrc == frame[ARP].pdst == "203.0.113.7"
        assert frame[ARP].hwsrc == MAC


def test_the_service_takes_the_status_of_a_router() -> None:
    api = Api()
    router = api.make("router")
    body = [{"id": router["id"], "status": "DOWN"}, {"id": "gone", "status": "DOWN"}]
    assert api.request("PUT", "/agent/v1/routers", body)[0] == 200
    assert api.request("GET", f"/routers/{router['id']}")[1]["router"]["status"] == "DOWN"
