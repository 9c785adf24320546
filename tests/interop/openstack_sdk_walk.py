"""Use the service through openstacksdk and say what was found, as JSON.

Executed by the Python that has the library.
"""

from __future__ import annotations

import json
import os
import sys

import openstack  # type: ignore[import-not-found]


def main() -> None:
    connection = openstack.connect(
        auth_type="none", endpoint=os.environ["OS_ENDPOINT"], network_endpoint_override=None
    )
    network = connection.network
    found: dict[str, object] = {}
    net = network.create_network(name="sdk")
    subnet = network.create_subnet(network_id=net.id, name="sdk", ip_version=4, cidr="10.0.0.0/24")
    ports = list(
        network.create_ports([{"network_id": net.id, "name": f"p{number}"} for number in range(5)])
    )
    found["bulk"] = sorted(port.name for port in ports)
    found["pages"] = sorted(port.name for port in network.ports(limit=2))
    found["find"] = network.find_port("p3").id in {port.id for port in ports}
    network.set_tags(net, ["a", "b"])
    found["tags"] = network.get_network(net.id).tags
    try:
        network.update_network(net, if_revision=1, name="other")
        found["revision"] = "changed"
    except openstack.exceptions.HttpException as error:
        found["revision"] = error.status_code
    found["quota"] = network.get_quota("someone").networks
    network.update_quota("someone", networks=3)
    found["quota set"] = network.get_quota("someone").networks
    found["quota details"] = network.get_quota("someone", details=True).networks
    network.delete_quota("someone")
    group = network.create_security_group(name="g")
    rules = network.create_security_group_rules(
        [
            {"security_group_id": group.id, "direction": "ingress", "protocol": name}
            for name in ("tcp", "udp")
        ]
    )
    found["rules"] = len(list(rules))
    router = network.create_router(name="r")
    network.add_interface_to_router(router, subnet_id=subnet.id)
    network.remove_interface_from_router(router, subnet_id=subnet.id)
    found["extensions"] = sum(1 for _ in network.extensions()) > 40
    found["missing"] = network.find_network("nothing") is None
    network.delete_router(router)
    network.delete_security_group(group)
    for port in ports:
        network.delete_port(port)
    network.delete_network(net.id)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
