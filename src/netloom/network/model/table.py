"""The whole resource table, by name and by URL."""

from __future__ import annotations

from types import MappingProxyType

from netloom.network.model.administration import (
    AGENT,
    AVAILABILITY_ZONE,
    RBAC_POLICY,
    SERVICE_PROVIDER,
)
from netloom.network.model.attribute import Resource
from netloom.network.model.networks import (
    AUTO_ALLOCATED_TOPOLOGY,
    NETWORK,
    NETWORK_IP_AVAILABILITY,
    SUBNET,
    SUBNETPOOL,
)
from netloom.network.model.ports import PORT, SECURITY_GROUP, SECURITY_GROUP_RULE
from netloom.network.model.routers import FLOATINGIP, FLOATINGIP_POOL, PORT_FORWARDING, ROUTER

RESOURCES: tuple[Resource, ...] = (
    NETWORK,
    SUBNET,
    PORT,
    SUBNETPOOL,
    ROUTER,
    FLOATINGIP,
    PORT_FORWARDING,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    RBAC_POLICY,
    AGENT,
    AVAILABILITY_ZONE,
    NETWORK_IP_AVAILABILITY,
    FLOATINGIP_POOL,
    AUTO_ALLOCATED_TOPOLOGY,
    SERVICE_PROVIDER,
)
BY_NAME = MappingProxyType({resource.name: resource for resource in RESOURCES})
#: By the first word of the URL after the version; underscores and hyphens are one.
BY_PATH = MappingProxyType(
    {resource.path.replace("_", "-"): resource for resource in RESOURCES if not resource.parent}
)


def resource(name: str) -> Resource:
    """The row of the table for `name` (singular, as in bodies)."""
    return BY_NAME[name]
