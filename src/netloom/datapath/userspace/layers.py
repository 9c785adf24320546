"""Headers in front of packets, in the data path in Python: Ethernet, NSH, labels.

What a packet starts with is its packet type, which stands in the key that goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.datapath import actions as dp
from netloom.packet import nsh
from netloom.packet.headers import ETH_LEN
from netloom.packet.types import (
    PT_ETHERNET,
    PT_NSH,
    packet_type_of,
    type_of_nsh_protocol,
)

if TYPE_CHECKING:
    from netloom.datapath.userspace.execute import Execution, Step

DROP_NSH: Final = "datapath_drop_nsh_decap_error"


def push_eth(action: dp.PushEth) -> list[Step]:
    """The step of `push_eth`: nothing for a packet that has an Ethernet header."""
    addresses = action.dst.to_bytes(6, "big") + action.src.to_bytes(6, "big")

    def push(execution: Execution) -> None:
        if packet_type := execution.packet_type:
            header = addresses + (packet_type & 0xFFFF).to_bytes(2, "big")
            execution.start_with(header + execution.frozen().data, PT_ETHERNET)

    return [push]


def pop_eth(execution: Execution) -> None:
    """A frame with tags is left alone: its tags are popped before."""
    data = execution.frozen().data
    eth_type = int.from_bytes(data[12:14], "big")
    execution.start_with(data[ETH_LEN:], packet_type_of(eth_type))


def push_nsh(action: dp.PushNsh) -> list[Step]:
    """The step of `push_nsh`."""
    header = nsh.build_header(
        action.flags, action.ttl, action.md_type, action.protocol, action.path, action.context
    )

    def push(execution: Execution) -> None:
        execution.start_with(header + execution.frozen().data, PT_NSH)

    return [push]


def pop_nsh(execution: Execution) -> bool:
    """Drops what is behind no sound header, or is of a kind that nobody knows."""
    if execution.packet_type != PT_NSH:
        return False
    data = execution.frozen().data
    length = nsh.header_length(data)
    packet_type = type_of_nsh_protocol(data[3]) if length else None
    if packet_type is None:
        execution.outlet.drop(DROP_NSH)
        return True
    execution.start_with(data[length:], packet_type)
    return False


def add_mpls(action: dp.AddMpls) -> list[Step]:
    """The step of `add_mpls`: a label in front of the whole packet."""
    label = action.lse.to_bytes(4, "big")

    def add(execution: Execution) -> None:
        execution.start_with(label + execution.frozen().data, packet_type_of(action.ethertype))

    return [add]
