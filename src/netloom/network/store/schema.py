"""The tables of the database, for SQLite and PostgreSQL alike.

A resource is a *document*: the table of its kind has the identity, the columns that queries and
constraints need, and `body`, the whole thing as JSON in the shape that the API shows. What must
hold between things is not in documents but in relations, so that the database itself upholds it:

* `ip_allocations` (subnet, address), `segment_allocations` (type, physical network, id),
  `ports` (network, MAC), `floatingips` (network, address): claimed once, by their keys;
* foreign keys: nothing refers to what is gone, in whatever order requests commit;
* `revision_number` in every update's condition: two writers of one document never both win.

The tables here and the migrations must agree; a test compares them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: BIGINT, but the rowid itself on SQLite, which counts only an INTEGER key up.
COUNTER = BigInteger().with_variant(Integer, "sqlite")


def _refers(name: str, target: str, *, cascade: bool = False, key: bool = False) -> Column[str]:
    action = "CASCADE" if cascade else None
    return Column(
        name, String(36), ForeignKey(target, ondelete=action), nullable=False, primary_key=key
    )


def _documents(name: str, *columns: Column[Any] | UniqueConstraint) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", String(36), primary_key=True),
        Column("project_id", String(255), nullable=False, index=True),
        Column("revision_number", BigInteger, nullable=False),
        *columns,
        Column("body", Text, nullable=False),
    )


def _text(name: str, *, index: bool = False) -> Column[str]:
    return Column(name, String(255), nullable=False, index=index)


NETWORKS = _documents("networks", _text("name", index=True))
SUBNETS = _documents(
    "subnets",
    _text("name"),
    Column("network_id", String(36), ForeignKey("networks.id"), nullable=False, index=True),
    Column("subnetpool_id", String(36), ForeignKey("subnetpools.id"), index=True),
)
SUBNETPOOLS = _documents("subnetpools", _text("name"))
PORTS = _documents(
    "ports",
    _text("name", index=True),
    Column("network_id", String(36), ForeignKey("networks.id"), nullable=False),
    Column("mac_address", String(17), nullable=False),
    _text("device_id", index=True),
    _text("device_owner"),
    _text("host", index=True),
    UniqueConstraint("network_id", "mac_address"),
)
ROUTERS = _documents("routers", _text("name"))
FLOATINGIPS = _documents(
    "floatingips",
    Column("floating_network_id", String(36), ForeignKey("networks.id"), nullable=False),
    _text("floating_ip_address", index=True),
    Column("port_id", String(36), ForeignKey("ports.id"), index=True),
    Column("fixed_ip_address", String(64)),
    Column("router_id", String(36), ForeignKey("routers.id"), index=True),
    UniqueConstraint("floating_network_id", "floating_ip_address"),
    UniqueConstraint("floating_network_id", "port_id", "fixed_ip_address"),
)
PORT_FORWARDINGS = _documents(
    "port_forwardings",
    Column(
        "floatingip_id",
        String(36),
        ForeignKey("floatingips.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("internal_port_id", String(36), ForeignKey("ports.id"), nullable=False, index=True),
)
SECURITY_GROUPS = _documents("security_groups", _text("name"))
SECURITY_GROUP_RULES = _documents(
    "security_group_rules",
    Column(
        "security_group_id",
        String(36),
        ForeignKey("security_groups.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("remote_group_id", String(36), ForeignKey("security_groups.id", ondelete="CASCADE")),
)
RBAC_POLICIES = _documents(
    "rbac_policies",
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(36), nullable=False, index=True),
    Column("action", String(64), nullable=False),
    Column("target_tenant", String(255), nullable=False),
    UniqueConstraint("object_type", "object_id", "action", "target_tenant"),
)
AGENTS = _documents(
    "agents",
    Column("agent_type", String(64), nullable=False),
    _text("host", index=True),
    Column("heartbeat_ms", BigInteger, nullable=False),
    UniqueConstraint("agent_type", "host"),
)

#: kind -> its table of documents.
DOCUMENTS = MappingProxyType(
    {
        "network": NETWORKS,
        "subnet": SUBNETS,
        "subnetpool": SUBNETPOOLS,
        "port": PORTS,
        "router": ROUTERS,
        "floatingip": FLOATINGIPS,
        "port_forwarding": PORT_FORWARDINGS,
        "security_group": SECURITY_GROUPS,
        "security_group_rule": SECURITY_GROUP_RULES,
        "rbac_policy": RBAC_POLICIES,
        "agent": AGENTS,
    }
)

IP_ALLOCATIONS = Table(
    "ip_allocations",
    METADATA,
    _refers("subnet_id", "subnets.id", key=True),
    #: The address as 32 hexadecimal digits, so that text order is address order.
    Column("address_key", String(32), primary_key=True),
    Column("port_id", String(36), ForeignKey("ports.id", ondelete="CASCADE"), index=True),
)
SEGMENT_ALLOCATIONS = Table(
    "segment_allocations",
    METADATA,
    Column("network_type", String(32), primary_key=True),
    Column("physical_network", String(64), primary_key=True),
    Column("segmentation_id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "network_id",
        String(36),
        ForeignKey("networks.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
)
PORT_SECURITY_GROUPS = Table(
    "port_security_groups",
    METADATA,
    _refers("port_id", "ports.id", cascade=True, key=True),
    Column(
        "security_group_id",
        String(36),
        ForeignKey("security_groups.id"),
        primary_key=True,
        index=True,
    ),
)
DEFAULT_SECURITY_GROUPS = Table(
    "default_security_groups",
    METADATA,
    Column("project_id", String(255), primary_key=True),
    _refers("security_group_id", "security_groups.id", cascade=True),
)
ROUTER_PORTS = Table(
    "router_ports",
    METADATA,
    Column("port_id", String(36), ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", String(36), ForeignKey("routers.id"), nullable=False, index=True),
    Column("port_type", String(255), nullable=False),
)
NETWORK_AGENTS = Table(
    "network_agents",
    METADATA,
    _refers("network_id", "networks.id", cascade=True, key=True),
    Column(
        "agent_id",
        String(36),
        ForeignKey("agents.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)
ROUTER_AGENTS = Table(
    "router_agents",
    METADATA,
    _refers("router_id", "routers.id", cascade=True, key=True),
    Column(
        "agent_id",
        String(36),
        ForeignKey("agents.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
)
TOPOLOGIES = Table(
    "auto_topologies",
    METADATA,
    Column("project_id", String(255), primary_key=True),
    _refers("network_id", "networks.id", cascade=True),
    Column("router_id", String(36), ForeignKey("routers.id", ondelete="SET NULL")),
)
QUOTAS = Table(
    "quotas",
    METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("limit", BigInteger, nullable=False),
)
JOURNAL = Table(
    "journal",
    METADATA,
    Column("revision", COUNTER, primary_key=True, autoincrement=True),
    Column("body", Text, nullable=False),
    sqlite_autoincrement=True,
)
DRIVER_TASKS = Table(
    "driver_tasks",
    METADATA,
    Column("id", COUNTER, primary_key=True, autoincrement=True),
    Column("driver", String(64), nullable=False),
    Column("due_ms", BigInteger, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("change", Text, nullable=False),
    Column("error", Text, nullable=False),
)

#: kind -> {column: the document's key}. These columns can be asked for in SQL.
COLUMNS = MappingProxyType(
    {
        kind: {
            column.name: {"host": "binding:host_id"}.get(column.name, column.name)
            if kind == "port"
            else column.name
            for column in table.columns
            if column.name not in ("body", "heartbeat_ms")
        }
        for kind, table in DOCUMENTS.items()
    }
)
