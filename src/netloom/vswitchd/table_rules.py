"""Flow_Table rows -> `TableSettings` (ovs-vswitchd.conf.db(5), Flow_Table table)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD
from netloom.flow.text import parse_subfield
from netloom.ofproto.settings import TableSettings
from netloom.openflow.actions import Subfield
from netloom.ovsdb.row import Row

#: The fields that the classifier can look up by prefix.
PREFIX_FIELDS = frozenset(FIELD[name].name for name in (
    "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "nw_src", "nw_dst",
    "ipv6_src", "ipv6_dst",
))  # fmt: skip
#: Instead of fields: no prefixes are looked up.
NO_PREFIXES = "none"


class TableRules:
    """Reads the tables of one bridge; `complain` takes warnings, `tell` other news."""

    def __init__(
        self, bridge: str, complain: Callable[[str], None], tell: Callable[[str], None]
    ) -> None:
        self._bridge = bridge
        self._complain = complain
        self._tell = tell

    def read(self, rows: Iterable[tuple[int, Row]]) -> tuple[TableSettings, ...]:
        """`rows` are those of the bridge, with the numbers of their tables."""
        return tuple(self._table(number, row) for number, row in sorted(rows, key=lambda r: r[0]))

    def _table(self, number: int, row: Row) -> TableSettings:
        limit = row.opt_int("flow_limit")
        return TableSettings(
            table_id=number,
            name=row.opt_text("name") or "",
            flow_limit=-1 if limit is None else limit,
            evict=row.opt_text("overflow_policy") == "evict",
            groups=self._groups(number, row),
            prefixes=self._prefixes(number, row),
        )

    def _groups(self, number: int, row: Row) -> tuple[Subfield, ...]:
        found = []
        for text in row.texts("groups"):
            try:
                found.append(Subfield(*parse_subfield(text)))
            except ConfigError as error:
                self._complain(
                    f"bridge {self._bridge} table {number}: error parsing 'groups' ({error})"
                )
        return tuple(found)

    def _prefixes(self, number: int, row: Row) -> tuple[str, ...] | None:
        """None for the usual: nothing was said, or nothing of use."""
        texts = row.texts("prefixes")
        fields = () if NO_PREFIXES in texts else self._prefix_fields(texts)
        if not fields and NO_PREFIXES not in texts:
            return None
        shown = ",".join(fields) or NO_PREFIXES
        self._tell(f"bridge {self._bridge} table {number}: Prefix lookup with: {shown}.")
        return fields

    def _prefix_fields(self, texts: Iterable[str]) -> tuple[str, ...]:
        found: list[str] = []
        for text in texts:
            field = FIELD.get(text)
            if field is None:
                self._complain(f"bridge {self._bridge}: 'prefixes' with unknown field: {text}")
            elif field.name not in PREFIX_FIELDS:
                self._complain(f"bridge {self._bridge}: 'prefixes' with incompatible field: {text}")
            elif field.name not in found:
                found.append(field.name)
        return tuple(found)
