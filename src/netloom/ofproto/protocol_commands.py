"""Commands of what ports may speak with their neighbours that need no bridge. One row a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netloom.base.errors import CommandError
from netloom.flow.address import parse_mac
from netloom.protocols.bond import hash_source

Handler = Callable[[list[str]], str]

_BUCKETS = 0xFF


class ProtocolCommand(NamedTuple):
    """A command as a daemon registers it."""

    name: str
    usage: str
    min_args: int
    max_args: int
    handler: Handler


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


COMMANDS: tuple[ProtocolCommand, ...] = (
    ProtocolCommand("bond/hash", "mac [vlan] [basis]", 1, 3, _bond_hash),
)  # fmt: skip
