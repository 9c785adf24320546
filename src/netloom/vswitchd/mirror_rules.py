"""Mirror rows -> `MirrorSettings` (ovs-vswitchd.conf.db(5), Mirror table).

A mirror that says not, or wrongly, where its packets go is left out with a complaint; ports that
the bridge does not have are left out of its selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netloom.base.errors import ConfigError
from netloom.flow.fields import SLOT
from netloom.flow.match import Match
from netloom.flow.text import parse_flow, parse_match
from netloom.ofproto.settings import MirrorSettings
from netloom.ovsdb.row import Row

_IN_PORT = SLOT["in_port"]
#: How many mirrors a bridge has at most.
MAX_MIRRORS = 32


class MirrorRules:
    """Reads the mirrors of one bridge, whose ports are `ports`; `complain` takes (level, module,
    text)."""

    def __init__(
        self,
        bridge: str,
        ports: frozenset[str],
        refs: Callable[[Row, str], list[Row]],
        complain: Callable[[str, str, str], None],
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
                "bridge",
                f"bridge {self._bridge}: maximum of {MAX_MIRRORS} port mirrors reached, "
                f"cannot create {mirror.name}",
            )
        return tuple(found[:MAX_MIRRORS])

    def _complain_of(self, row: Row, level: str, text: str) -> None:
        name = row.text("name")
        self._complain(level, "bridge", f"bridge {self._bridge}: mirror {name} {text}")

    def _mirror(self, row: Row) -> MirrorSettings | None:
        output = self._output(row)
        if output is None:
            return None
        try:
            match = self._filter(row)
        except ConfigError as error:
            # The reason is in both, so that each new one is logged with whose it is.
            self._complain("warn", "ofproto_dpif_mirror", str(error))
            self._complain_of(row, "err", f"configuration is invalid: {error}")
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
                self._complain_of(row, "err", "outputs to port not on bridge")
                return None
            if vlan is not None:
                text = "specifies both output port and output vlan; ignoring output vlan"
                self._complain_of(row, "err", text)
            return port.text("name"), 0
        if vlan is None:
            self._complain_of(row, "err", "does not specify output; ignoring")
            return None
        return "", vlan

    def _selected(self, row: Row, column: str) -> frozenset[str]:
        names = [port.text("name") for port in self._refs(row, column)]
        for name in names:
            if name not in self._ports:
                self._complain_of(row, "warn", f"cannot match on nonexistent port {name}")
        return self._ports.intersection(names)

    def _filter(self, row: Row) -> Match | None:
        """The filter; None for all packets (a column of schema 8.7 and later)."""
        text = row.opt_text("filter") if "filter" in row.data else None
        if not text:
            return None
        ports = dict.fromkeys(self._ports, 1)
        try:
            match = parse_match(text, ports)
        except ConfigError as error:
            raise ConfigError(f"filter is invalid: {_flow_problem(text, ports) or error}") from None
        if match.mask & _IN_PORT.mask:
            raise ConfigError("filter is invalid due to in_port field.")
        return match


def _flow_problem(text: str, ports: dict[str, int]) -> str:
    """What is wrong with a filter if it is read as Open vSwitch does, as a flow without masks."""
    try:
        parse_flow(text, ports)
    except ConfigError as error:
        return str(error)
    return ""
