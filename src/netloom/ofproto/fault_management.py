"""CFM on a bridge: maintenance points of its interfaces and their packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.flow.fields import SLOT
from netloom.ofproto.link_watch import LinkWatch, Words
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, ETH_TYPE_VLAN_8021Q, VLAN_LEN
from netloom.protocols.cfm import ETH_TYPE, EXTENDED_GROUP, GROUP, Cfm

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

_DL_DST, _DL_TYPE, _TUN_ID = SLOT["dl_dst"], SLOT["dl_type"], SLOT["tun_id"]
CFM_WORDS = Words("cfm", "set-fault", "no such CFM object", "no such CFM object")


class FaultManagement(LinkWatch[Cfm]):
    """The points of one bridge, by interface."""

    protocol = "cfm"

    def _is_wanted(self, port: OfPort) -> bool:
        return port.settings.cfm is not None

    def _make(self, port: OfPort, now_ms: int) -> Cfm:
        assert port.settings.cfm is not None
        return Cfm(port.name, port.settings.cfm, self._counter(port.name), now_ms)

    def _tend(self, machine: Cfm, port: OfPort, now_ms: int) -> bytes | None:
        assert port.settings.cfm is not None
        machine.configure(port.settings.cfm, now_ms)
        payload = machine.packet(now_ms)
        machine.run(now_ms)
        if payload is None:
            return None
        group = EXTENDED_GROUP if machine.settings.extended else GROUP
        tci = machine.vlan_tag()
        tags = ((ETH_TYPE_VLAN_8021Q, tci),) if tci else ()
        own = self._bridge.address_of(port)
        return build.ethernet(group.to_bytes(6, "big"), own, ETH_TYPE, payload, tags)

    def _outlook(self, machine: Cfm, now_ms: int) -> object:
        cfm = machine
        return cfm.fault, cfm.remote_mpids, cfm.remote_opup, cfm.health, cfm.n_flaps

    def is_up(self, port: OfPort) -> bool:
        cfm = self.machines.get(port.name)
        return cfm is None or cfm.is_up

    def _receive(self, machine: Cfm, frame: bytes, now_ms: int) -> None:
        tag = VLAN_LEN if frame[12:14] != ETH_TYPE.to_bytes(2, "big") else 0
        machine.receive(frame[ETH_LEN + tag :], now_ms)

    def knows(self, context: Context, port: OfPort) -> bool:
        cfm = self.machines.get(port.name)
        if cfm is None:
            return False
        key = context.key
        if _DL_TYPE.get(key) != ETH_TYPE:
            return False
        context.mask |= _DL_DST.mask
        if _DL_DST.get(key) != (EXTENDED_GROUP if cfm.settings.extended else GROUP):
            return False
        if cfm.settings.check_tunnel_key:
            context.mask |= _TUN_ID.mask
        return not (cfm.settings.check_tunnel_key and _TUN_ID.get(key))
