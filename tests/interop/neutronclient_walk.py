"""Walk through the bindings of python-neutronclient and print what they found, as JSON.

Executed by the Python that has them; the service is in OS_ENDPOINT and believes everybody.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from neutronclient.common import exceptions  # type: ignore[import-not-found]
from neutronclient.v2_0 import client  # type: ignore[import-not-found]


def refusal(call: Any, *words: Any) -> str:
    """The name of the exception that the client makes of the answer."""
    try:
        call(*words)
    except exceptions.NeutronClientException as error:
        return type(error).__name__
    return "none"


def main() -> None:
    neutron = client.Client(endpoint_url=os.environ["OS_ENDPOINT"], auth_strategy="noauth")
    network = neutron.create_network({"network": {"name": "walked"}})["network"]
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
    made = neutron.create_subnet({"subnet": subnet})["subnet"]
    fixed = [{"ip_address": "10.9.0.9"}]
    port = {"network_id": network["id"], "fixed_ips": fixed}
    neutron.create_port({"port": port})
    ports = [{"network_id": network["id"], "name": f"p{number}"} for number in range(5)]
    neutron.create_port({"ports": ports})
    router = neutron.create_router({"router": {"name": "r"}})["router"]
    neutron.add_interface_router(router["id"], {"subnet_id": made["id"]})
    neutron.replace_tag("networks", network["id"], {"tags": ["a", "b"]})
    neutron.remove_tag("networks", network["id"], "a")
    nobody = "00000000-0000-4000-8000-000000000000"
    pages = neutron.list_ports(retrieve_all=False, limit=2, network_id=network["id"])
    found = {
        "extensions": any(
            one["alias"] == "router" for one in neutron.list_extensions()["extensions"]
        ),
        "ports": len(neutron.list_ports(network_id=network["id"])["ports"]),
        "pages": [len(page["ports"]) for page in pages],
        "tags": neutron.show_network(network["id"])["network"]["tags"],
        "missing": refusal(neutron.show_network, nobody),
        "address": refusal(neutron.create_port, {"port": port}),
        "in use": refusal(neutron.delete_network, network["id"]),
        "bad": refusal(neutron.create_network, {"network": {"mtu": "many"}}),
        "router in use": refusal(neutron.delete_router, router["id"]),
    }
    neutron.remove_interface_router(router["id"], {"subnet_id": made["id"]})
    neutron.delete_router(router["id"])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
