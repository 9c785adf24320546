"""Security groups, each project's default one, and membership."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import check_quota, created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import fail
from netloom.network.identity.policy import is_visible
from netloom.network.lost import Lost
from netloom.network.model.table import resource
from netloom.network.rbac import grants

DEFAULT_NAME = "default"
ETHERTYPES = ("IPv4", "IPv6")
MIXED = "Cannot apply both stateful and stateless security groups on the same port at the same time"


def create_group(call: Call, body: dict[str, Any]) -> Document:
    """A new group that lets everything out and nothing in."""
    group = new_document(call, "security_group", body)
    group["shared"] = False
    if group["project_id"]:
        default_group(call, group["project_id"])
    check_quota(call, "security_group_rule", group["project_id"], len(ETHERTYPES))
    created(call, "security_group", group)
    for ethertype in ETHERTYPES:
        add_rule(call, group, "egress", ethertype)
    return group


def add_rule(
    call: Call, group: Document, direction: str, ethertype: str, remote: str | None = None
) -> Document:
    """One of the rules that groups begin with."""
    return created(
        call,
        "security_group_rule",
        {
            "id": call.parts.new_id(),
            "project_id": group["project_id"],
            "security_group_id": group["id"],
            "direction": direction,
            "ethertype": ethertype,
            "protocol": None,
            "port_range_min": None,
            "port_range_max": None,
            "remote_ip_prefix": None,
            "remote_group_id": remote,
            "remote_address_group_id": None,
            "normalized_cidr": None,
            "belongs_to_default_sg": remote is not None or group["name"] == DEFAULT_NAME,
            "description": None,
        },
    )


def default_group(call: Call, project_id: str) -> str:
    """The id of the project's default group, which is made when it is first needed: its members
    reach each other, and everything else."""
    found = call.tx.relations.default_group(project_id)
    if found is not None:
        return found
    check_quota(call, "security_group_rule", project_id, 2 * len(ETHERTYPES))
    group: Document = {
        "id": call.parts.new_id(),
        "project_id": project_id,
        "name": DEFAULT_NAME,
        "description": "Default security group",
        "stateful": True,
        "shared": False,
        "tags": [],
    }
    created(call, "security_group", group)
    if not call.tx.relations.claim_default_group(project_id, group["id"]):
        raise Lost(f"default security group of {project_id}")
    for ethertype in ETHERTYPES:
        add_rule(call, group, "egress", ethertype)
        add_rule(call, group, "ingress", ethertype, remote=group["id"])
    return str(group["id"])


def check_alike(call: Call, keys: list[str]) -> None:
    """Raise if some of a port's groups are stateful and some are not."""
    groups = call.tx.find("security_group", id=keys) if len(keys) > 1 else []
    if len({group["stateful"] for group in groups}) > 1:
        raise fail("SecurityGroupConflict", reason=MIXED)


def check_groups(call: Call, keys: list[str]) -> None:
    """Raise unless the caller sees every one of these groups."""
    found = (
        {group["id"]: group for group in call.tx.find("security_group", id=keys)} if keys else {}
    )
    for key in keys:
        group = found.get(key)
        if group is None or not is_visible(call, resource("security_group"), group):
            raise fail("SecurityGroupNotFound", id=key)


def update_group(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A changed group; whether it is stateful only while no port is in it."""
    default = before["name"] == DEFAULT_NAME
    if default and body.get("name", DEFAULT_NAME) != DEFAULT_NAME:
        raise fail("SecurityGroupCannotUpdateDefault")
    after = {**before, **body}
    if after["stateful"] != before["stateful"] and call.tx.relations.ports_in_groups(
        [before["id"]]
    ):
        raise fail("SecurityGroupInUse", id=before["id"], reason="in use")
    return updated(call, "security_group", before, after)


def delete_group(call: Call, group: Document) -> None:
    """Remove a group that no port is in."""
    if group["name"] == DEFAULT_NAME and not call.caller.is_admin:
        raise fail("SecurityGroupCannotRemoveDefault")
    if call.tx.relations.ports_in_groups([group["id"]]):
        raise fail("SecurityGroupInUse", id=group["id"], reason="in use")
    for rule in call.tx.find("security_group_rule", security_group_id=group["id"]):
        deleted(call, "security_group_rule", rule)
    for rule in call.tx.find("security_group_rule", remote_group_id=group["id"]):
        deleted(call, "security_group_rule", rule)
    grants.forget(call, "security_group", group["id"])
    deleted(call, "security_group", group)


def view_groups(call: Call, groups: list[Document]) -> list[Document]:
    """Groups as the API shows them: with their rules."""
    keys = [group["id"] for group in groups]
    rules: dict[str, list[Document]] = {}
    found = call.tx.find("security_group_rule", security_group_id=keys) if keys else []
    for rule in found:
        rules.setdefault(rule["security_group_id"], []).append(
            {**rule, "tenant_id": rule["project_id"]}
        )
    sharing = {} if call.caller.is_admin else call.tx.relations.sharing("security_group", keys)
    mine = ("access_as_shared", call.caller.project_id)
    return [
        {
            **group,
            "security_group_rules": rules.get(group["id"], []),
            "shared": group["shared"] or mine in sharing.get(group["id"], ()),
        }
        for group in groups
    ]
