"""RBAC policies: granting, revoking, and the flags of things that follow from them.

A network's `shared` and `router:external` are short for a policy whose target is everybody (`*`).
Either way of saying it changes the other, in the same transaction.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document, updated
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.model.administration import SHARED_ACTIONS

#: Flags of networks -> the action that everybody may do.
FLAGS = MappingProxyType({"shared": "access_as_shared", "router:external": "access_as_external"})
EXTERNAL_FOR_ALL = ("access_as_external", "*")
#: Flag of other kinds.
SHARED_ONLY = MappingProxyType({"shared": "access_as_shared"})


def flags_of(kind: str) -> MappingProxyType[str, str]:
    return FLAGS if kind == "network" else SHARED_ONLY


def grant(call: Call, kind: str, document: Document, action: str, target: str) -> None:
    """Let `target` do `action` with the thing, unless it may already."""
    held = call.tx.relations.sharing(kind, [document["id"]]).get(document["id"], [])
    if (action, target) in held:
        return
    created(
        call,
        "rbac_policy",
        {
            "id": call.parts.new_id(),
            "project_id": document["project_id"],
            "object_type": kind,
            "object_id": document["id"],
            "action": action,
            "target_tenant": target,
        },
    )


def forget(call: Call, kind: str, key: str) -> None:
    """Remove every policy about a thing that goes away."""
    for policy in call.tx.find("rbac_policy", object_id=key, object_type=kind):
        deleted(call, "rbac_policy", policy)


def revoke_from_all(call: Call, network: Document, action: str) -> None:
    """Stop sharing a network with everybody; a network that is no longer external is so for
    nobody."""
    for policy in call.tx.find("rbac_policy", object_id=network["id"], action=action):
        if policy["target_tenant"] == "*" or action == FLAGS["router:external"]:
            _check_unused(call, policy, {**network, "is_default": False})
            deleted(call, "rbac_policy", policy)


def create_policy(call: Call, body: dict[str, Any]) -> Document:
    """A new policy; only the owner of a thing, or an administrator, may share it."""
    kind, action, target = body["object_type"], body["action"], body["target_tenant"]
    if action not in SHARED_ACTIONS[kind]:
        known = list(SHARED_ACTIONS[kind])
        raise fail("InvalidActionForType", action=action, object_type=kind, valid_actions=known)
    thing = call.tx.get(kind, body["object_id"])
    me = call.caller
    if thing is None:
        raise invalid_input(f"there is no {kind} {body['object_id']}")
    if not me.is_admin and thing["project_id"] != me.project_id:
        raise invalid_input("Only admins can manipulate policies on objects they do not own")
    if not me.is_admin and target == "*":
        raise fail(
            "PolicyNotAuthorized",
            rule="(rule:create_rbac_policy and rule:create_rbac_policy:target_tenant)",
        )
    if (action, target) in call.tx.relations.sharing(kind, [thing["id"]]).get(thing["id"], []):
        raise fail("DuplicateRbacPolicy")
    policy = created(call, "rbac_policy", new_document(call, "rbac_policy", body))
    _set_flags(call, kind, thing["id"])
    return policy


def update_policy(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """A policy for another target."""
    target = str(body.get("target_tenant") or before["target_tenant"])
    if target == before["target_tenant"]:
        return before
    if not call.caller.is_admin and target == "*":
        raise fail(
            "PolicyNotAuthorized",
            rule="(rule:update_rbac_policy and rule:update_rbac_policy:target_tenant)",
        )
    kind, key = before["object_type"], before["object_id"]
    thing = call.require(kind, key)
    if (before["action"], target) in call.tx.relations.sharing(kind, [key]).get(key, []):
        raise fail("DuplicateRbacPolicy")
    if target != "*":
        _check_unused(call, before, thing, besides=target)
    after = updated(call, "rbac_policy", before, {**before, "target_tenant": target})
    _set_flags(call, kind, key)
    return after


def delete_policy(call: Call, policy: Document) -> None:
    """Stop sharing, unless somebody relies on it."""
    kind, key = policy["object_type"], policy["object_id"]
    thing = call.tx.get(kind, key)
    if thing is not None:
        _check_unused(call, policy, thing)
    deleted(call, "rbac_policy", policy)
    if thing is not None:
        _set_flags(call, kind, key)


def _set_flags(call: Call, kind: str, key: str) -> None:
    """Make the flags of a thing say what its policies say."""
    held = call.tx.relations.sharing(kind, [key]).get(key, [])
    before = call.require(kind, key)
    after = dict(before)
    for flag, action in flags_of(kind).items():
        # One project that may use a network as external makes it external; it is shared only
        # with everybody.
        after[flag] = any(
            what == action and (flag == "router:external" or target == "*") for what, target in held
        )
    updated(call, kind, before, after)


def _check_unused(call: Call, policy: Document, thing: Document, besides: str = "") -> None:
    """Raise if a project uses the thing that only this policy lets use it."""
    kind, action = policy["object_type"], policy["action"]
    key, target = thing["id"], policy["target_tenant"]
    if thing.get("is_default") and kind == "network" and (action, target) == EXTERNAL_FOR_ALL:
        details = "default external networks must be shared to everyone."
        raise fail("RbacPolicyInUse", object_id=key, details=details)
    held = [
        entry
        for entry in call.tx.relations.sharing(kind, [key]).get(key, [])
        if entry != (action, target)
    ]
    still = {thing["project_id"], besides, ""} | {who for what, who in held if what == action}
    if "*" in still:
        return
    users = _users(call, kind, action, key)
    losers = sorted(user for user in users - still if target in ("*", user))
    if not losers:
        return
    if kind == "network" and action == "access_as_external":
        raise fail("ExternalNetworkInUse", net_id=key)
    if kind == "network" and target == "*":
        raise fail("InvalidSharedSetting", network=thing["name"])
    raise fail("RbacPolicyInUse", object_id=key, details=f"projects {', '.join(losers)} use it")


def _users(call: Call, kind: str, action: str, key: str) -> set[str]:
    """Projects with something on the shared thing."""
    if kind == "subnetpool":
        return {subnet["project_id"] for subnet in call.tx.find("subnet", subnetpool_id=key)}
    if kind == "security_group":
        held = call.tx.relations.ports_in_groups([key])
        return {port["project_id"] for port in call.tx.find("port", id=held)} if held else set()
    ports = call.tx.find("port", network_id=key)
    if action == "access_as_external":
        users: set[str] = set()
        for port in ports:
            if port["device_owner"] == "network:router_gateway":
                router = call.tx.get("router", port["device_id"])
                users |= {router["project_id"]} if router else set()
        floating = call.tx.find("floatingip", floating_network_id=key)
        return users | {entry["project_id"] for entry in floating}
    return {port["project_id"] for port in ports if not port["device_owner"].startswith("network:")}
