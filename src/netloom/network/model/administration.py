"""The resource table: agents, availability zones, sharing, quotas."""

from __future__ import annotations

from netloom.network.model import kinds
from netloom.network.model.attribute import (
    ADMIN,
    ANYONE,
    OWNER,
    READER,
    REQUIRED,
    Resource,
    given,
    once,
    output,
)
from netloom.network.model.standard import ID, PROJECT

#: What may be shared, and what sharing allows to do with it.
SHARED_ACTIONS: dict[str, tuple[str, ...]] = {
    "network": ("access_as_shared", "access_as_external"),
    "security_group": ("access_as_shared",),
    "subnetpool": ("access_as_shared",),
}

#: Filters find these however they are written, as where Neutron runs on MySQL.
AGENT_TYPES = ("DHCP agent", "L3 agent", "Metadata agent", "Open vSwitch agent")
_AGENT_TYPES = {name.lower(): name for name in AGENT_TYPES}


def agent_type(text: str) -> str:
    """The way in which agents write the type."""
    return _AGENT_TYPES.get(text.lower(), text)


AGENT = Resource(
    "agent",
    "agents",
    (
        ID,
        output("agent_type", kinds.string()),
        output("binary", kinds.string()),
        output("topic", kinds.string()),
        output("host", kinds.string()),
        given("admin_state_up", kinds.BOOLEAN),
        output("created_at", kinds.OUTPUT, filter=False),
        output("started_at", kinds.OUTPUT, filter=False),
        output("heartbeat_timestamp", kinds.OUTPUT, filter=False),
        output("alive", kinds.BOOLEAN, sort=False),
        output("configurations", kinds.OUTPUT, filter=False, sort=False),
        given("description", kinds.string_or_none()),
        output("availability_zone", kinds.string_or_none(), extension="availability_zone"),
        output("resources_synced", kinds.OUTPUT, filter=False, sort=False),
    ),
    not_found="AgentNotFound",
    not_found_place="id",
    rights={"show": ADMIN, "list": ADMIN, "update": ADMIN, "delete": ADMIN},
    standard=False,
    extension="agent",
    text="A program on a host that carries out what the service wants there.",
)

AVAILABILITY_ZONE = Resource(
    "availability_zone",
    "availability_zones",
    (
        output("name", kinds.string()),
        output("resource", kinds.string()),
        output("state", kinds.string()),
    ),
    path="availability_zones",
    rights={"list": ANYONE},
    standard=False,
    extension="availability_zone",
    text="Where agents say that they are.",
)

SERVICE_PROVIDER = Resource(
    "service_provider",
    "service_providers",
    (
        output("service_type", kinds.string()),
        output("name", kinds.string()),
        output("default", kinds.BOOLEAN),
    ),
    rights={"list": ANYONE},
    standard=False,
    extension="service-type",
    text="What carries out a kind of service.",
)

RBAC_POLICY = Resource(
    "rbac_policy",
    "rbac_policies",
    (
        ID,
        *PROJECT,
        once("object_type", kinds.convertible(kinds.one_of(*SHARED_ACTIONS)), REQUIRED),
        once("object_id", kinds.UUID, REQUIRED),
        once("action", kinds.string(), REQUIRED),
        given("target_tenant", kinds.string(255, blank=False), REQUIRED),
        output("target_project", kinds.string(), shown=False),
    ),
    not_found="RbacPolicyNotFound",
    not_found_place="id",
    rights={"create": OWNER, "show": READER, "list": ANYONE, "update": OWNER, "delete": OWNER},
    standard=False,
    quota=True,
    extension="rbac-policies",
    text="Lets another project, or all (`*`), use something.",
)
