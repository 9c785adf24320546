"""Meters and hashes are the same on every data path."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend
from tests.support.packet_cases import IN1, tcp4, tcp6, udp4

from netloom.datapath.meters import (
    BAND_DROP,
    BAND_DSCP_REMARK,
    DpMeter,
    DpMeterBand,
    DpMeterStats,
)
from netloom.datapath.userspace.execute import hash_packet
from netloom.flow.fields import SLOT

PORTS = (1, 2)
Backend = UserspaceBackend | KernelBackend


def test_a_meter_drops_what_is_too_much_and_counts(backend: Backend) -> None:
    band = DpMeterBand(BAND_DROP, rate=1, burst_size=3)
    backend.dpif.meter_set(1, DpMeter(kbps=False, burst=True, bands=(band,)))
    backend.put(IN1, "meter(1),2")
    packet = bytes(tcp4())
    for _ in range(10):
        backend.inject(1, packet)
    backend.run()
    assert len(backend.sent(2)) == 3
    assert backend.drops() == {"datapath_drop_meter": 7}
    counted = DpMeterStats(10, 10 * len(packet), ((7, 7 * len(packet)),))
    assert backend.dpif.meter_stats(1) == counted
    assert backend.dpif.meter_del(1) == counted
    assert backend.dpif.meter_stats(1) is None
    # Without its meter, the action lets everything pass.
    backend.inject(1, packet)
    backend.run()
    assert len(backend.sent(2)) == 4


@pytest.mark.parametrize(("tos", "remarked"), [(0x28, 0x30), (0x2A, 0x32), (0x38, 0x38), (0, 0)])
def test_a_meter_raises_the_drop_precedence(backend: Backend, tos: int, remarked: int) -> None:
    band = DpMeterBand(BAND_DSCP_REMARK, rate=1, burst_size=1, prec_level=1)
    backend.dpif.meter_set(2, DpMeter(kbps=False, burst=True, bands=(band,)))
    backend.put(IN1, "meter(2),2")
    for _ in range(2):
        backend.inject(1, bytes(tcp4(tos=tos)))
    backend.run()
    assert backend.sent(2) == [bytes(tcp4(tos=tos)), bytes(tcp4(tos=remarked))]


HASHED = {
    "tcp4": tcp4(),
    "udp4": udp4(),
    "fragment": tcp4(frag=5),
    "tcp6": tcp6(),
    "udp6": Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / IPv6(src="fd00::7", dst="fd00:1::8")
    / UDP(),
    "arp": Ether() / ARP(psrc="10.0.0.1", pdst="10.0.0.9"),
    "tagged": Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / Dot1Q(vlan=7)
    / IP(src="10.0.0.3", dst="10.0.0.4")
    / TCP(),
    "other": Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88B5) / bytes(46),
}


@pytest.mark.parametrize("algorithm", ["l4", "sym_l4"])
@pytest.mark.parametrize("name", HASHED)
def test_packets_are_hashed_alike(backend: Backend, name: str, algorithm: str) -> None:
    packet = bytes(HASHED[name])
    ethertype = int.from_bytes(packet[12:14], "big")
    vlan = ",vlan(vid=7),encap(eth_type(0x0800))" if ethertype == 0x8100 else ""
    backend.put(
        f"recirc_id(0),in_port(1),eth(),eth_type({ethertype:#06x}){vlan}",
        f"hash({algorithm}(5)),recirc(0x9)",
    )
    backend.inject(1, packet)
    backend.run()
    (upcall,) = backend.dpif.recv_upcalls(10)
    assert SLOT["recirc_id"].get(upcall.key) == 9
    assert SLOT["dp_hash"].get(upcall.key) == hash_packet(upcall.key, algorithm, 5)
    if isinstance(backend, KernelBackend):
        assert not backend.reasons()
