"""A network for whoever asks for one: made on first use, with subnets of the default pools and a
router to the default external network; and which external network that is."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.document import Caller, Document
from netloom.network.errors import fail
from netloom.network.l3 import interfaces, routers
from netloom.network.lost import Lost
from netloom.network.ml2 import networks, subnets

NAME = "auto_allocated_"
DRY_RUN = "dry-run"
IP_VERSIONS = (4, 6)


def project_of(call: Call, key: str) -> str:
    """Whose topology is meant; clients that name none send `None`."""
    mine = call.caller.project_id
    project = mine if key == "None" else key
    if project != mine and not call.caller.is_admin:
        raise fail("NotAuthorized")
    return project


def show_topology(call: Call, key: str, fields: list[str]) -> dict[str, Any]:
    """The project's topology, which is made if there is none; with the field `dry-run`, whether
    it could be."""
    project = project_of(call, key)
    if DRY_RUN in fields:
        _default_external(call)
        if not _default_pools(call):
            raise fail("AutoAllocationFailure", reason="No default subnetpools defined")
        return {"id": "dry-run=pass", "project_id": project}
    if fields:
        raise fail("BadRequest", resource="auto_allocate", msg="Unrecognized field")
    found = call.tx.relations.topology(project)
    network = found[0] if found else _make(call, project)
    return {"id": network, "project_id": project, "tenant_id": project}


def _default_external(call: Call) -> Document:
    found = networks.default_external(call)
    if found is None:
        raise fail("AutoAllocationFailure", reason="No default router:external network")
    return found


def _default_pools(call: Call) -> list[Document]:
    """At most one for each IP version."""
    return [pool for pool in call.tx.find("subnetpool") if pool["is_default"]]


def _make(call: Call, project: str) -> str:
    """The id of a new network with everything that belongs to it."""
    external = _default_external(call)
    pools = {pool["ip_version"]: pool["id"] for pool in _default_pools(call)}
    if not pools:
        raise fail("AutoAllocationFailure", reason="Unable to provide project private network")
    service = Call(call.tx, Caller(project, frozenset({"admin"})), call.parts)
    network = networks.create_network(service, {"name": f"{NAME}network", "project_id": project})
    gateway = {"network_id": external["id"]}
    body = {"name": f"{NAME}router", "project_id": project, "external_gateway_info": gateway}
    router = routers.create_router(service, body)
    for version in IP_VERSIONS:
        if version in pools:
            wanted = {
                "name": f"{NAME}subnet_v{version}",
                "project_id": project,
                "network_id": network["id"],
                "ip_version": version,
                "subnetpool_id": pools[version],
            }
            subnet = subnets.create_subnet(service, wanted)
            interfaces.add_interface(service, router, {"subnet_id": subnet["id"]})
    if not call.tx.relations.claim_topology(project, network["id"], router["id"]):
        raise Lost(f"topology of {project}")
    return str(network["id"])


def delete_topology(call: Call, key: str) -> None:
    """Remove the project's topology, if it has one."""
    project = project_of(call, key)
    found = call.tx.relations.topology(project)
    if found is None:
        return
    network, router_id = found
    service = call.as_service()
    router = call.tx.get("router", router_id) if router_id else None
    if router is not None:
        for subnet in call.tx.find("subnet", network_id=network):
            interfaces.remove_interface(service, router, {"subnet_id": subnet["id"]})
        routers.delete_router(service, call.require("router", router["id"]))
    networks.delete_network(service, call.require("network", network))
