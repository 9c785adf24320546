"""Which tunnel option is which `tun_metadata` field: a bridge's TLV table (ovs-ofctl(8),
"add-tlv-map").

Options are Geneve's, named by class and type. All of the fields that are mapped share 256 bytes. A
change of several entries is made whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from netloom.openflow import messages_nx as nx
from netloom.openflow.errors import OpenFlowError

MAX_FIELDS = 64
OPTION_SPACE = 256


class TlvTable:
    """The maps of one bridge, by number of the field."""

    def __init__(self) -> None:
        self._maps: dict[int, nx.TlvMap] = {}
        #: Grows with every change.
        self.generation = 0

    def get(self, index: int) -> nx.TlvMap | None:
        return self._maps.get(index)

    def find(self, option_class: int, option_type: int) -> nx.TlvMap | None:
        """The field of an option."""
        for each in self._maps.values():
            if (each.option_class, each.option_type) == (option_class, option_type):
                return each
        return None

    def __iter__(self) -> Iterator[nx.TlvMap]:
        return iter([self._maps[index] for index in sorted(self._maps)])

    def apply(self, mod: nx.TlvTableMod) -> None:
        """Carry out a change; raises OpenFlowError and changes nothing if it cannot be."""
        before = dict(self._maps)
        try:
            if mod.command == nx.NXTTMC_CLEAR:
                self._maps.clear()
            for each in mod.maps:
                if mod.command == nx.NXTTMC_ADD:
                    self._add(each)
                elif mod.command == nx.NXTTMC_DELETE:
                    self._maps.pop(each.index, None)
        except OpenFlowError:
            self._maps = before
            raise
        self.generation += 1

    def _add(self, new: nx.TlvMap) -> None:
        if new.index in self._maps:
            raise OpenFlowError("NXTTMFC_ALREADY_MAPPED")
        if self.find(new.option_class, new.option_type) is not None:
            raise OpenFlowError("NXTTMFC_DUP_ENTRY")
        used = sum(each.option_len for each in self._maps.values())
        if used + new.option_len > OPTION_SPACE:
            raise OpenFlowError("NXTTMFC_TABLE_FULL")
        self._maps[new.index] = new
