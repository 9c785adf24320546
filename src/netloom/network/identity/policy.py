"""Who may do what: the rights of the resource table, judged.

Three roles, each including the next: *admin* may everything, *member* owns its project's things,
*reader* looks. What others share (RBAC policies) or what lies on one's own network is visible too.
A tenant gets "not found" for what it may not even see.
"""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call, not_found
from netloom.network.document import Caller, Document
from netloom.network.errors import ApiError, bad_request, fail
from netloom.network.model.attribute import (
    ADMIN,
    ADMIN_IF_TRUE,
    ANYONE,
    NETWORK_OWNER,
    OWNER,
    OWNER_OR_NETWORK_OWNER,
    READER,
    Resource,
)

WRITERS = frozenset({"member", "manager"})
READERS = WRITERS | {"reader"}
#: What sharing a thing with somebody lets them see.
SEEN_BY = {
    "network": ("access_as_shared", "access_as_external"),
    "security_group": ("access_as_shared",),
    "subnetpool": ("access_as_shared",),
}
#: No project's id: they have no spaces.
NOBODY = "no project"
#: device_owner values that only administrators and owners of the network may give.
NETWORK_DEVICES = "network:"


def may(call: Call, right: str, document: Document) -> bool:
    """Whether the caller has `right` to the document."""
    caller = call.caller
    if caller.is_admin:
        return True
    if right == ANYONE:
        return bool(caller.roles & READERS)
    own = document.get("project_id") == caller.project_id and caller.project_id != ""
    if right == READER:
        return own and bool(caller.roles & READERS)
    if right in (OWNER, ADMIN_IF_TRUE):
        return own and bool(caller.roles & WRITERS)
    if right in (NETWORK_OWNER, OWNER_OR_NETWORK_OWNER):
        mine = own and right == OWNER_OR_NETWORK_OWNER
        return bool(caller.roles & WRITERS) and (mine or _owns_network(call, document))
    assert right == ADMIN
    return False


def _owns_network(call: Call, document: Document) -> bool:
    network = call.tx.get("network", document.get("network_id", ""))
    return network is not None and network["project_id"] == call.caller.project_id


def scope_of(caller: Caller) -> str | None:
    """The project whose things, and what is shared with it, the caller may list; None for all,
    and an id that no project has for who is of none: the service's own things have none either."""
    if caller.is_admin:
        return None
    return caller.project_id or NOBODY


def is_visible(call: Call, resource: Resource, document: Document) -> bool:
    """Whether the caller may know that the document exists."""
    caller = call.caller
    if caller.is_admin:
        return True
    if not caller.roles & READERS or resource.rights.get("show") == ADMIN:
        return False
    if document.get("project_id") == caller.project_id != "":
        return True
    if resource.name in SEEN_BY:
        return is_shared(call, resource.name, document["id"], SEEN_BY[resource.name])
    if resource.name == "subnet":
        network = call.tx.get("network", document["network_id"])
        return network is not None and (
            network["project_id"] == caller.project_id
            or is_shared(call, "network", network["id"], SEEN_BY["network"])
        )
    if resource.name == "port":
        return _owns_network(call, document)
    if resource.name == "security_group_rule":
        group = call.tx.get("security_group", document["security_group_id"])
        return group is not None and group["project_id"] == caller.project_id
    return False


def is_shared(call: Call, kind: str, key: str, actions: tuple[str, ...]) -> bool:
    """Whether somebody lets the caller's project use the thing in one of these ways."""
    grants = call.tx.relations.sharing(kind, [key]).get(key, [])
    return any(
        action in actions and target in ("*", call.caller.project_id) for action, target in grants
    )


def owner_of_new(caller: Caller, body: dict[str, Any]) -> str:
    """The project that a new thing is for; raises if the caller may not act for it."""
    given = body.get("project_id", body.get("tenant_id"))
    if "project_id" in body and "tenant_id" in body and body["project_id"] != body["tenant_id"]:
        raise bad_request("'project_id' and 'tenant_id' do not match")
    if given is None:
        return caller.project_id
    if given != caller.project_id and not caller.is_admin:
        raise bad_request(
            "Specifying 'project_id' other than the authenticated project in request requires "
            "admin privileges"
        )
    return str(given)


def enforce(
    call: Call, resource: Resource, operation: str, document: Document, body: dict[str, Any]
) -> None:
    """Raise unless the caller may do `operation` on the document and give these attributes."""
    right = resource.rights[operation]
    if not may(call, right, document):
        if operation != "create" and not is_visible(call, resource, document):
            raise not_found(resource.name, document["id"])
        raise _forbidden(operation, resource, "")
    for name, value in body.items():
        attribute = resource.by_name.get(name)
        if attribute is None or call.caller.is_admin:
            continue
        right = (operation == "update" and attribute.may_change) or attribute.may_set
        if right == OWNER:
            continue
        if right == ADMIN_IF_TRUE and not _raises_right(value, document, name):
            continue
        if right == NETWORK_OWNER and _owns_network(call, document):
            continue
        if operation == "create" and value == attribute.default:
            continue
        raise _forbidden(operation, resource, name)
    if resource.name == "port":
        _enforce_port(call, operation, document, body)
    if resource.name == "router":
        _enforce_gateway(call, operation, resource, body)


def _raises_right(value: Any, document: Document, name: str) -> bool:
    """Whether sharing changes: on update both ways count."""
    return bool(value) or bool(document.get(name))


def _enforce_port(call: Call, operation: str, document: Document, body: dict[str, Any]) -> None:
    """Addresses and network services are the network owner's to give."""
    if call.caller.is_admin:
        return
    rule = f"rule:{operation}_port"
    fixed = body.get("fixed_ips")
    chosen = isinstance(fixed, list) and any("ip_address" in entry for entry in fixed)
    device = str(body.get("device_owner", "")).startswith(NETWORK_DEVICES)
    if (chosen or device) and not _owns_network(call, document):
        name = "fixed_ips" if chosen else "device_owner"
        raise fail("PolicyNotAuthorized", rule=f"({rule} and {rule}:{name})")


def _enforce_gateway(call: Call, operation: str, resource: Resource, body: dict[str, Any]) -> None:
    """How a router leaves is the administrator's choice, that it does is the owner's."""
    gateway = body.get("external_gateway_info")
    if call.caller.is_admin or not isinstance(gateway, dict):
        return
    for name in ("enable_snat", "external_fixed_ips"):
        if name in gateway:
            raise _forbidden(operation, resource, f"external_gateway_info:{name}")


def _forbidden(operation: str, resource: Resource, attribute: str) -> ApiError:
    rule = f"rule:{operation}_{resource.name}"
    return fail(
        "PolicyNotAuthorized", rule=f"({rule} and {rule}:{attribute})" if attribute else rule
    )
