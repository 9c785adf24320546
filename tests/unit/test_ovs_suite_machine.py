"""What the suite's tests on real packets run on: words of ip(8), and frames of devices that the
kernel lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from tests.interop import soft_devices, suite_machine


@pytest.mark.parametrize(
    ("words", "name", "wanted"),
    [
        ("link add link p0 name p0.100 type vlan proto 802.1q id 100", "p0.100",
         {"link": "p0", "type": "vlan", "id": "100"}),
        ("link add dev ns_gnv0 type geneve remote 172.31.1.100 vni 7", "ns_gnv0",
         {"type": "geneve", "remote": "172.31.1.100", "vni": "7"}),
        ("link add g0 type gre remote 1.1.1.1", "g0", {"type": "gre", "remote": "1.1.1.1"}),
    ],
)  # fmt: skip
def test_devices_are_described_as_to_ip(words: str, name: str, wanted: dict[str, str]) -> None:
    found = soft_devices.options(words.split())
    assert found["name"] == name
    assert wanted.items() <= found.items()


def frames() -> list[bytes]:
    v4, v6 = IP(src="10.1.1.1", dst="10.1.1.2"), IPv6(src="fc00::1", dst="fc00::2")
    return [
        bytes(Ether() / v4 / TCP() / b"abc"),
        bytes(Ether() / v6 / UDP(sport=9) / b"abcd"),
        bytes(Ether() / Dot1Q(vlan=3) / v4 / UDP() / b"a"),
    ]


@pytest.mark.parametrize("frame", frames())
def test_checksums_that_a_kernel_left_are_completed(frame: bytes) -> None:
    spoilt = bytearray(frame)
    at = {b"\x08\0": 34 + 16, b"\x86\xdd": 54 + 6, b"\x81\0": 38 + 6}[frame[12:14]]
    spoilt[at : at + 2] = b"\x12\x34"
    assert soft_devices.completed(bytes(spoilt)) == frame


def test_frames_without_checksums_stay_as_they_are() -> None:
    first = bytes(Ether() / IP(flags="MF") / UDP() / b"abcd")
    short = bytes(Ether() / IP() / UDP())[:30]
    none = bytes(Ether() / IP() / UDP(chksum=0) / b"abcd")
    for frame in (first, short, none, b""):
        assert soft_devices.completed(frame) == frame


def test_ip_is_left_alone_but_for_devices_that_the_kernel_has_not(tmp_path: Path) -> None:
    script = tmp_path / "ip"
    script.write_text("#!/bin/sh\n" + suite_machine._ip(["vlan"], "echo"))
    script.chmod(0o755)

    def said(words: str) -> str:
        argv = ["sh", "-x", str(script), *words.split()]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stderr

    assert "+ exec echo link add foo type vlan help" in said("link add foo type vlan help")
    assert "+ exec echo link add a type veth peer name b" in said(
        "link add a type veth peer name b"
    )
    assert "soft_devices.py echo link add" in said("link add link lo name l.1 type vlan id 1")
