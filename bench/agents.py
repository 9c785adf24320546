"""The agents: how long until a port works, a host is up, and a group's change is in.

A lab of two hosts. Times run from the API call until the service says ACTIVE, or until the flow is
in the switch; asking costs a few milliseconds each time, which the figures contain. Ports are
internal devices of the switch, which needs no machine at the other end. Neutron's figure was taken
once on this kind of machine.
"""

from __future__ import annotations

import os
import time
from typing import Any

from bench.facts import FactTable
from netloom.lab.cloud import Cloud, Host

#: Recorded: seconds from plugging in two ports until both are ACTIVE.
NEUTRON_ACTIVE_S = 6.6
ACTIVE_GOAL_S, COLD_GOAL_S, MEMBER_GOAL_S = 1.0, 10.0, 1.0
PORTS, MEMBERS, REPEATS, BULK = 500, 200, 5, 50


class Bench:
    """A network, a group whose members let each other in, and ports of both."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        make = cloud.api.make
        self.network = make("network", name="n")
        body = {"network_id": self.network["id"], "cidr": "10.0.0.0/16", "ip_version": 4}
        make("subnet", enable_dhcp=False, **body)
        self.group: str = make("security_group", name="members")["id"]
        rule = {"direction": "ingress", "remote_group_id": self.group}
        make("security_group_rule", security_group_id=self.group, **rule)

    def ports(self, host: Host, count: int, **more: Any) -> list[dict[str, Any]]:
        """New ports at a host."""
        one = {"network_id": self.network["id"], "binding:host_id": host.name, **more}
        made: list[dict[str, Any]] = []
        while len(made) < count:
            body = {"ports": [one] * min(BULK, count - len(made))}
            made += self.cloud.api.request("POST", "ports", body)["ports"]
        return made

    def plug(self, host: Host, ports: list[dict[str, Any]]) -> None:
        """Devices for ports, many with one command."""
        for start in range(0, len(ports), BULK):
            words = ["ovs-vsctl", "--no-wait"]
            for port in ports[start : start + BULK]:
                device = f"tap{port['id'][:11]}"
                words += ["--", "add-port", "br-int", device, "--", "set", "interface", device]
                words += ["type=internal", f"external_ids:iface-id={port['id']}"]
                words += [f'external_ids:attached-mac="{port["mac_address"]}"']
            host.switch.run(*words)

    def active(self, host: Host) -> int:
        path = f"ports?binding:host_id={host.name}&status=ACTIVE&fields=id"
        return len(self.cloud.api.request("GET", path)["ports"])

    def cold_start_s(self, host: Host, count: int, members: int) -> float:
        """Seconds from starting the agent of a host with many ports until all are ACTIVE."""
        ports = self.ports(host, members, security_groups=[self.group])
        ports += self.ports(host, count - members)
        host.switch.run("ovs-vsctl", "--may-exist", "add-br", "br-int")
        self.plug(host, ports)
        began = time.monotonic()
        self.cloud.start_agents()
        self.cloud.wait("all are ACTIVE", lambda: self.active(host) == count, 120)
        return time.monotonic() - began

    def active_s(self, host: Host) -> float:
        """Seconds from the API call for two ports until both are ACTIVE."""
        before = self.active(host)
        began = time.monotonic()
        self.plug(host, self.ports(host, 2))
        self.cloud.wait("both are ACTIVE", lambda: self.active(host) == before + 2)
        return time.monotonic() - began

    def member_s(self, host: Host, elsewhere: Host) -> float:
        """Seconds from the API call for one more member, at another host, until a flow knows it."""
        began = time.monotonic()
        (port,) = self.ports(elsewhere, 1, security_groups=[self.group])
        match = f"table=82,ip,nw_src={port['fixed_ips'][0]['ip_address']}"

        def known() -> bool:
            shown = host.switch.run("ovs-ofctl", "dump-flows", "br-int", match).stdout
            return "nw_src=" in shown

        self.cloud.wait("the flow is in", known)
        return time.monotonic() - began


def measure(cloud: Cloud, count: int, members: int, repeats: int) -> FactTable:
    """All figures, in a lab whose agents do not run yet."""
    table = FactTable("Agents", "Neutron (recorded)")
    bench = Bench(cloud)
    full, empty = cloud.hosts["full"], cloud.hosts["empty"]
    cold = bench.cold_start_s(full, count, members)
    quick = sorted(bench.active_s(empty) for _ in range(repeats))[repeats // 2]
    busy = sorted(bench.active_s(full) for _ in range(repeats))[repeats // 2]
    member = sorted(bench.member_s(full, empty) for _ in range(repeats))[repeats // 2]
    goal = NEUTRON_ACTIVE_S / ACTIVE_GOAL_S
    what = "API call to ACTIVE, two ports"
    table.add(f"{what}, host without", "s", quick, NEUTRON_ACTIVE_S, goal, lower=True)
    table.add(f"{what}, host with {count}", "s", busy, NEUTRON_ACTIVE_S, goal, lower=True)
    table.add(f"cold start with {count} ports", "s", cold, 0, COLD_GOAL_S, lower=True)
    table.add(f"one member more of {members}", "s", member, 0, MEMBER_GOAL_S, lower=True)
    return table


def main(count: int = PORTS, members: int = MEMBERS, repeats: int = REPEATS) -> None:
    # What is measured does not depend on the data path; this one works everywhere.
    os.environ.setdefault("NETLOOM_SYSTEM_DATAPATH", "userspace")
    with Cloud("bench") as cloud:
        cloud.serve()
        cloud.add_host("full")
        cloud.add_host("empty")
        cloud.start_switches()
        cloud.api.request("PUT", f"quotas/{_project(cloud)}", {"quota": {"port": -1}})
        measure(cloud, count, members, repeats).print()


def _project(cloud: Cloud) -> str:
    project: str = cloud.api.make("network", name="probe")["project_id"]
    return project or "admin"
