"""Trace cases that need a whole switch: tunnels, bonds, snooping, meters, port states.

The files in `whole/` are like those of `trace_cases`, but their sections are steps that are done in
order, and commands take the place of the setup:

    # What this is about.
    === daemon real-tunnels
    (devices that are no dummies keep their types; without this section all are dummies)
    === commands
    vsctl add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure
    ofctl -O OpenFlow13 add-meter br0 meter=1,pktps,band=type=drop,rate=5
    appctl ovs/route/add 1.1.2.92/24 br0
    === flows BRIDGE
    === trace BRIDGE FLOW [...]
    === packet-out BRIDGE FLOW ACTIONS
    === 3.7 REASON

What is expected was recorded from Debian's ovs-vswitchd:

    NETLOOM_RECORD_TRACES=1 pytest tests/interop/test_whole_traces_peer.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trace_cases import command_of, with_port_names, without_flood_order

if TYPE_CHECKING:
    from trace_peers import TracePeer

WHOLE_FILES = sorted((Path(__file__).parent / "whole").glob("*.txt"))
_TRACES = ("trace", "packet-out")


class WholeCase:
    """One file: a comment and (head, body) of its sections."""

    def __init__(self, text: str) -> None:
        self.comment, *sections = re.split(r"^=== ", text, flags=re.MULTILINE)
        self.sections = [section.partition("\n")[::2] for section in sections]

    @property
    def has_real_tunnels(self) -> bool:
        return ("daemon real-tunnels", "") in [(head, body.strip()) for head, body in self.sections]

    def run(self, switch: TracePeer) -> list[str]:
        """Do all steps; returns what each trace said."""
        said = []
        for head, body in self.sections:
            kind, _, rest = head.partition(" ")
            if kind == "commands":
                for line in filter(None, body.splitlines()):
                    _perform(switch, line)
            elif kind == "flows":
                switch.run("ovs-ofctl", "del-flows", rest)
                switch.run("ovs-ofctl", "-OOpenFlow15", "add-flows", rest, "-", stdin=body)
            elif kind in _TRACES:
                text = switch.appctl(*command_of(head))
                said.append(with_port_names(text, switch.dp_ports()))
        return said

    def expected(self) -> list[tuple[str, str, str]]:
        """(head, what 3.1 says, what a switch of today says) of each trace."""
        found: list[tuple[str, str, str]] = []
        for head, body in self.sections:
            text = body.rstrip("\n")
            if head.startswith(_TRACES):
                found.append((head, text, text))
            elif head.startswith("3.7"):
                found[-1] = (*found[-1][:2], text)
        return found

    def recorded(self, said: list[str]) -> str:
        """The text of the file with these answers."""
        answers = iter(said)
        parts = [self.comment]
        for head, body in self.sections:
            text = next(answers) + "\n\n" if head.startswith(_TRACES) else body
            parts.append(f"=== {head}\n{text}")
        return "".join(parts).rstrip("\n") + "\n"


def _perform(switch: TracePeer, line: str) -> None:
    tool, *words = line.split()
    if tool == "appctl":
        switch.control(*words)
    else:
        switch.run(f"ovs-{tool}", *words)


def comparable(text: str) -> str:
    """A trace without what is no promise."""
    return without_flood_order(text)
