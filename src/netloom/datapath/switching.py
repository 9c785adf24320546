"""What a data path is told of a bridge that it runs by itself, and what it says of it.

Such a bridge is a learning switch with VLANs and nothing else. The data path keeps the addresses;
whoever wants to know asks for them. Ports are data-path ports, VLANs those inside of the bridge (0
for none), times `now_ms`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from netloom.base.record import Record

#: What a member does with the tag of what it sends: none ever (an access port), none for the
#: member's own VLAN, always the packet's.
NEVER, NATIVE, ALWAYS = range(3)


class SwitchMember(Record):
    """A port of a switch. `vlan` is that of packets without a tag (0: none). Bit n of `admits`:
    packets come in whose tag says n (0 for none); of `carries`: packets of VLAN n are flooded
    here."""

    port: int
    vlan: int = 0
    admits: int = 1
    carries: int = 1
    tags: int = ALWAYS
    floods: bool = True
    is_protected: bool = False


class SwitchConfig(Record):
    """A switch: at most `max_entries` addresses are learned; `forwards_bpdus`: group addresses
    that bridges keep to themselves are forwarded."""

    members: tuple[SwitchMember, ...] = ()
    max_entries: int = 8_192
    forwards_bpdus: bool = False


class Address(NamedTuple):
    """An entry of a switch's table."""

    mac: int
    vlan: int
    port: int
    used_ms: int
    is_static: bool


class Totals(NamedTuple):
    """How often a switch has learned an address, found it at another port, had no room for it."""

    learned: int = 0
    moved: int = 0
    refused: int = 0


class Switching(Protocol):
    """The switches of one data path, by number."""

    @property
    def is_waiting(self) -> bool:
        """Are ports of an earlier daemon there that nobody has asked for yet?"""

    def supports(self, config: SwitchConfig) -> str:
        """Why the data path cannot do that; "" if it can."""

    def number_of(self, name: str) -> int:
        """The number of the switch of that name, a new one if need be; -1 if there is no room."""

    def configure(self, number: int, config: SwitchConfig) -> None:
        """Have the switch be so, from the next packet on."""

    def remove(self, number: int) -> None:
        """Forget the switch and its addresses."""

    def totals(self, number: int) -> Totals: ...

    def addresses(self, number: int, now_ms: int) -> list[Address]: ...

    def put(self, number: int, address: Address, now_ms: int) -> None:
        """Have an entry of the table be so."""

    def delete(self, number: int, mac: int, vlan: int) -> None: ...
