"""Answering what the data path hands up.

A miss is translated, its flow installed (so that the next packet like it does not come up), and the
packet executed with the same actions. A packet that a `controller` action sent up becomes a
packet-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from netloom.base.log import get_logger
from netloom.datapath.dpif import Upcall
from netloom.flow.fields import KEY_MASK, SLOT
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.finish import DATAPATH_MASK
from netloom.packet.offload import finish_offload

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer

log = get_logger("ofproto_dpif_upcall")

IN_PORT = SLOT["in_port"]
_VLAN_TCI = SLOT["vlan_tci"].mask
#: Coverage counter of packets from ports that no bridge has.
DROP_UNKNOWN_PORT = "upcall_unknown_port"


def datapath_mask(mask: int) -> int:
    """The mask that a flow has in the data path: whether there is a VLAN tag is never left open,
    for data paths cannot express that (nor can their text)."""
    mask &= DATAPATH_MASK
    return mask if mask & _VLAN_TCI else mask | _VLAN_TCI


class Upcalls:
    """Handles the upcalls of one backer."""

    def __init__(self, backer: Backer) -> None:
        self._backer = backer
        self.enable_megaflows = True

    def handle(self, upcalls: list[Upcall], now_ms: int) -> None:
        for upcall in upcalls:
            if upcall.kind == "miss":
                self._miss(upcall, now_ms)
            elif upcall.kind == "controller":
                self._to_controller(upcall, now_ms)
            elif upcall.kind == "slow_path":
                self._slow_path(upcall, now_ms)
            elif upcall.kind == "adopt":
                self._adopt(upcall, now_ms)
            else:
                log.warn_rl("upcall of unknown kind %s", upcall.kind)

    def _miss(self, upcall: Upcall, now_ms: int) -> None:
        backer = self._backer
        port = backer.ports.get(IN_PORT.get(upcall.key))
        if port is None:
            backer.counters.counter(DROP_UNKNOWN_PORT).add()
            log.info_rl("received packet on unassociated datapath port %d",
                        IN_PORT.get(upcall.key))  # fmt: skip
            return
        key = IN_PORT.put(upcall.key, port.number)
        result = translate(port.bridge, key, now_ms)
        for target in result.credits:
            target.credit(1, len(upcall.packet), now_ms)
        if result.actions:
            backer.dpif.execute(upcall.packet, upcall.key, result.actions, upcall.offload)
        mask = datapath_mask(result.mask) if self.enable_megaflows else KEY_MASK
        backer.revalidator.install(upcall.key, mask, result, port, now_ms)

    def _adopt(self, upcall: Upcall, now_ms: int) -> None:
        """Say what a flow should do that the data path has from before this daemon. There is no
        packet to execute, but MAC addresses are learned as from one; its counters go on."""
        port = self._backer.ports.get(IN_PORT.get(upcall.key))
        if port is not None:
            key = IN_PORT.put(upcall.key, port.number)
            result = translate(port.bridge, key, now_ms)
            mask = datapath_mask(result.mask) if self.enable_megaflows else KEY_MASK
            self._backer.revalidator.install(upcall.key, mask, result, port, now_ms)

    def _slow_path(self, upcall: Upcall, now_ms: int) -> None:
        """Do for one packet what the data path cannot; its flow has counted it."""
        port = self._backer.ports.get(IN_PORT.get(upcall.key))
        if port is not None:
            key = IN_PORT.put(upcall.key, port.number)
            actions = translate(port.bridge, key, now_ms).actions
            self._backer.dpif.execute(upcall.packet, upcall.key, actions, upcall.offload)

    def _to_controller(self, upcall: Upcall, now_ms: int) -> None:
        (reason, _, _, _, cookie, controller_id, max_len, name, table_id, metadata,
         userdata) = upcall.cookie  # fmt: skip
        bridge = self._backer.bridges.get(cast(str, name))
        if bridge is None:
            return
        packet = upcall.packet
        if upcall.offload is not None:
            packet = finish_offload(packet, upcall.offload)[0]
        bridge.connections.send_packet_in(
            packet,
            cast(int, metadata),
            reason=cast(int, reason),
            table_id=cast(int, table_id),
            cookie=cast(int, cookie),
            max_len=cast(int, max_len),
            controller_id=cast(int, controller_id),
            userdata=cast(bytes, userdata),
            now_ms=now_ms,
        )
