"""Options of tunnels, and their text."""

from __future__ import annotations

import errno

import pytest

from netloom.base.errors import ConfigError
from netloom.flow.mapped import parse_mapped
from netloom.netdev.errors import OptionsRefused
from netloom.netdev.tunnel import TunnelDevice, TunnelFactory, TunnelPort
from netloom.netdev.tunnel_config import (
    LEGACY_L3,
    PTAP,
    config_options,
    parse_tunnel_config,
    shared_config,
)


def test_a_key_counts_for_both_directions() -> None:
    config = parse_tunnel_config("t", "vxlan", {"remote_ip": "1.1.1.1", "key": "0x10"})
    assert (config.in_key, config.out_key, config.has_out_key) == (16, 16, True)
    assert config.remote_ip == parse_mapped("1.1.1.1")
    assert config_options(config) == {"key": "16", "remote_ip": "1.1.1.1"}


def test_directions_may_differ() -> None:
    config = parse_tunnel_config(
        "t", "gre", {"remote_ip": "flow", "in_key": "flow", "out_key": "7", "ttl": "inherit"}
    )
    assert config.in_key_flow and config.remote_flow and config.ttl_inherit
    assert config_options(config) == {
        "in_key": "flow", "out_key": "7", "remote_ip": "flow", "ttl": "inherit",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "options", "text"),
    [
        ("vxlan", {}, "t: vxlan type requires valid 'remote_ip' argument"),
        ("gre", {"remote_ip": "224.1.1.1"}, "t: multicast remote_ip=224.1.1.1 not allowed"),
        (
            "ip6gre",
            {"remote_ip": "192.168.0.300"},
            "t: bad ip6gre 'remote_ip'\nt: ip6gre type requires valid 'remote_ip' argument",
        ),
        (
            "gre",
            {"remote_ip": "1.1.1.1", "local_ip": "flow"},
            "t: gre type requires 'remote_ip=flow' with 'local_ip=flow'",
        ),
        (
            "geneve",
            {"remote_ip": "1.1.1.1", "local_ip": "::1"},
            "t: 'remote_ip' and 'local_ip' has to be of the same address family",
        ),
    ],
)
def test_what_leaves_nothing_to_send_to_is_refused(
    type_: str, options: dict[str, str], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_tunnel_config("t", type_, options)
    assert str(caught.value) == text


def test_tunnels_with_one_udp_port_share_one_port() -> None:
    one = parse_tunnel_config("a", "vxlan", {"remote_ip": "1.1.1.1"})
    other = parse_tunnel_config("b", "vxlan", {"remote_ip": "1.1.1.2", "key": "5"})
    apart = parse_tunnel_config("c", "vxlan", {"remote_ip": "1.1.1.1", "dst_port": "9"})
    assert shared_config(one) == shared_config(other) != shared_config(apart)
    assert (one.port_name, apart.port_name) == ("vxlan_sys_4789", "vxlan_sys_9")
    assert TunnelPort(apart).options == {"dst_port": "9", "packet_type": PTAP}


def test_gtp_carries_packets_without_ethernet() -> None:
    config = parse_tunnel_config("t", "gtpu", {"remote_ip": "1.1.1.1"})
    assert config.pt_mode == LEGACY_L3


def test_udp_over_ipv6_has_checksums_unless_told_otherwise() -> None:
    def sends(over_ipv6: bool, type_: str = "vxlan", **options: str) -> bool:
        config = parse_tunnel_config("t", type_, {"remote_ip": "flow", **options})
        return config.sends_csum(over_ipv6)

    assert sends(over_ipv6=True) and not sends(over_ipv6=True, csum="false")
    assert not sends(over_ipv6=False) and sends(over_ipv6=False, csum="true")
    assert not sends(over_ipv6=True, type_="ip6gre") and not sends(over_ipv6=True, type_="gtpu")


def test_the_factory_opens_tunnels_and_nothing_else() -> None:
    factory = TunnelFactory(None)
    device = factory.open("t", "gre", {"remote_ip": "1.1.1.1"})
    assert isinstance(device, TunnelDevice) and device.state().link_up
    assert not device.receive(5) and device.fileno() is None
    with pytest.raises(ConfigError):
        factory.open("t", "what", {})


def test_options_may_change() -> None:
    device = TunnelDevice("t", "gre", {"remote_ip": "1.1.1.1"})
    device.set_options({"remote_ip": "1.1.1.2"})
    assert device.options == {"remote_ip": "1.1.1.2"}


def test_tunnels_with_group_policies_share_no_port_with_others() -> None:
    factory = TunnelFactory(None)
    plain = {"remote_ip": "flow"}
    gbp = {**plain, "exts": "gbp"}
    first, second = (factory.open(name, "vxlan", plain) for name in ("a", "b"))
    with pytest.raises(OptionsRefused, match="c: VXLAN-GBP, and non-VXLAN-GBP tunnels") as refused:
        factory.open("c", "vxlan", gbp)
    assert refused.value.code == errno.EEXIST
    factory.open("d", "vxlan", {**gbp, "dst_port": "4790"})
    factory.open("e", "geneve", plain)
    with pytest.raises(OptionsRefused):
        first.set_options(gbp)
    assert first.options == plain
    second.close()
    first.set_options(gbp)
    factory.open("f", "vxlan", gbp)
