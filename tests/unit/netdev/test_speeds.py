"""What a driver says of its device's speed (linux/ethtool.h)."""

from __future__ import annotations

import socket

import pytest

from netloom.netdev.linux import ethtool
from netloom.netdev.linux.ethtool import Speed, read_speed

UNKNOWN = 0xFFFF


@pytest.mark.parametrize(
    ("supported", "mbps", "duplex", "speed"),
    [
        (0, 50_000, 1, Speed(50_000_000_000, 0, True)),
        (0b10_1111, 1_000, 0, Speed(1_000_000_000, 1_000_000_000, False)),
        (1 << 12 | 1 << 5, UNKNOWN, 1, Speed(0, 10_000_000_000, True)),
        (0b1100, 10, 1, Speed(10_000_000, 100_000_000, True)),
    ],
)
def test_the_highest_speed_is_that_of_the_modes(
    monkeypatch: pytest.MonkeyPatch, supported: int, mbps: int, duplex: int, speed: Speed
) -> None:
    fields = [0, supported, 0, mbps, duplex, *[0] * 13]
    monkeypatch.setattr(ethtool, "_ask", lambda *args: ethtool._SETTINGS.pack(*fields))
    with socket.socket() as sock:
        assert read_speed(sock, "eth0") == speed
