"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("agent_type", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
        sa.UniqueConstraint("agent_type", "host", name="uq_agents_agent_type_host"),
    )
    op.create_index("ix_agents_host", "agents", ["host"])
    op.create_index("ix_agents_project_id", "agents", ["project_id"])


def _driver_tasks() -> None:
    op.create_table(
        "driver_tasks",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            autoincrement=True,
        ),
        sa.Column("driver", sa.String(64), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_driver_tasks"),
    )
    op.create_index("ix_driver_tasks_due_ms", "driver_tasks", ["due_ms"])


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column(
            "revision",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            autoincrement=True,
        ),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_journal"),
        sqlite_autoincrement=True,
    )


def _networks() -> None:
    op.create_table(
        "networks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
    )
    op.create_index("ix_networks_name", "networks", ["name"])
    op.create_index("ix_networks_project_id", "networks", ["project_id"])


def _quotas() -> None:
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_quotas"),
    )


def _rbac_policies() -> None:
    op.create_table(
        "rbac_policies",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("object_type", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target_tenant", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rbac_policies"),
        sa.UniqueConstraint(
            "object_type",
            "object_id",
            "action",
            "target_tenant",
            name="uq_rbac_policies_object_type_object_id_action_target_tenant",
        ),
    )
    op.create_index("ix_rbac_policies_object_id", "rbac_policies", ["object_id"])
    op.create_index("ix_rbac_policies_project_id", "rbac_policies", ["project_id"])


def _routers() -> None:
    op.create_table(
        "routers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routers"),
    )
    op.create_index("ix_routers_project_id", "routers", ["project_id"])


def _security_groups() -> None:
    op.create_table(
        "security_groups",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_security_groups"),
    )
    op.create_index("ix_security_groups_project_id", "security_groups", ["project_id"])


def _subnetpools() -> None:
    op.create_table(
        "subnetpools",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subnetpools"),
    )
    op.create_index("ix_subnetpools_project_id", "subnetpools", ["project_id"])


def _default_security_groups() -> None:
    op.create_table(
        "default_security_groups",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("security_group_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name="fk_default_security_groups_security_group_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name="pk_default_security_groups"),
    )


