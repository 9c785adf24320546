"""Records of actions that change what a packet starts with: Ethernet, NSH, labels in front of all.

A header goes on as it is (`PUSH_LAYER`): its first eight bytes are in that record, the others in
records before it. Of a header of MD type 2 that may be 31 of them.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.spec import ACTION, OP
from netloom.packet.headers import ETH_TYPE_NSH
from netloom.packet.nsh import build_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_WORD: Final = 8

Layer = dp.PushEth | dp.PopEth | dp.PushNsh | dp.PopNsh | dp.AddMpls


def layer_records(action: Layer) -> list[bytes]:
    """The records, of which the last may be left to user space."""
    match action:
        case dp.PushNsh():
            header = build_header(
                action.flags, action.ttl, action.md_type, action.protocol, action.path,
                action.context,
            )  # fmt: skip
            return _push(ETH_TYPE_NSH, header)
        case dp.AddMpls():
            return _push(action.ethertype, action.lse.to_bytes(4, "big"))
        case dp.PushEth():
            front = action.dst.to_bytes(6, "big") + action.src.to_bytes(6, "big")
            first, rest = _number(front[:_WORD]), _number(front[_WORD:])
            return [ACTION.pack(OP["PUSH_ETHERNET"], 0, 0, rest, first)]
        case dp.PopEth():
            return [ACTION.pack(OP["POP_ETHERNET"], 0, 0, 0, 0)]
        case dp.PopNsh():
            return [ACTION.pack(OP["POP_NSH"], 0, 0, 0, 0)]


def _push(eth_type: int, header: bytes) -> list[bytes]:
    words = [_number(header[at : at + _WORD]) for at in range(0, len(header), _WORD)]
    kind = _number(eth_type.to_bytes(2, "big"))
    data = [
        ACTION.pack(OP["LAYER_DATA"], 0, place, 0, word)
        for place, word in enumerate(words)
        if place
    ]
    return [*data, ACTION.pack(OP["PUSH_LAYER"], 0, len(header), kind, words[0])]


def _number(data: bytes) -> int:
    """Bytes of a packet as the machine holds them."""
    return int.from_bytes(data, "little")
