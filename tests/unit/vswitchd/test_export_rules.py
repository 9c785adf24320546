"""NetFlow, sFlow, IPFIX and collector sets: rows to settings."""

from __future__ import annotations

from typing import Any

from netloom.ovsdb.row import Row
from netloom.vswitchd.export_rules import ExportRules

BRIDGE = Row("Bridge", "b0", {"name": "br0", "netflow": ("n",), "sflow": ("s",), "ipfix": ("i",)})
ROWS: dict[str, dict[str, Any]] = {
    "n": {"targets": ("2.2.2.2:1", "1.1.1.1:1"), "active_timeout": 7, "engine_id": (5,)},
    "s": {"targets": ("1.1.1.1",), "sampling": (64,), "agent": ("eth0",)},
    "i": {"targets": ("1.1.1.1",), "other_config": {"virtual_obs_id": "x"}},
    "none": {"targets": ()},
    "c": {"local_ip": ("10.0.0.9",)},
}
_TABLES = {"n": "NetFlow", "s": "sFlow", "i": "IPFIX", "none": "IPFIX", "c": "Controller"}


def _refs(row: Row, column: str) -> list[Row]:
    if column == "bridge":
        return [BRIDGE]
    return [Row(_TABLES[uuid], uuid, ROWS[uuid]) for uuid in row.uuids(column)]


def _rules(*sets: dict[str, Any]) -> ExportRules:
    rows = [Row("Flow_Sample_Collector_Set", f"f{n}", data) for n, data in enumerate(sets)]
    return ExportRules(_refs, rows)


def test_a_bridge_without_rows_exports_nothing() -> None:
    rules = _rules()
    found = rules.read(Row("Bridge", "b1", {"name": "br1"}))
    assert (found.netflow, found.sflow, found.ipfix, found.collector_sets) == (None, None, None, ())


def test_rows_and_defaults_are_read() -> None:
    rules = _rules()
    found = rules.read(BRIDGE)
    assert found.netflow is not None and found.sflow is not None and found.ipfix is not None
    assert found.netflow.targets == ("1.1.1.1:1", "2.2.2.2:1")
    assert (found.netflow.engine_id, found.netflow.engine_type) == (5, -1)
    assert (found.sflow.sampling, found.sflow.polling_s, found.sflow.header) == (64, 30, 128)
    assert (found.sflow.agent, found.sflow.sub_id) == ("eth0", 0)
    assert (found.ipfix.sampling, found.ipfix.virtual_obs_id) == (400, "x")
    assert (found.ipfix.template_interval_s, found.ipfix.stats_interval_s) == (600, 600)
    assert found.ipfix.samples_input and found.ipfix.samples_output and found.ipfix.samples_tunnels


def test_numbers_below_zero_are_none() -> None:
    row = {"targets": ("1.1.1.1",), "sampling": (-1,), "polling": (-1,), "header": (-1,)}
    rules = ExportRules(lambda *_: [Row("sFlow", "s", row)], [])
    found = rules._sflow(BRIDGE)
    assert found is not None
    assert (found.sampling, found.polling_s, found.header) == (0, 0, 0)


def test_agents_of_one_machine_are_numbered() -> None:
    rules = _rules()
    rules.read(BRIDGE)
    second = rules.read(BRIDGE).sflow
    assert second is not None and second.sub_id == 1


def test_the_address_of_a_controllers_network_is_the_last_resort() -> None:
    rules = _rules()
    found = rules.read(Row("Bridge", "b0", BRIDGE.data | {"controller": ("c",)})).sflow
    assert found is not None and found.control_ip == "10.0.0.9"


def test_sets_without_collectors_are_none() -> None:
    rules = _rules(
        {"id": 2, "ipfix": ("i",)}, {"id": 1, "ipfix": ("none",)}, {"id": 3},
    )  # fmt: skip
    assert [each.set_id for each in rules.read(BRIDGE).collector_sets] == [2]


def test_sets_have_groups_of_this_machine() -> None:
    rules = _rules({"id": 7}, {"id": 2, "local_group_id": (9,)}, {"id": 1, "local_group_id": (0,)})
    found = rules.read(BRIDGE)
    assert found.collector_sets == ()
    assert found.local_groups == ((1, 0), (2, 9))
