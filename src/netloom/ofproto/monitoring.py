"""BFD on a bridge: sessions of its interfaces and their packets.

`protocols.bfd` decides; bonds use only members whose session forwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.flow.fields import SLOT
from netloom.flow.hashes import hash_bytes
from netloom.ofproto.link_watch import LinkWatch, Words
from netloom.packet import build
from netloom.packet.headers import ETH_LEN, ETH_TYPE_IP, IPPROTO_UDP, UDP_LEN
from netloom.protocols.bfd import PORT, SOURCE_PORT, Bfd, BfdSettings

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context

_DL_DST, _DL_TYPE, _NW_PROTO = SLOT["dl_dst"], SLOT["dl_type"], SLOT["nw_proto"]
_TP_DST, _TUN_ID = SLOT["tp_dst"], SLOT["tun_id"]
_NW_DST = SLOT["nw_dst"]
#: Where a session has not been given another one, packets for any address are its own.
_USUAL_SRC_IP = BfdSettings().src_ip
_TTL_AT = ETH_LEN + 8
#: Low delay, high throughput.
_TOS = 0x18
BFD_WORDS = Words(
    "bfd", "set-forwarding", "no such bfd object", "no such BFD object", "---- {} ----\n"
)


class Monitoring(LinkWatch[Bfd]):
    """The sessions of one bridge, by interface."""

    protocol = "bfd"

    def _is_wanted(self, port: OfPort) -> bool:
        return port.settings.bfd is not None

    def _make(self, port: OfPort, now_ms: int) -> Bfd:
        assert port.settings.bfd is not None
        number = hash_bytes(f"{self._bridge.name} {port.name}".encode(), 0) or 1
        return Bfd(port.name, number, port.settings.bfd, self._counter(port.name))

    def _tend(self, machine: Bfd, port: OfPort, now_ms: int) -> bytes | None:
        assert port.settings.bfd is not None
        machine.configure(port.settings.bfd, now_ms)
        payload = machine.packet(now_ms)
        machine.run(now_ms)
        return None if payload is None else self._frame(machine, port, payload)

    def _frame(self, bfd: Bfd, port: OfPort, payload: bytes) -> bytes:
        settings = bfd.settings
        source, target = settings.src_ip.to_bytes(4, "big"), settings.dst_ip.to_bytes(4, "big")
        datagram = build.udp(source, target, SOURCE_PORT, PORT, payload)
        packet = build.ipv4(source, target, IPPROTO_UDP, datagram, ttl=255, tos=_TOS)
        mac = settings.local_src_mac.to_bytes(6, "big")
        own = mac if settings.local_src_mac else self._bridge.address_of(port)
        return build.ethernet(settings.local_dst_mac.to_bytes(6, "big"), own, ETH_TYPE_IP, packet)

    def _is_oam(self, machine: Bfd) -> bool:
        return machine.settings.oam

    def _outlook(self, machine: Bfd, now_ms: int) -> object:
        # Whoever asks makes it look.
        machine.is_forwarding(now_ms)
        return machine.changes

    def is_up(self, port: OfPort) -> bool:
        bfd = self.machines.get(port.name)
        # One that is still to be made is down.
        return bfd is not None and bfd.is_forwarding(self._bridge.backer.clock.now_ms())

    def status(self, name: str) -> dict[str, str]:
        """Interface.bfd_status; empty without a session."""
        bfd = self.machines.get(name)
        return {} if bfd is None else bfd.status(self._bridge.backer.clock.now_ms())

    def _receive(self, machine: Bfd, frame: bytes, now_ms: int) -> None:
        data = ETH_LEN + (frame[ETH_LEN] & 0xF) * 4 + UDP_LEN
        machine.receive(frame[data:], frame[_TTL_AT], now_ms)

    def knows(self, context: Context, port: OfPort) -> bool:
        bfd = self.machines.get(port.name)
        if bfd is None:
            return False
        key, wanted = context.key, bfd.settings.remote_dst_mac
        if wanted:
            context.mask |= _DL_DST.mask
            if _DL_DST.get(key) != wanted:
                return False
        if _DL_TYPE.get(key) != ETH_TYPE_IP:
            return False
        context.mask |= _NW_PROTO.mask
        if _NW_PROTO.get(key) != IPPROTO_UDP or context.is_later_fragment:
            return False
        if other := _TP_DST.get(key) ^ PORT:
            # One bit that differs says enough.
            context.mask |= 1 << _TP_DST.shift + other.bit_length() - 1
            return False
        context.mask |= _TP_DST.mask
        own_ip = bfd.settings.src_ip
        if own_ip == _NW_DST.get(key):
            context.mask |= _NW_DST.mask
        elif own_ip != _USUAL_SRC_IP:
            return False
        if bfd.settings.check_tunnel_key:
            context.mask |= _TUN_ID.mask
        return not (bfd.settings.check_tunnel_key and _TUN_ID.get(key))
