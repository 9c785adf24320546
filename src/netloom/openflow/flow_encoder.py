"""Many flow mods to bytes: as `codec.encode_message` does, with what is the same done once.

Flows of a file share lists of actions (`flow_memory`): their bytes are kept while the flows live.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.openflow import protocol as p
from netloom.openflow.codec import finish
from netloom.openflow.codec_flows import encode_flow_actions, encode_flow_mod
from netloom.openflow.message_table import head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.openflow import messages as m
    from netloom.openflow.actions import Action

_CONTEXT: Final = SLOT["nw_proto"].mask | VLAN_CFI << SLOT["vlan_tci"].shift


class FlowEncoder:
    """Encodes flow mods in one protocol (a `protocol.P_*`)."""

    __slots__ = ("_actions", "_heads", "_protocol", "_version")

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._version = p.VERSION[protocol]
        #: By identity of the list, which is held here, and by what else its bytes depend on.
        self._actions: dict[tuple[int, int], tuple[tuple[Action, ...], bytes]] = {}
        self._heads: dict[str, bytes] = {}

    def encode(self, flow: m.FlowMod, xid: int) -> bytes:
        """The message; errors as of `encode_message`."""
        key = id(flow.actions), flow.match.value & _CONTEXT
        known = self._actions.get(key)
        if known is None:
            known = flow.actions, encode_flow_actions(flow, self._version)
            self._actions[key] = known
        name, body = encode_flow_mod(flow, self._version, self._protocol, known[1])
        start = self._heads.get(name)
        if start is None:
            start = self._heads[name] = bytes(head(name, self._version))
        return finish(bytearray(start) + body, xid)
