"""Answering what the data path hands up.

A miss is translated, its flow installed (so that the next packet like it does not come up), and the
packet executed with the same actions. A packet that a `controller` action sent up becomes a
packet-in.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, cast

from netloom.base.log import WARN, get_logger
from netloom.datapath.dpif import Upcall
from netloom.datapath.dpif_log import execute
from netloom.flow.fields import KEY_MASK, SLOT
from netloom.flow.key import CT_MASK, CT_STATE_MASK
from netloom.flow.ports import NONE
from netloom.ofproto.exporters import EXPORTED, export
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.context import RECURSION, RESUBMITS
from netloom.ofproto.translate.finish import datapath_mask
from netloom.ofproto.translate.small import TCP_FLAGS, credit_all
from netloom.ofproto.tunnels import TUNNEL_DST_MASK
from netloom.openflow.continuations import Continuation
from netloom.packet.offload import finish_offload

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

log: Final = get_logger("ofproto_dpif_upcall")

IN_PORT: Final = SLOT["in_port"]
_HAS_OPTIONS: Final = SLOT["tun_opt_present"].mask
_RECIRC_ID: Final = SLOT["recirc_id"]
_ETH_SRC: Final = SLOT["dl_src"]
#: Of flows without wildcards: all there is, and of `ct_state` the bits that have names.
_EXACT: Final = SLOT["ct_state"].put(KEY_MASK, 0xFF)
_THREAD: Final = attrgetter("thread")
#: Coverage counter of packets from ports that no bridge has.
DROP_UNKNOWN_PORT: Final = "upcall_unknown_port"


def origin(backer: Backer, key: int) -> tuple[Ofproto, int] | None:
    """The bridge where a packet of the data path comes in, and its key there; None if nobody has
    its port. One that comes back may have come from no port: a controller sent it."""
    port = _tunnel_before(backer, key) or backer.port_of(key)
    if port is not None:
        if key & _HAS_OPTIONS:
            key = port.bridge.tlv_table.unpack(key)
        return port.bridge, IN_PORT.put(key, port.number)
    state = backer.recirculations.find(_RECIRC_ID.get(key))
    bridge = backer.bridges.get(state.bridge) if state is not None else None
    return None if bridge is None else (bridge, IN_PORT.put(key, NONE))


def _tunnel_before(backer: Backer, key: int) -> OfPort | None:
    """The tunnel that a packet came through before it came back here: by what it is now (it may
    have got an Ethernet header since) it need not be one of that tunnel's."""
    if not key & TUNNEL_DST_MASK or not (number := _RECIRC_ID.get(key)):
        return None
    state = backer.recirculations.find(number)
    bridge = backer.bridges.get(state.bridge) if state is not None else None
    if state is None or bridge is None:
        return None
    port = bridge.ports_by_number.get(IN_PORT.get(state.metadata))
    return port if port is not None and port.tunnel is not None else None


