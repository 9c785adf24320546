"""Mirror rows -> `MirrorSettings` (ovs-vswitchd.conf.db(5), Mirror table).

A mirror that says not, or wrongly, where its packets go is left out with a complaint; ports that
the bridge does not have are left out of its selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netloom.base.errors import ConfigError
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.ofproto.settings import MirrorSettings
from netloom.ovsdb.row import Row

#: How many mirrors a bridge has at most.
MAX_MIRRORS = 32


class MirrorRules:
    """Reads the mirrors of one bridge, whose ports are `ports`; `complain` takes (level, text)."""

    def __init__(
        self,
        bridge: str,
        ports: frozenset[str],
        refs: Callable[[Row, str], list[Row]],
        complain: Callable[[str, str], None],
    ) -> None:
        self._bridge = bridge
        self._ports = ports
        self._refs = refs
        self._complain = complain

    def read(self, rows: Iterable[Row]) -> tuple[MirrorSettings, ...]:
        ordered = sorted(rows, key=lambda row: str(row.uuid))
        found = [mirror for row in ordered if (mirror := self._mirror(row)) is not None]
        for mirror in found[MAX_MIRRORS:]:
            self._complain(
                "warn",
                f"bridge {self._bridge}: maximum of {MAX_MIRRORS} port mirrors reached, "
                f"cannot create {mirror.name}",
            )
        return tuple(found[:MAX_MIRRORS])

    def _about(self, row: Row) -> str:
        return f"bridge {self._bridge}: mirror {row.text('name')}"

    def _mirror(self, row: Row) -> MirrorSettings | None:
        output = self._output(row)
        if output is None:
            return None
        try:
            match = self._filter(row)
        except ConfigError as error:
            self._complain("warn", f"{self._about(row)}: filter is invalid: {error}")
            return None
        everything = row.flag("select_all")
        return MirrorSettings(
            id=str(row.uuid),
            name=row.text("name"),
            sources=self._ports if everything else self._selected(row, "select_src_port"),
            targets=self._ports if everything else self._selected(row, "select_dst_port"),
            vlans=frozenset(row.ints("select_vlan")),
            output_port=output[0],
            output_vlan=output[1],
            snaplen=row.opt_int("snaplen") or 0,
            filter=match,
        )

    def _output(self, row: Row) -> tuple[str, int] | None:
        vlan = row.opt_int("output_vlan")
        for port in self._refs(row, "output_port"):
            if port.text("name") not in self._ports:
                self._complain("err", f"{self._about(row)} outputs to port not on bridge")
                return None
            if vlan is not None:
                self._complain(
                    "err",
                    f"{self._about(row)} specifies both output port and output vlan; "
                    "ignoring output vlan",
                )
            return port.text("name"), 0
        if vlan is None:
            self._complain("err", f"{self._about(row)} does not specify output; ignoring")
            return None
        return "", vlan

    def _selected(self, row: Row, column: str) -> frozenset[str]:
        names = [port.text("name") for port in self._refs(row, column)]
        for name in names:
            if name not in self._ports:
                self._complain(
                    "warn", f"{self._about(row)} cannot match on nonexistent port {name}"
                )
        return self._ports.intersection(names)

    def _filter(self, row: Row) -> Match | None:
        """The filter; None for all packets (a column of schema 8.7 and later)."""
        text = row.opt_text("filter") if "filter" in row.data else None
        return parse_match(text) if text else None
