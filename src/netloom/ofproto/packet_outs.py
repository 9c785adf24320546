"""Packets that controllers send: what becomes of them is decided as of any packet, by translation.

Controllers often send packet after packet with the same list of actions. Where that list only
sends to controllers and to ports, and translation shows that nothing else came of it (nobody was
credited, no tunnel, no other bridge), the next such packet from the same port with the same
metadata is treated alike, as long as nothing was configured meanwhile: the decision is kept, a few
of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from netloom.datapath import actions as dp
from netloom.datapath.dpif_log import execute
from netloom.flow import ports as reserved
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT, TUN_OPTIONS_MASK
from netloom.flow.key import METADATA_ALL_MASK
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.small import TCP_FLAGS, credit_all
from netloom.openflow import actions as a

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.translate import Translated
    from netloom.openflow.messages import PacketOut

_IN_PORT: Final = SLOT["in_port"]
_METADATA: Final = METADATA_ALL_MASK | TUN_OPTIONS_MASK
_MAX_KEPT: Final = 64
#: Ports whose meaning is a matter of tables and addresses.
_LOOKED_UP: Final = (reserved.NORMAL, reserved.TABLE)


class _Decision:
    """What was decided, for which list of actions, when, and for which packets."""

    __slots__ = ("actions", "generation", "mask", "result", "value")

    def __init__(
        self, actions: a.Actions, generation: tuple[int, int], key: int, result: Translated
    ) -> None:
        self.actions = actions
        self.generation = generation
        self.result = result
        self.mask = result.mask | _METADATA
        self.value = key & self.mask


class PacketOuts:
    """Those of one bridge."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        #: By identity of the actions, which the decision keeps alive, and input port.
        self._decided: dict[tuple[int, int], _Decision] = {}
        #: Did packets go anywhere but to controllers? Who asks sets it back.
        self.has_sent = False

    def decide(self, message: PacketOut, now_ms: int, *, side_effects: bool) -> Callable[[], None]:
        """Decide by the tables as they are now; what is returned sends the packet."""
        bridge = self._bridge
        match = message.match
        in_port = _IN_PORT.get(match.value)
        key = extract_key(
            message.packet,
            in_port,
            match.value & ~_IN_PORT.mask,
            bridge.backer.dpif.vlan_limit,
        )
        result = self._translate(message.actions, in_port, key, now_ms, side_effects)

        def send() -> None:
            if result.credits:
                flags = TCP_FLAGS.get(key)
                credit_all(result.credits, 1, len(message.packet), now_ms, flags)
            if result.actions:
                self.has_sent = self.has_sent or not _is_for_controller(result.actions)
                port = bridge.ports_by_number.get(in_port)
                dp_port = port.dp_port if port is not None else -1
                base = key & ~_IN_PORT.mask | dp_port & _IN_PORT.ones
                execute(bridge.backer.dpif, message.packet, base, result.actions)

        return send

    def _translate(
        self, actions: a.Actions, in_port: int, key: int, now_ms: int, side_effects: bool
    ) -> Translated:
        backer = self._bridge.backer
        generation = backer.generations
        name = (id(actions), in_port)
        known = self._decided.get(name)
        if (
            known is not None
            and known.actions is actions
            and known.generation == generation
            and key & known.mask == known.value
        ):
            return known.result
        result = translate(self._bridge, key, now_ms, actions=actions, side_effects=side_effects)
        backer.recirculations.release(result.recirc_ids, now_ms)
        if side_effects and self._bridge.exporters is None and _is_plain(actions, result):
            if len(self._decided) >= _MAX_KEPT:
                self._decided.clear()
            self._decided[name] = _Decision(actions, generation, key, result)
        return result


def _is_for_controller(actions: dp.DpActions) -> bool:
    action = actions[0]
    return len(actions) == 1 and type(action) is dp.Userspace and action.kind == "controller"


def _is_plain(actions: a.Actions, result: Translated) -> bool:
    """Does this come of every such packet, and nothing else?"""
    return (
        all(type(action) is a.Output and action.port not in _LOOKED_UP for action in actions)
        and not (result.credits or result.mac_lookups or result.slow or result.error)
        and all(type(action) in (dp.Output, dp.Userspace) for action in result.actions)
    )
