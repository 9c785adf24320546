"""Auto-Attach's VLANs become trunks: what a bridge's AutoAttach row maps, its ports with LLDP have.

As in Open vSwitch, that is written into the Port rows, where people see it: `trunks` grows and
shrinks with the mappings, and `vlan_mode` becomes `trunk` with the first VLAN and `access` with the
last. Only changes of the mappings change anything; a bridge that loses its row keeps what it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.ovsdb.idl import Idl
from netloom.ovsdb.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netloom.ovsdb.types import Datum

    Columns = dict[str, Datum]


class AttachedVlans:
    """Remembers which VLANs ports were given."""

    def __init__(self, idl: Idl) -> None:
        self._idl = idl
        #: By bridge and port.
        self._given: dict[tuple[str, str], frozenset[int]] = {}
        self._confirmed = self._given

    def differences(self, mappings: tuple[tuple[int, int], ...]) -> dict[Row, Columns]:
        """What is to be written; `mappings` are (I-SID, VLAN) of all rows."""
        found: dict[Row, Columns] = {}
        vlans = frozenset(vlan for _, vlan in mappings)
        self._confirmed, self._given = self._given, dict(self._given)
        for bridge, port in self._ports():
            columns = self._port(bridge, port, vlans)
            if columns:
                found[port] = columns
        return found

    def _ports(self) -> Iterator[tuple[Row, Row]]:
        """The bridges that attach by themselves, with each of their ports."""
        for root in self._idl.rows("Open_vSwitch")[:1]:
            for bridge in self._idl.refs(root, "bridges"):
                if bridge.get("auto_attach"):
                    yield from ((bridge, port) for port in self._idl.refs(bridge, "ports"))

    def undo(self) -> None:
        """What was to be written last was not."""
        self._given = self._confirmed

    def _port(self, bridge: Row, port: Row, vlans: frozenset[int]) -> Columns:
        place = bridge.text("name"), port.text("name")
        if place not in self._given and not self._speaks(port):
            return {}
        given = self._given.get(place, frozenset())
        self._given[place] = vlans
        before = set(port.ints("trunks"))
        after = (before | vlans - given) - (given - vlans)
        if after == before:
            return {}
        columns: Columns = {"trunks": tuple(sorted(after))}
        if not before or not after:
            columns["vlan_mode"] = ("trunk" if after else "access",)
        return columns

    def _speaks(self, port: Row) -> bool:
        return any(
            interface.mapping("lldp").get("enable") == "true"
            for interface in self._idl.refs(port, "interfaces")
        )
