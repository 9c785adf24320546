"""What the tables of the switch can do, as the reply to a table features request.

All tables are alike: every field that OpenFlow has a number for can be matched, every writable one
set, every instruction and action that is a type of its own used; packets go to later tables only.
"""

from __future__ import annotations

from netloom.flow.fields import FIELD
from netloom.openflow import messages as m

_ALL_64_BITS = 0xFFFFFFFFFFFFFFFF
#: OFPIT_*: goto_table, write_metadata, write_actions, apply_actions, clear_actions.
_INSTRUCTIONS = 0x3E
_GOTO_TABLE = 1 << 1
#: An instruction until OpenFlow 1.5 made an action of it.
_METER = 1 << 6
#: OFPAT_* of 1.3: output, set and decrement of TTLs, push and pop of VLAN and MPLS tags, set_queue,
#: group, set_field.
ACTIONS = 0x03FF8001
#: Of 1.1: without copying TTLs, and with an action for each field that can be set.
ACTIONS11 = 0x01FFE7FF


def table_features(n_tables: int, max_entries: int, version: int) -> tuple[m.TableFeatures, ...]:
    """The features of tables 0 to `n_tables - 1`."""
    fields = {field.name: field for field in FIELD.values() if field.codes}.values()
    names = tuple(field.name for field in fields)
    maskable = tuple(field.name for field in fields if field.maskable)
    writable = tuple(field.name for field in fields if field.writable)
    instructions = _INSTRUCTIONS if version >= m.OFP15_VERSION else _INSTRUCTIONS | _METER
    return tuple(
        _table(number, n_tables, max_entries, instructions, names, maskable, writable)
        for number in range(n_tables)
    )


def stats_features(n_tables: int, max_entries: int, version: int) -> tuple[m.TableFeatures, ...]:
    """The same for OpenFlow 1.1 and 1.2, which have no meters and where 1.1 has actions of its
    own to set fields."""
    fields = [field for field in FIELD.values() if field.codes]
    names = tuple(dict.fromkeys(field.name for field in fields))
    writable = tuple(field.name for field in fields if field.writable)
    actions = ACTIONS11 if version == m.OFP11_VERSION else ACTIONS
    return tuple(
        _table(number, n_tables, max_entries, _INSTRUCTIONS, names, (), writable, actions)
        for number in range(n_tables)
    )


def _table(
    number: int, n_tables: int, max_entries: int, instructions: int, names: tuple[str, ...],
    maskable: tuple[str, ...], writable: tuple[str, ...], actions: int = ACTIONS,
) -> m.TableFeatures:  # fmt: skip
    able = m.InstructionFeatures(
        next_tables=tuple(range(number + 1, n_tables)),
        instructions=instructions if number < n_tables - 1 else instructions & ~_GOTO_TABLE,
        write_actions=actions, apply_actions=actions,
        write_set_fields=writable, apply_set_fields=writable,
    )  # fmt: skip
    return m.TableFeatures(
        number, "", _ALL_64_BITS, _ALL_64_BITS, max_entries, nonmiss=able, miss=able,
        match=names, maskable=maskable, wildcards=names,
    )  # fmt: skip
