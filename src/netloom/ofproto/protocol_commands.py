"""The commands of what ports may speak with their neighbours: bonds, BFD, CFM, STP, RSTP.

As long as no port of the switch speaks one of them, its commands have nothing to show, and name
what they were asked for as missing, in the words of Open vSwitch. One row a command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netloom.base.errors import CommandError
from netloom.flow.address import parse_mac
from netloom.protocols.bond import hash_source

Handler = Callable[[list[str]], str]

_FAULTS = frozenset({"normal", "true", "false"})
_BUCKETS = 0xFF


class ProtocolCommand(NamedTuple):
    """A command as a daemon registers it."""

    name: str
    usage: str
    min_args: int
    max_args: int
    handler: Handler


def _shows(text: str, missing: str) -> Handler:
    """`text` of all; an argument names what is not there."""

    def show(args: list[str]) -> str:
        if args:
            raise CommandError(missing)
        return text

    return show


def _faults(missing: str) -> Handler:
    """Sets a state, the last argument, for all or for one."""

    def set_state(args: list[str]) -> str:
        if args[-1] not in _FAULTS:
            raise CommandError("unknown fault string")
        if len(args) > 1:
            raise CommandError(missing)
        return "OK\n"

    return set_state


def _quiet(args: list[str]) -> str:
    """What bridges without auto-attach say."""
    return ""


def _bond_hash(args: list[str]) -> str:
    numbers = []
    for name, text in zip(("vlan", "basis"), args[1:], strict=False):
        if not text.isascii() or not text.isdigit():
            raise CommandError(f"invalid {name}")
        numbers.append(int(text))
    mac = parse_mac(args[0])
    if mac is None:
        raise CommandError("invalid mac")
    vlan, basis = (*numbers, 0, 0)[:2]
    return f"{hash_source(mac, vlan, basis) & _BUCKETS}\n"


_NO_RSTP = "No such RSTP object"
_NO_CFM = "no such CFM object"

COMMANDS: tuple[ProtocolCommand, ...] = (
    ProtocolCommand("autoattach/show-isid", "[bridge]", 0, 1, _quiet),
    ProtocolCommand("autoattach/statistics", "[bridge]", 0, 1, _quiet),
    ProtocolCommand("autoattach/status", "[bridge]", 0, 1, _quiet),
    ProtocolCommand(
        "bfd/set-forwarding", "[interface] normal|false|true", 1, 2, _faults("no such BFD object")
    ),
    ProtocolCommand("bfd/show", "[interface]", 0, 1, _shows("", "no such bfd object")),
    ProtocolCommand("bond/hash", "mac [vlan] [basis]", 1, 3, _bond_hash),
    ProtocolCommand(
        "cfm/set-fault", "[interface] normal|false|true", 1, 2, _faults(_NO_CFM)
    ),
    ProtocolCommand("cfm/show", "[interface]", 0, 1, _shows("", _NO_CFM)),
    ProtocolCommand("rstp/show", "[bridge]", 0, 1, _shows("", _NO_RSTP)),
    ProtocolCommand("rstp/tcn", "[bridge]", 0, 1, _shows("OK\n", _NO_RSTP)),
)  # fmt: skip
