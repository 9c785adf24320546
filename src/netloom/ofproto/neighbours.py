"""LLDP on a bridge: which of its ports say who they are, and listen to who their neighbours are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from netloom.flow.fields import SLOT
from netloom.ofproto.link_watch import LinkWatch, Row
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, VLAN_LEN
from netloom.protocols.lldp import ETH_TYPE, GROUP, Lldp

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

_DL_TYPE = SLOT["dl_type"]
_TAGS = (b"\x81\x00", b"\x88\xa8")


class NeighbourWatch(LinkWatch[Lldp]):
    """LLDP at the ports of one bridge."""

    protocol = "lldp"

    def _is_wanted(self, port: OfPort) -> bool:
        return port.settings.lldp is not None

    def _make(self, port: OfPort, now_ms: int) -> Lldp:
        assert port.settings.lldp is not None
        return Lldp(port.name, port.settings.lldp, now_ms)

    def _tend(self, machine: Lldp, port: OfPort, now_ms: int) -> bytes | None:
        assert port.settings.lldp is not None
        machine.configure(port.settings.lldp, now_ms)
        machine.run(now_ms)
        own = self._bridge.address_of(port)
        payload = machine.packet(own, now_ms)
        if payload is None:
            return None
        return build.ethernet(GROUP.to_bytes(6, "big"), own, ETH_TYPE, payload)

    def _outlook(self, machine: Lldp, now_ms: int) -> object:
        # Nobody's decisions depend on who the neighbours are.
        return None

    def is_up(self, port: OfPort) -> bool:
        return True

    def _receive(self, machine: Lldp, frame: bytes, now_ms: int) -> None:
        at = 12
        while frame[at : at + 2] in _TAGS:
            at += VLAN_LEN
        machine.receive(frame[at + ETH_LEN - 12 :], now_ms)

    def knows(self, context: Context, port: OfPort) -> bool:
        return port.name in self.machines and _DL_TYPE.get(context.key) == ETH_TYPE


def neighbour_commands(watches: Callable[[], Iterable[NeighbourWatch]]) -> list[Row]:
    """`autoattach/…` over all bridges, whichever is named, as in Open vSwitch."""

    def command(show: Callable[[Lldp], str]) -> Callable[[list[str]], str]:
        def run(args: list[str]) -> str:
            machines = [machine for watch in watches() for machine in watch.machines.values()]
            return "".join(show(machine) for machine in reversed(machines))

        return run

    return [
        ("autoattach/show-isid", "[bridge]", 0, 1, command(Lldp.show_assignments)),
        ("autoattach/statistics", "[bridge]", 0, 1, command(Lldp.show_statistics)),
        ("autoattach/status", "[bridge]", 0, 1, command(Lldp.show)),
    ]
