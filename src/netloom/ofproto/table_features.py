"""What a controller may change of the features of tables: their names, and nothing else.

The request lists all tables (OFPTFC_REPLACE, the only way before OpenFlow 1.5), or those to be
changed (OFPTFC_MODIFY). A table that is left out would have to go, which none can.
"""

from __future__ import annotations

from collections.abc import Sequence

from netloom.ofproto.table import MAX_ENTRIES
from netloom.ofproto.tables import N_TABLES, Tables
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError


def rename_tables(tables: Tables, wanted: Sequence[m.TableFeatures]) -> None:
    """Carry out a table features request; raises OpenFlowError and changes nothing if it asks for
    anything but names, or for one where the Flow_Table row has another."""
    names: dict[int, str] = {}
    for features in wanted:
        if features.table_id in names:
            raise OpenFlowError("NXTFFC_DUP_TABLE")
        _check(tables, features)
        names[features.table_id] = features.name
    if wanted and wanted[0].command == m.OFPTFC_REPLACE and len(names) < N_TABLES:
        raise OpenFlowError("OFPTFFC_EPERM")
    for table_id, name in names.items():
        known = tables.known(table_id)
        if name != (known.name if known else "") and not (known and known.named_by_row):
            tables.table(table_id).name = name


def _check(tables: Tables, features: m.TableFeatures) -> None:
    known = tables.known(features.table_id)
    max_entries = known.max_entries if known else MAX_ENTRIES
    name, fixed = (known.name, known.named_by_row) if known else ("", False)
    if (
        features.table_id >= N_TABLES
        or features.command in (m.OFPTFC_ENABLE, m.OFPTFC_DISABLE)
        or features.config
        or features.max_entries != max_entries
        or (fixed and features.name not in ("", name))
    ):
        raise OpenFlowError("OFPTFFC_EPERM")
