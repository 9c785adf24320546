"""The columns that this version knows and cannot serve: said aloud, never silently ignored.

One line per column or key. A line goes when the feature comes.
"""

from __future__ import annotations

from netloom.ovsdb.row import Row

#: Columns that must stay at their default.
COLUMNS: dict[str, tuple[str, ...]] = {}
#: Keys of `other_config` that change what happens to packets or connections.
KEYS: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": (
        "dpdk-init",
        "hw-offload",
        "userspace-tso-enable",
    ),
}


def complaints(table: str, row: Row) -> list[str]:
    """What the row asks for in vain."""
    columns = [column for column in COLUMNS.get(table, ()) if _is_set(row.get(column))]
    config = row.mapping("other_config")
    columns += [
        f"other_config:{key}" for key in KEYS.get(table, ()) if config.get(key, "false") != "false"
    ]
    if table == "Interface" and row.mapping("bfd").get("oam") == "true":
        columns.append("bfd:oam")
    return [f"{column} is not supported by this version" for column in columns]


def _is_set(datum: object) -> bool:
    return datum not in (None, (), {}, 0, False, "", ("off",))
