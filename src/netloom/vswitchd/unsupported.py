"""The keys of the database that this version knows and cannot serve: said aloud, never silently
ignored. All columns are served.

A line goes when the feature comes.
"""

from __future__ import annotations

from netloom.ovsdb.row import Row

#: Keys of `other_config` that change what happens to packets or connections.
KEYS: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": ("dpdk-init",),
}


def complaints(table: str, row: Row) -> list[str]:
    """What the row asks for in vain."""
    config = row.mapping("other_config")
    columns = [
        f"other_config:{key}" for key in KEYS.get(table, ()) if config.get(key, "false") != "false"
    ]
    return [f"{column} is not supported by this version" for column in columns]