def _network_agents() -> None:
    op.create_table(
        "network_agents",
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("agent_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name="fk_network_agents_agent_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_network_agents_network_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("network_id", "agent_id", name="pk_network_agents"),
    )
    op.create_index("ix_network_agents_agent_id", "network_agents", ["agent_id"])


def _ports() -> None:
    op.create_table(
        "ports",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("mac_address", sa.String(17), nullable=False),
        sa.Column("device_id", sa.String(255), nullable=False),
        sa.Column("device_owner", sa.String(255), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_ports_network_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ports"),
        sa.UniqueConstraint("network_id", "mac_address", name="uq_ports_network_id_mac_address"),
    )
    op.create_index("ix_ports_device_id", "ports", ["device_id"])
    op.create_index("ix_ports_host", "ports", ["host"])
    op.create_index("ix_ports_name", "ports", ["name"])
    op.create_index("ix_ports_project_id", "ports", ["project_id"])


def _router_agents() -> None:
    op.create_table(
        "router_agents",
        sa.Column("router_id", sa.String(36), nullable=False),
        sa.Column("agent_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name="fk_router_agents_agent_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name="fk_router_agents_router_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("router_id", name="pk_router_agents"),
    )
    op.create_index("ix_router_agents_agent_id", "router_agents", ["agent_id"])


def _security_group_rules() -> None:
    op.create_table(
        "security_group_rules",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("security_group_id", sa.String(36), nullable=False),
        sa.Column("remote_group_id", sa.String(36), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_group_id"],
            ["security_groups.id"],
            name="fk_security_group_rules_remote_group_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name="fk_security_group_rules_security_group_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_security_group_rules"),
    )
    op.create_index("ix_security_group_rules_project_id", "security_group_rules", ["project_id"])
    op.create_index(
        "ix_security_group_rules_security_group_id", "security_group_rules", ["security_group_id"]
    )


def _segment_allocations() -> None:
    op.create_table(
        "segment_allocations",
        sa.Column("network_type", sa.String(32), nullable=False),
        sa.Column("physical_network", sa.String(64), nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["networks.id"],
            name="fk_segment_allocations_network_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "network_type", "physical_network", "segmentation_id", name="pk_segment_allocations"
        ),
    )
    op.create_index("ix_segment_allocations_network_id", "segment_allocations", ["network_id"])


def _subnets() -> None:
    op.create_table(
        "subnets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("subnetpool_id", sa.String(36), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name="fk_subnets_network_id"),
        sa.ForeignKeyConstraint(
            ["subnetpool_id"], ["subnetpools.id"], name="fk_subnets_subnetpool_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_subnets"),
    )
    op.create_index("ix_subnets_network_id", "subnets", ["network_id"])
    op.create_index("ix_subnets_project_id", "subnets", ["project_id"])
    op.create_index("ix_subnets_subnetpool_id", "subnets", ["subnetpool_id"])


def _floatingips() -> None:
    op.create_table(
        "floatingips",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("floating_network_id", sa.String(36), nullable=False),
        sa.Column("floating_ip_address", sa.String(255), nullable=False),
        sa.Column("port_id", sa.String(36), nullable=True),
        sa.Column("fixed_ip_address", sa.String(64), nullable=True),
        sa.Column("router_id", sa.String(36), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["floating_network_id"], ["networks.id"], name="fk_floatingips_floating_network_id"
        ),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name="fk_floatingips_port_id"),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name="fk_floatingips_router_id"),
        sa.PrimaryKeyConstraint("id", name="pk_floatingips"),
        sa.UniqueConstraint(
            "floating_network_id",
            "floating_ip_address",
            name="uq_floatingips_floating_network_id_floating_ip_address",
        ),
        sa.UniqueConstraint(
            "floating_network_id",
            "port_id",
            "fixed_ip_address",
            name="uq_floatingips_floating_network_id_port_id_fixed_ip_address",
        ),
    )
    op.create_index("ix_floatingips_floating_ip_address", "floatingips", ["floating_ip_address"])
    op.create_index("ix_floatingips_port_id", "floatingips", ["port_id"])
    op.create_index("ix_floatingips_project_id", "floatingips", ["project_id"])
    op.create_index("ix_floatingips_router_id", "floatingips", ["router_id"])


def _ip_allocations() -> None:
    op.create_table(
        "ip_allocations",
        sa.Column("subnet_id", sa.String(36), nullable=False),
        sa.Column("address_key", sa.String(32), nullable=False),
        sa.Column("port_id", sa.String(36), nullable=True),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name="fk_ip_allocations_port_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnets.id"], name="fk_ip_allocations_subnet_id"),
        sa.PrimaryKeyConstraint("subnet_id", "address_key", name="pk_ip_allocations"),
    )
    op.create_index("ix_ip_allocations_port_id", "ip_allocations", ["port_id"])


def _port_security_groups() -> None:
    op.create_table(
        "port_security_groups",
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("security_group_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name="fk_port_security_groups_port_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name="fk_port_security_groups_security_group_id",
        ),
        sa.PrimaryKeyConstraint("port_id", "security_group_id", name="pk_port_security_groups"),
    )
    op.create_index(
        "ix_port_security_groups_security_group_id", "port_security_groups", ["security_group_id"]
    )


def _router_ports() -> None:
    op.create_table(
        "router_ports",
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("router_id", sa.String(36), nullable=False),
        sa.Column("port_type", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name="fk_router_ports_port_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name="fk_router_ports_router_id"),
        sa.PrimaryKeyConstraint("port_id", name="pk_router_ports"),
    )
    op.create_index("ix_router_ports_router_id", "router_ports", ["router_id"])


def _port_forwardings() -> None:
    op.create_table(
        "port_forwardings",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.BigInteger(), nullable=False),
        sa.Column("floatingip_id", sa.String(36), nullable=False),
        sa.Column("internal_port_id", sa.String(36), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["floatingip_id"],
            ["floatingips.id"],
            name="fk_port_forwardings_floatingip_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["internal_port_id"], ["ports.id"], name="fk_port_forwardings_internal_port_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_port_forwardings"),
    )
    op.create_index("ix_port_forwardings_floatingip_id", "port_forwardings", ["floatingip_id"])
    op.create_index(
        "ix_port_forwardings_internal_port_id", "port_forwardings", ["internal_port_id"]
    )
    op.create_index("ix_port_forwardings_project_id", "port_forwardings", ["project_id"])


def upgrade() -> None:
    """Make every table, those first that others refer to."""
    _agents()
    _driver_tasks()
    _journal()
    _networks()
    _quotas()
    _rbac_policies()
    _routers()
    _security_groups()
    _subnetpools()
    _default_security_groups()
    _network_agents()
    _ports()
    _router_agents()
    _security_group_rules()
    _segment_allocations()
    _subnets()
    _floatingips()
    _ip_allocations()
    _port_security_groups()
    _router_ports()
    _port_forwardings()
