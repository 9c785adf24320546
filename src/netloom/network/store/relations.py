"""What holds between things: addresses, segments, memberships, schedules, quotas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from netloom.network.store import schema

_ADDRESSES = schema.IP_ALLOCATIONS
_SEGMENTS = schema.SEGMENT_ALLOCATIONS
_MEMBERS = schema.PORT_SECURITY_GROUPS
_ROUTER_PORTS = schema.ROUTER_PORTS
_RBAC = schema.RBAC_POLICIES


def _claim(table: Table, dialect: str) -> Insert:
    make = postgresql_insert if dialect == "postgresql" else sqlite_insert
    statement = make(table).on_conflict_do_nothing()
    # Without it the count of inserted rows is lost.
    return statement.execution_options(preserve_rowcount=True)


_CLAIMS = {
    (table.name, dialect): _claim(table, dialect)
    for table in (
        _ADDRESSES,
        _SEGMENTS,
        schema.DEFAULT_SECURITY_GROUPS,
        schema.TOPOLOGIES,
        schema.NETWORK_AGENTS,
        schema.ROUTER_AGENTS,
    )
    for dialect in ("postgresql", "sqlite")
}
_USED = (
    select(_ADDRESSES.c.address_key)
    .where(
        _ADDRESSES.c.subnet_id == bindparam("subnet_id_"),
        _ADDRESSES.c.address_key >= bindparam("low"),
        _ADDRESSES.c.address_key <= bindparam("high"),
    )
    .order_by(_ADDRESSES.c.address_key)
)
_COUNT_USED = (
    select(_ADDRESSES.c.subnet_id, func.count())
    .where(_ADDRESSES.c.subnet_id.in_(bindparam("subnets", expanding=True)))
    .group_by(_ADDRESSES.c.subnet_id)
)
_RELEASE = delete(_ADDRESSES).where(
    _ADDRESSES.c.subnet_id == bindparam("subnet_id_"),
    _ADDRESSES.c.address_key == bindparam("address_key_"),
    _ADDRESSES.c.port_id == bindparam("port_id_"),
)
_HOLDER = select(_ADDRESSES.c.port_id).where(
    _ADDRESSES.c.subnet_id == bindparam("subnet_id_"),
    _ADDRESSES.c.address_key == bindparam("address_key_"),
)
_HOLDERS = select(_ADDRESSES.c.port_id).where(
    _ADDRESSES.c.subnet_id.in_(bindparam("subnets", expanding=True))
)
_SEGMENTS_USED = select(_SEGMENTS.c.segmentation_id).where(
    _SEGMENTS.c.network_type == bindparam("type_"),
    _SEGMENTS.c.physical_network == bindparam("physical"),
    _SEGMENTS.c.segmentation_id.between(bindparam("low"), bindparam("high")),
)
_SEGMENTS_OF = select(
    _SEGMENTS.c.network_type, _SEGMENTS.c.physical_network, _SEGMENTS.c.segmentation_id
).where(_SEGMENTS.c.network_id == bindparam("network"))
_RELEASE_SEGMENT = delete(_SEGMENTS).where(
    _SEGMENTS.c.network_type == bindparam("type_"),
    _SEGMENTS.c.physical_network == bindparam("physical"),
    _SEGMENTS.c.segmentation_id == bindparam("number"),
    _SEGMENTS.c.network_id == bindparam("network"),
)
_MEMBERS_INSERT = insert(_MEMBERS)
_MEMBERS_CLEAR = delete(_MEMBERS).where(_MEMBERS.c.port_id == bindparam("port"))
_PORTS_IN = select(_MEMBERS.c.port_id).where(
    _MEMBERS.c.security_group_id.in_(bindparam("groups", expanding=True))
)
_DEFAULT_GROUP = select(schema.DEFAULT_SECURITY_GROUPS.c.security_group_id).where(
    schema.DEFAULT_SECURITY_GROUPS.c.project_id == bindparam("project")
)
_ROUTER_PORTS_INSERT = insert(_ROUTER_PORTS)
_ROUTER_PORTS_OF = select(_ROUTER_PORTS.c.port_id, _ROUTER_PORTS.c.port_type).where(
    _ROUTER_PORTS.c.router_id == bindparam("router")
)
_ROUTER_OF = select(_ROUTER_PORTS.c.router_id).where(_ROUTER_PORTS.c.port_id == bindparam("port"))
_ROUTER_PORTS_DELETE = delete(_ROUTER_PORTS).where(_ROUTER_PORTS.c.port_id == bindparam("port"))
_MAC_TAKEN = select(
    exists().where(
        schema.PORTS.c.network_id == bindparam("network"),
        schema.PORTS.c.mac_address == bindparam("mac"),
    )
)
_SUBNETS_OF = (
    select(schema.SUBNETS.c.network_id, schema.SUBNETS.c.id)
    .where(schema.SUBNETS.c.network_id.in_(bindparam("networks", expanding=True)))
    .order_by(schema.SUBNETS.c.id)
)
_SHARED = select(_RBAC.c.object_id, _RBAC.c.action, _RBAC.c.target_tenant).where(
    _RBAC.c.object_type == bindparam("type_"),
    _RBAC.c.object_id.in_(bindparam("objects", expanding=True)),
)
_AGENTS_OF = {
    "network": select(schema.NETWORK_AGENTS.c.network_id, schema.NETWORK_AGENTS.c.agent_id),
    "router": select(schema.ROUTER_AGENTS.c.router_id, schema.ROUTER_AGENTS.c.agent_id),
}
_SCHEDULES = {"network": schema.NETWORK_AGENTS, "router": schema.ROUTER_AGENTS}
_QUOTAS = schema.QUOTAS
_HEARTBEATS = select(schema.AGENTS.c.id, schema.AGENTS.c.heartbeat_ms)
_BEAT = (
    update(schema.AGENTS)
    .where(schema.AGENTS.c.id == bindparam("agent"))
    .values(heartbeat_ms=bindparam("at"))
)
CHUNK = 500


class Relations:
    """The relations of one transaction's database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name

    def _won(self, table: Table, row: dict[str, Any]) -> bool:
        done = self._connection.execute(_CLAIMS[table.name, self._dialect], row)
        return done.rowcount == 1

    def _chunks(self, values: Iterable[str]) -> list[list[str]]:
        found = list(values)
        return [found[start : start + CHUNK] for start in range(0, len(found), CHUNK)]

    # Addresses

    def claim_address(self, subnet_id: str, key: str, port_id: str) -> bool:
        """Whether the address was free and is now the port's."""
        row = {"subnet_id": subnet_id, "address_key": key, "port_id": port_id}
        return self._won(_ADDRESSES, row)

    def claim_addresses(self, claims: Sequence[tuple[str, str, str]]) -> bool:
        """Whether all of (subnet, key, port) were free; they are claimed with one statement."""
        rows = [
            {"subnet_id": subnet, "address_key": key, "port_id": port}
            for subnet, key, port in claims
        ]
        if not rows:
            return True
        statement = _claim(_ADDRESSES, self._dialect).values(rows)
        return self._connection.execute(statement).rowcount == len(rows)

    def release_address(self, subnet_id: str, key: str, port_id: str) -> None:
        self._connection.execute(
            _RELEASE, {"subnet_id_": subnet_id, "address_key_": key, "port_id_": port_id}
        )

    def used_addresses(self, subnet_id: str, low: str, high: str) -> list[str]:
        """The keys of the subnet's addresses that are taken between two, in order."""
        rows = self._connection.execute(_USED, {"subnet_id_": subnet_id, "low": low, "high": high})
        return [row[0] for row in rows]

    def count_range(self, subnet_id: str, low: str, high: str) -> int:
        """How many addresses from `low` to `high` are taken."""
        wanted = select(func.count()).where(
            _ADDRESSES.c.subnet_id == subnet_id, _ADDRESSES.c.address_key.between(low, high)
        )
        return int(self._connection.execute(wanted).scalar_one())

    def address_holder(self, subnet_id: str, key: str) -> str | None:
        """The port that has the address."""
        found = self._connection.execute(
            _HOLDER, {"subnet_id_": subnet_id, "address_key_": key}
        ).scalar()
        return None if found is None else str(found)

    def ports_with_addresses(self, subnets: Iterable[str]) -> set[str]:
        """The ports that have addresses of these subnets."""
        return {
            row[0]
            for part in self._chunks(subnets)
            for row in self._connection.execute(_HOLDERS, {"subnets": part})
        }

    def count_addresses(self, subnets: Iterable[str]) -> dict[str, int]:
        """How many addresses of each subnet are taken."""
        counts: dict[str, int] = {}
        for part in self._chunks(subnets):
            for subnet, number in self._connection.execute(_COUNT_USED, {"subnets": part}):
                counts[subnet] = number
        return counts

    def mac_taken(self, network_id: str, mac: str) -> bool:
        return bool(
            self._connection.execute(_MAC_TAKEN, {"network": network_id, "mac": mac}).scalar()
        )

    # Segments

    def claim_segment(self, kind: str, physical: str, number: int, network_id: str) -> bool:
        """Whether the segment was free and is now the network's."""
        return self._won(
            _SEGMENTS,
            {
                "network_type": kind,
                "physical_network": physical,
                "segmentation_id": number,
                "network_id": network_id,
            },
        )

    def used_segments(self, kind: str, physical: str, low: int, high: int) -> set[int]:
        rows = self._connection.execute(
            _SEGMENTS_USED, {"type_": kind, "physical": physical, "low": low, "high": high}
        )
        return {row[0] for row in rows}

    def release_segment(self, kind: str, physical: str, number: int, network_id: str) -> None:
        self._connection.execute(
            _RELEASE_SEGMENT,
            {"type_": kind, "physical": physical, "number": number, "network": network_id},
        )

    # Security groups

    def set_security_groups(self, port_id: str, groups: Iterable[str], *, new: bool) -> None:
        """Which groups the port is in."""
        if not new:
            self._connection.execute(_MEMBERS_CLEAR, {"port": port_id})
        self.add_members([(port_id, group) for group in groups])

    def add_members(self, members: Sequence[tuple[str, str]]) -> None:
        """Put ports into groups: (port, group)."""
        if members:
            rows = [{"port_id": port, "security_group_id": group} for port, group in members]
            self._connection.execute(_MEMBERS_INSERT, rows)

    def ports_in_groups(self, groups: Iterable[str]) -> set[str]:
        return {
            row[0]
            for part in self._chunks(groups)
            for row in self._connection.execute(_PORTS_IN, {"groups": part})
        }

    def default_group(self, project_id: str) -> str | None:
        found = self._connection.execute(_DEFAULT_GROUP, {"project": project_id}).scalar()
        return None if found is None else str(found)

    def claim_default_group(self, project_id: str, group: str) -> bool:
        row = {"project_id": project_id, "security_group_id": group}
        return self._won(schema.DEFAULT_SECURITY_GROUPS, row)

    # Routers

    def add_router_port(self, router_id: str, port_id: str, port_type: str) -> None:
        row = {"router_id": router_id, "port_id": port_id, "port_type": port_type}
        self._connection.execute(_ROUTER_PORTS_INSERT, row)

    def remove_router_port(self, port_id: str) -> None:
        self._connection.execute(_ROUTER_PORTS_DELETE, {"port": port_id})

    def router_ports(self, router_id: str) -> dict[str, str]:
        """Port id -> the kind of port (its device_owner)."""
        rows = self._connection.execute(_ROUTER_PORTS_OF, {"router": router_id})
        return {row[0]: row[1] for row in rows}

    def router_of_port(self, port_id: str) -> str | None:
        found = self._connection.execute(_ROUTER_OF, {"port": port_id}).scalar()
        return None if found is None else str(found)

    # Topologies that projects were given

    def topology(self, project_id: str) -> tuple[str, str | None] | None:
        """Ids of the network and the router; a router may have been deleted."""
        table = schema.TOPOLOGIES
        wanted = select(table.c.network_id, table.c.router_id).where(
            table.c.project_id == project_id
        )
        row = self._connection.execute(wanted).first()
        return None if row is None else (row[0], row[1])

    def claim_topology(self, project_id: str, network_id: str, router_id: str) -> bool:
        row = {"project_id": project_id, "network_id": network_id, "router_id": router_id}
        return self._won(schema.TOPOLOGIES, row)

    # What networks show

    def subnets_of(self, networks: Iterable[str]) -> dict[str, list[str]]:
        """Network id -> ids of its subnets."""
        found: dict[str, list[str]] = {}
        for part in self._chunks(networks):
            for network, subnet in self._connection.execute(_SUBNETS_OF, {"networks": part}):
                found.setdefault(network, []).append(subnet)
        return found

    def sharing(self, kind: str, objects: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
        """Object id -> the (action, target project) pairs that it is shared by."""
        found: dict[str, list[tuple[str, str]]] = {}
        for part in self._chunks(objects):
            for key, action, target in self._connection.execute(
                _SHARED, {"type_": kind, "objects": part}
            ):
                found.setdefault(key, []).append((action, target))
        return found

    # Schedules

    def agents_of(self, kind: str, key: str) -> list[str]:
        """Ids of the agents that a network or router is scheduled to."""
        table = _SCHEDULES[kind]
        wanted = _AGENTS_OF[kind].where(table.c[f"{kind}_id"] == key)
        return sorted(row[1] for row in self._connection.execute(wanted))

    def scheduled_to(self, kind: str, agent_id: str) -> list[str]:
        """Ids of the networks or routers that an agent has."""
        table = _SCHEDULES[kind]
        wanted = _AGENTS_OF[kind].where(table.c.agent_id == agent_id)
        return sorted(row[0] for row in self._connection.execute(wanted))

    def schedules(self, kind: str) -> list[tuple[str, str]]:
        """Every (network or router, agent)."""
        return sorted((row[0], row[1]) for row in self._connection.execute(_AGENTS_OF[kind]))

    def schedule(self, kind: str, key: str, agent_id: str) -> bool:
        """Whether this made a difference."""
        return self._won(_SCHEDULES[kind], {f"{kind}_id": key, "agent_id": agent_id})

    def unschedule(self, kind: str, key: str, agent_id: str) -> bool:
        """Whether this made a difference."""
        table = _SCHEDULES[kind]
        done = self._connection.execute(
            delete(table).where(and_(table.c[f"{kind}_id"] == key, table.c.agent_id == agent_id))
        )
        return done.rowcount == 1

    # Agents and quotas

    def heartbeats(self) -> dict[str, int]:
        """Agent id -> when it last reported, in ms since the epoch."""
        return {row[0]: row[1] for row in self._connection.execute(_HEARTBEATS)}

    def beat(self, agent_id: str, at_ms: int) -> None:
        self._connection.execute(_BEAT, {"agent": agent_id, "at": at_ms})

    def quotas(self, project_id: str) -> dict[str, int]:
        """The limits that were set for this project."""
        wanted = select(_QUOTAS.c.resource, _QUOTAS.c.limit).where(
            _QUOTAS.c.project_id == project_id
        )
        return {row[0]: row[1] for row in self._connection.execute(wanted)}

    def quota_projects(self) -> list[str]:
        wanted = select(_QUOTAS.c.project_id).distinct().order_by(_QUOTAS.c.project_id)
        return [row[0] for row in self._connection.execute(wanted)]

    def set_quotas(self, project_id: str, limits: dict[str, int]) -> None:
        for resource, limit in sorted(limits.items()):
            self._connection.execute(
                delete(_QUOTAS).where(
                    _QUOTAS.c.project_id == project_id, _QUOTAS.c.resource == resource
                )
            )
            self._connection.execute(
                insert(_QUOTAS),
                {"project_id": project_id, "resource": resource, "limit": limit},
            )

    def delete_quotas(self, project_id: str) -> bool:
        done = self._connection.execute(delete(_QUOTAS).where(_QUOTAS.c.project_id == project_id))
        return done.rowcount > 0

    # Sharing

    def accessible(self, kind: str, project_id: str, actions: Sequence[str]) -> list[str]:
        """Ids of the things of `kind` that others let the project use."""
        wanted = select(_RBAC.c.object_id).where(
            _RBAC.c.object_type == kind,
            _RBAC.c.action.in_(actions),
            or_(_RBAC.c.target_tenant == project_id, _RBAC.c.target_tenant == "*"),
        )
        return sorted({row[0] for row in self._connection.execute(wanted)})
