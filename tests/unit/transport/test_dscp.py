"""The class of service of a connection."""

from __future__ import annotations

import socket

import pytest

from netloom.transport.dscp import set_dscp


class Options(socket.socket):
    """A socket that notes its options and asks no kernel."""

    family = socket.AF_INET  # type: ignore[assignment]

    def __init__(self, family: int) -> None:
        self.family = family  # type: ignore[assignment]
        self.options: list[tuple[object, ...]] = []

    def setsockopt(self, *option: object) -> None:  # type: ignore[override]
        self.options.append(option)


@pytest.mark.parametrize(
    ("family", "level", "name"),
    [
        (socket.AF_INET, socket.IPPROTO_IP, socket.IP_TOS),
        (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    ],
)
def test_dscp_is_above_the_bits_of_congestion(family: int, level: int, name: int) -> None:
    sock = Options(family)
    set_dscp(sock, 48)
    assert sock.options == [(level, name, 0xC0)]


def test_socket_is_left_alone_where_nothing_is_asked_for() -> None:
    sock = Options(socket.AF_INET)
    set_dscp(sock, None)
    assert sock.options == []