class Upcalls:
    """Handles the upcalls of one backer."""

    def __init__(self, backer: Backer) -> None:
        self._backer = backer
        self.enable_megaflows = True
        #: How many were more than a miss of a known kind, which nobody hears of, of how many.
        self.n_thorough = self.n_handled = 0
        backer.events.translated.follow(lambda: self.n_handled - self.n_thorough)

    def handle(self, upcalls: list[Upcall], now_ms: int) -> None:
        self._backer.follow_tables(now_ms)
        polling = self._backer.dpif.polling
        if polling is None or not polling.has_threads:
            self._handle(upcalls, now_ms)
        else:
            # Each thread's in its own name.
            for thread, group in groupby(upcalls, _THREAD):
                batch = list(group)
                polling.serve(thread, len(batch))
                self._handle(batch, now_ms)
            polling.serve(None)
        self._backer.dpif.flush()

    def _handle(self, upcalls: list[Upcall], now_ms: int) -> None:
        self.n_handled += len(upcalls)
        for upcall in upcalls:
            if upcall.kind == "miss":
                self._miss(upcall, now_ms)
                continue
            self.n_thorough += 1
            self._backer.events.extracted.add()
            if upcall.kind == "controller":
                self._to_controller(upcall, now_ms)
            elif upcall.kind == "slow_path":
                self._slow_path(upcall, now_ms)
            elif upcall.kind == "adopt":
                self._adopt(upcall, now_ms)
            elif upcall.kind in EXPORTED:
                export(self._backer, upcall, now_ms)
            else:
                log.warn_rl("upcall of unknown kind %s", upcall.kind)

    def _miss(self, upcall: Upcall, now_ms: int) -> None:
        backer = self._backer
        key = upcall.key
        result = backer.shortcuts.find(key, now_ms, len(upcall.packet))
        if result is None:
            self._translate_miss(upcall, now_ms)
            return
        backer.dpif.execute(upcall.packet, key, result.actions, upcall.offload, True)
        mask = result.mask if self.enable_megaflows else _EXACT
        backer.revalidator.install(key, mask, result, now_ms)

    def _translate_miss(self, upcall: Upcall, now_ms: int) -> None:
        """The long road."""
        self.n_thorough += 1
        backer = self._backer
        is_wanted = backer.shortcuts.wants
        found = origin(backer, upcall.key)
        if found is None:
            backer.counters.counter(DROP_UNKNOWN_PORT).add()
            log.info_rl("received packet on unassociated datapath port %d",
                        IN_PORT.get(upcall.key))  # fmt: skip
            return
        bridge, key = found
        result = translate(bridge, key, now_ms, packet=upcall.packet)
        if result.error in (RECURSION, RESUBMITS):
            self._explain(bridge, key, now_ms)
        flags = TCP_FLAGS.get(upcall.key)
        credit_all(result.credits, 1, len(upcall.packet), now_ms, flags)
        # No actions are executed too: the data path counts the drop.
        backer.dpif.execute(
            upcall.packet, upcall.key, result.actions, upcall.offload, from_upcall=True
        )
        mask = datapath_mask(result.mask)
        if is_wanted:
            backer.shortcuts.keep(bridge, key, upcall.key, result, now_ms, mask)
        # Tables may have learned from the packet.
        backer.follow_tables(now_ms)
        if not self.enable_megaflows:
            mask = _EXACT
        backer.revalidator.install(upcall.key, mask, result, now_ms)

    def _explain(self, bridge: Ofproto, key: int, now_ms: int) -> None:
        """Have the log tell how a packet went around in the tables."""
        if log.admits(WARN, "traces", 1, 1):
            from netloom.ofproto.trace import trace_flow

            log.warn("%s", trace_flow(bridge, key, now_ms))

    def _adopt(self, upcall: Upcall, now_ms: int) -> None:
        """Say what a flow should do that the data path has from before this daemon. There is no
        packet to execute, but MAC addresses are learned as from one (if the flow knows them); its
        counters go on."""
        found = origin(self._backer, upcall.key)
        if found is not None:
            knows_source = bool(_ETH_SRC.get(upcall.key))
            result = translate(*found, now_ms, side_effects=knows_source)
            mask = datapath_mask(result.mask) if self.enable_megaflows else _EXACT
            self._backer.revalidator.install(upcall.key, mask, result, now_ms)

    def _slow_path(self, upcall: Upcall, now_ms: int) -> None:
        """Do for one packet what the data path cannot; its flow has counted it."""
        backer = self._backer
        found = origin(backer, upcall.key)
        if found is not None:
            result = translate(*found, now_ms, packet=upcall.packet)
            execute(backer.dpif, upcall.packet, upcall.key, result.actions, upcall.offload)
            backer.recirculations.release(result.recirc_ids, now_ms)

    def _to_controller(self, upcall: Upcall, now_ms: int) -> None:
        (reason, _, is_pause, recirc_id, cookie, controller_id, max_len, name, table_id, metadata,
         userdata) = upcall.cookie  # fmt: skip
        bridge = self._backer.bridges.get(cast(str, name))
        if bridge is None:
            return
        known = cast(int, metadata)
        if known & CT_STATE_MASK:
            # What the flow was made for is known by its first packet, the connection by each.
            known = known & ~CT_MASK | upcall.key & CT_MASK
        packet = upcall.packet
        if upcall.offload is not None:
            packet = finish_offload(packet, upcall.offload)[0]
        bridge.connections.send_packet_in(
            packet,
            known,
            reason=cast(int, reason),
            table_id=cast(int, table_id),
            cookie=cast(int, cookie),
            max_len=cast(int, max_len),
            controller_id=cast(int, controller_id),
            userdata=cast(bytes, userdata),
            continuation=self._continuation(upcall, cast(int, recirc_id)) if is_pause else None,
            now_ms=now_ms,
        )

    def _continuation(self, upcall: Upcall, recirc_id: int) -> Continuation | None:
        """What the controller sends back to have the paused packet go on."""
        state = self._backer.recirculations.find(recirc_id)
        if state is None:
            return None
        bridge = self._backer.bridges[state.bridge]
        mirrored = bridge.mirrors.bits_of(state.bridge, state.mirrored)
        return Continuation(
            bridge.uuid, state.stack, mirrored, state.conntracked, state.actions,
            state.action_set, IN_PORT.get(upcall.key),
        )  # fmt: skip
