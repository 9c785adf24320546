"""The NetFlow, sFlow, IPFIX and Flow_Sample_Collector_Set rows of a bridge.

A row without targets exports nothing. Rules and defaults are those of ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.ofproto.settings import ExportSettings
from netloom.ovsdb.row import Row
from netloom.telemetry.ipfix import IpfixSettings
from netloom.telemetry.netflow import NetflowSettings
from netloom.telemetry.sflow import SflowSettings

#: Finds the rows that a column refers to.
Refs = Callable[[Row, str], list[Row]]


class ExportRules:
    """Reads what bridges export; `sets` are the Flow_Sample_Collector_Set rows."""

    def __init__(self, refs: Refs, sets: list[Row]) -> None:
        self._refs = refs
        self._sets = sets
        #: sFlow agents of one machine are numbered.
        self._n_agents = 0

    def read(self, bridge: Row) -> ExportSettings:
        """What a Bridge row asks for."""
        ipfix = self._first(bridge, "ipfix")
        return ExportSettings(
            netflow=self._netflow(bridge),
            sflow=self._sflow(bridge),
            ipfix=self._ipfix(bridge, ipfix) if ipfix is not None else None,
            collector_sets=self._collector_sets(bridge),
            local_groups=self._local_groups(bridge),
        )

    def _first(self, row: Row, column: str) -> Row | None:
        return next(iter(self._refs(row, column)), None)

    def _netflow(self, bridge: Row) -> NetflowSettings | None:
        row = self._first(bridge, "netflow")
        if row is None:
            return None
        return NetflowSettings(
            tuple(sorted(row.texts("targets"))),
            _number(row, "engine_type", -1),
            _number(row, "engine_id", -1),
            row.integer("active_timeout"),
            row.flag("add_id_to_interface"),
        )

    def _sflow(self, bridge: Row) -> SflowSettings | None:
        row = self._first(bridge, "sflow")
        if row is None:
            return None
        sub_id, self._n_agents = self._n_agents, self._n_agents + 1
        local = [one.opt_text("local_ip") for one in self._refs(bridge, "controller")]
        return SflowSettings(
            tuple(sorted(row.texts("targets"))),
            max(_number(row, "sampling", 400), 0),
            max(_number(row, "polling", 30), 0),
            max(_number(row, "header", 128), 0),
            row.opt_text("agent") or "",
            next((address for address in local if address), ""),
            sub_id,
        )

    def _ipfix(self, bridge: Row, row: Row, set_id: int = -1) -> IpfixSettings | None:
        targets = tuple(sorted(row.texts("targets")))
        if not targets:
            return None
        config = row.mapping("other_config")
        return IpfixSettings(
            targets,
            set_id=set_id,
            sampling=max(_number(row, "sampling", 400), 1),
            domain_id=_number(row, "obs_domain_id", 0),
            point_id=_number(row, "obs_point_id", 0),
            active_timeout_s=_number(row, "cache_active_timeout", 0),
            max_flows=_number(row, "cache_max_flows", 0),
            samples_tunnels=boolean_of(config, "enable-tunnel-sampling", default=True),
            # As in Open vSwitch, whatever the manual says of it: who sets them switches it off.
            samples_input=not boolean_of(config, "enable-input-sampling"),
            samples_output=not boolean_of(config, "enable-output-sampling"),
            virtual_obs_id=config.get("virtual_obs_id", ""),
            template_interval_s=_number(row, "template_interval", 600),
            stats_interval_s=_number(row, "stats_interval", 600),
        )

    def _sets_of(self, bridge: Row) -> list[Row]:
        return [
            row
            for row in self._sets
            if any(one.uuid == bridge.uuid for one in self._refs(row, "bridge"))
        ]

    def _local_groups(self, bridge: Row) -> tuple[tuple[int, int], ...]:
        found = []
        for row in self._sets_of(bridge):
            group = row.opt_int("local_group_id")
            if group is not None:
                found.append((row.integer("id"), group))
        return tuple(sorted(found))

    def _collector_sets(self, bridge: Row) -> tuple[IpfixSettings, ...]:
        found = []
        for row in self._sets_of(bridge):
            ipfix = self._first(row, "ipfix")
            settings = self._ipfix(bridge, ipfix, row.integer("id")) if ipfix is not None else None
            if settings is not None:
                found.append(settings)
        return tuple(sorted(found, key=lambda one: one.set_id))


def _number(row: Row, column: str, default: int) -> int:
    value = row.opt_int(column)
    return default if value is None else value


def boolean_of(config: dict[str, str], key: str, *, default: bool = False) -> bool:
    """ "true" or "false"; anything else is the default."""
    return {"true": True, "false": False}.get(config.get(key, "").lower(), default)
