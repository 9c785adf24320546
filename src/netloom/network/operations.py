"""What can be done with each kind of thing: the table that leads from the API to the plans."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import fail
from netloom.network.fleet import reports
from netloom.network.l3 import floatingips, routers
from netloom.network.ml2 import networks, ports, subnets
from netloom.network.model.attribute import Resource
from netloom.network.pools import pools
from netloom.network.rbac import grants
from netloom.network.secgroup import groups, rules

Body = dict[str, Any]


def _as_they_are(call: Call, documents: list[Document]) -> list[Document]:
    return documents


class Operations(NamedTuple):
    """The plans of one kind; `view` turns stored documents into what the API shows."""

    create: Callable[[Call, Body], Document] | None = None
    update: Callable[[Call, Document, Body], Document] | None = None
    delete: Callable[[Call, Document], None] | None = None
    view: Callable[[Call, list[Document]], list[Document]] = _as_they_are


def check_together(row: Resource, bodies: list[Body]) -> None:
    """Raise if things that are made at once may not be: rules belong to one security group."""
    if (
        row.name == "security_group_rule"
        and len({body["security_group_id"] for body in bodies}) > 1
    ):
        raise fail("SecurityGroupNotSingleGroupRules")


def _view_policies(call: Call, policies: list[Document]) -> list[Document]:
    return [{**policy, "target_project": policy["target_tenant"]} for policy in policies]


OPERATIONS = MappingProxyType(
    {
        "network": Operations(
            networks.create_network,
            networks.update_network,
            networks.delete_network,
            networks.view_networks,
        ),
        "subnet": Operations(
            subnets.create_subnet,
            subnets.update_subnet,
            subnets.delete_subnet,
            subnets.view_subnets,
        ),
        "port": Operations(ports.create_port, ports.update_port, ports.delete_port),
        "subnetpool": Operations(
            pools.create_pool, pools.update_pool, pools.delete_pool, pools.view_pools
        ),
        "router": Operations(
            routers.create_router,
            routers.update_router,
            routers.delete_router,
            routers.view_routers,
        ),
        "floatingip": Operations(
            floatingips.create_floatingip,
            floatingips.update_floatingip,
            floatingips.delete_floatingip,
            floatingips.view_floatingips,
        ),
        "security_group": Operations(
            groups.create_group, groups.update_group, groups.delete_group, groups.view_groups
        ),
        "security_group_rule": Operations(rules.create_rule, None, rules.delete_rule),
        "rbac_policy": Operations(
            grants.create_policy, grants.update_policy, grants.delete_policy, _view_policies
        ),
        "agent": Operations(None, reports.update_agent, reports.delete_agent, reports.view_agents),
    }
)
