"""Labs that stand until they are taken down: `netloom lab up|down|exec|inspect|graph`.

A standing lab is a `Cloud` from a plan, kept when the command ends. Its owner is its network
service: while that runs, `netloom clean-host` leaves the lab alone. What `exec`, `inspect` and
`graph` need to know is written down in `<lab>/state.json`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from netloom.base.errors import NetloomError
from netloom.lab.cloud import Cloud, Host
from netloom.lab.lab import LABS, remove_lab
from netloom.lab.plan import LabPlan, MachinePlan, NetworkPlan, RulePlan
from netloom.lab.rootless import refuse_kernel
from netloom.lab.switch import DAEMONS, Programs, Switch

Say = Callable[[str], None]
STATE = "state.json"
CHOICE = "NETLOOM_SYSTEM_DATAPATH"


def raise_lab(
    plan: LabPlan, say: Say, labs: Path = LABS, programs: Programs | None = None
) -> dict[str, Any]:
    """Make everything in the plan and leave it standing; what goes wrong takes all of it down."""
    if (labs / plan.name).exists():
        raise NetloomError(f"lab {plan.name} stands already; netloom lab down {plan.name}")
    if plan.datapath == "kernel":
        refuse_kernel(f"lab {plan.name}")
    if plan.datapath:
        os.environ[CHOICE] = plan.datapath
    began = time.monotonic()

    def told(text: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {text}")

    cloud = Cloud(
        plan.name,
        True,
        labs,
        programs,
        plan.tunnels,
        plan.l2_population,
        standing=True,
    )
    with cloud, ExitStack() as undo:
        undo.callback(remove_lab, cloud.directory)
        state = _Builder(cloud, plan, told).build()
        undo.pop_all()
        return state


class _Builder:
    """The steps of `raise_lab`; those that do not need each other go side by side."""

    def __init__(self, cloud: Cloud, plan: LabPlan, say: Say) -> None:
        self.cloud = cloud
        self.plan = plan
        self.say = say
        self.networks: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, str] = {}
        self.gateways: dict[str, str] = {}

    def build(self) -> dict[str, Any]:
        cloud, plan = self.cloud, self.plan
        mtu = str(plan.underlay_mtu)
        for index, (name, host) in enumerate(plan.hosts.items()):
            made = cloud.add_host(name, host.physical, host.network_node)
            made.namespace.ip("link", "set", "under0", "mtu", mtu)
            cloud.host.ip("link", "set", f"u{index}", "mtu", mtu)
        self.say(f"{len(plan.hosts)} hosts are cabled")
        with ThreadPoolExecutor(2) as pool:
            service = pool.submit(cloud.serve)
            cloud.start_switches(lambda host: self.say(f"host {host.name}: the switch runs"))
            service.result()
        (cloud.directory / "owner").write_text(f"{cloud.service.pid()}\n")
        self.say("the network service answers")
        cloud.start_agents()
        self.say("all agents report")
        self._make_networks()
        vms = self._make_machines()
        state = {"name": plan.name, "hosts": self._hosts(), "vms": vms}
        (cloud.directory / STATE).write_text(json.dumps(state, indent=2))
        return state

    def _make_networks(self) -> None:
        for name, network in self.plan.networks.items():
            self._make_network(name, network)
        make = self.cloud.api.make
        for name, rules in self.plan.groups.items():
            group = self.groups[name] = make("security_group", name=name)["id"]
            for rule in rules:
                for version in _versions(rule):
                    make("security_group_rule", security_group_id=group, **_rule(rule, version))
        for name, router in self.plan.routers.items():
            self._make_router(name, router.networks, router.gateway)
        self.say(
            f"made: {len(self.networks)} networks, {len(self.plan.routers)} routers,"
            f" {len(self.groups)} security groups"
        )

    def _make_network(self, name: str, plan: NetworkPlan) -> None:
        provider = {
            "provider:network_type": plan.type,
            "provider:physical_network": plan.physical,
            "provider:segmentation_id": plan.segment,
            "router:external": plan.external,
        }
        body: dict[str, Any] = {key: value for key, value in provider.items() if value}
        made = self.cloud.api.make("network", name=name, **body)
        made["subnets"] = []
        for cidr in plan.subnets:
            more: dict[str, Any] = {"enable_dhcp": False} if plan.external else {}
            if ":" in cidr and not plan.external:
                more = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
            if plan.outside and (":" in plan.outside) == (":" in cidr):
                more["gateway_ip"] = plan.outside.partition("/")[0]
            version = 6 if ":" in cidr else 4
            subnet = self.cloud.api.make(
                "subnet", network_id=made["id"], cidr=cidr, ip_version=version, **more
            )
            made["subnets"].append(subnet)
        if plan.outside:
            wire = plan.physical or "physnet1"
            self.cloud.host.ip("addr", "add", plan.outside, "dev", wire)
        self.networks[name] = made

    def _make_router(self, name: str, networks: tuple[str, ...], gateway: str) -> None:
        api = self.cloud.api
        info = {"network_id": self.networks[gateway]["id"]} if gateway else None
        more: dict[str, Any] = {"external_gateway_info": info} if info else {}
        router = api.make("router", name=name, **more)
        for network in networks:
            for subnet in self.networks[network]["subnets"]:
                path = f"routers/{router['id']}/add_router_interface"
                api.request("PUT", path, {"subnet_id": subnet["id"]})
                if subnet["ip_version"] == 4:
                    self.gateways[network] = subnet["gateway_ip"]

    def _make_machines(self) -> dict[str, Any]:
        ports = {}
        for name, plan in self.plan.vms.items():
            groups = [self.groups[group] for group in plan.groups]
            more: dict[str, Any] = {"security_groups": groups} if groups else {}
            network, host = self.networks[plan.network], self.cloud.hosts[plan.host]
            ports[name] = self.cloud.port(network, host, name=name, **more)
        if not ports:
            return {}
        with ThreadPoolExecutor(4) as pool:
            return dict(
                pool.map(lambda name: self._boot(name, self.plan.vms[name], ports[name]), ports)
            )

    def _boot(self, name: str, plan: MachinePlan, port: dict[str, Any]) -> tuple[str, Any]:
        cloud = self.cloud
        began = time.monotonic()
        gateway = self.gateways.get(plan.network, "")
        vm = cloud.boot(name, cloud.hosts[plan.host], port, gateway)
        floating = ""
        if plan.floating:
            outer = self.networks[plan.floating]["id"]
            made = cloud.api.make("floatingip", floating_network_id=outer, port_id=port["id"])
            floating = made["floating_ip_address"]
        addresses = [one["ip_address"] for one in port["fixed_ips"]]
        self.say(f"vm {name}: {', '.join(addresses)} ({time.monotonic() - began:.1f} s)")
        return name, {
            "namespace": vm.name,
            "host": plan.host,
            "network": plan.network,
            "device": vm.vif,
            "port": port["id"],
            "addresses": addresses,
            "floating": floating,
        }

    def _hosts(self) -> dict[str, Any]:
        return {name: _host_state(host) for name, host in self.cloud.hosts.items()}


def _host_state(host: Host) -> dict[str, Any]:
    return {
        "namespace": host.namespace.name,
        "address": host.address,
        "physical": list(host.physical),
        "agents": sorted(host.agents),
        "path": host.switch.env["PATH"],
    }


def _versions(rule: RulePlan) -> tuple[int, ...]:
    if rule.prefix:
        return (6,) if ":" in rule.prefix else (4,)
    return {"icmp": (4,), "ipv6-icmp": (6,)}.get(rule.protocol, (4, 6))


def _rule(rule: RulePlan, version: int) -> dict[str, Any]:
    low, _, high = rule.ports.partition("-")
    more: dict[str, Any] = {"protocol": rule.protocol} if rule.protocol else {}
    more |= {"remote_ip_prefix": rule.prefix} if rule.prefix else {}
    more |= {"port_range_min": int(low), "port_range_max": int(high)} if low else {}
    return {"direction": "ingress", "ethertype": f"IPv{version}", **more}


# Labs that stand


def standing_labs(labs: Path = LABS) -> list[str]:
    """Names of the labs that `raise_lab` left standing."""
    return sorted(path.parent.name for path in labs.glob(f"*/{STATE}"))


def state_of(name: str, labs: Path = LABS) -> dict[str, Any]:
    """What was written down; `NetloomError` if there is no such lab. An empty name: the only
    lab."""
    known = standing_labs(labs)
    if not name and len(known) == 1:
        name = known[0]
    if name not in known:
        there = ", ".join(known) or "none"
        raise NetloomError(f"no lab '{name}' stands here (there are: {there})")
    state: dict[str, Any] = json.loads((labs / name / STATE).read_text())
    return state


def take_down(name: str, labs: Path = LABS) -> str:
    """Remove a lab; its name."""
    state = state_of(name, labs)
    remove_lab(labs / state["name"])
    return str(state["name"])


def run_inside(name: str, where: str, argv: list[str], labs: Path = LABS) -> int:
    """Run a command at a host or in a machine, on this terminal; its exit status. At a host the
    classic tools find the host's switch."""
    state = state_of(name, labs)
    if where in state["hosts"]:
        place = state["hosts"][where]
        environment = {**Switch(labs / state["name"] / where).env, "PATH": place["path"]}
    elif where in state["vms"]:
        place, environment = state["vms"][where], dict(os.environ)
    else:
        there = ", ".join([*state["hosts"], *state["vms"]])
        raise NetloomError(f"no host or machine '{where}' in {state['name']} (there are: {there})")
    if not os.path.ismount(Path("/run/netns") / place["namespace"]):
        raise NetloomError(
            f"{where} is gone, its namespace with it; netloom lab down {state['name']}"
        )
    try:
        return subprocess.call(
            ["nsenter", f"--net=/run/netns/{place['namespace']}", *argv], env=environment
        )
    except KeyboardInterrupt:
        return 130


def inspect_lab(name: str, labs: Path = LABS) -> list[tuple[str, ...]]:
    """Rows (kind, name, state, details), hosts first: what was made, and whether it still runs."""
    state = state_of(name, labs)
    directory = labs / state["name"]
    rows: list[tuple[str, ...]] = []
    for label, host in state["hosts"].items():
        names = [*reversed(DAEMONS), *(f"{kind}-agent" for kind in host["agents"])]
        dead = [one for one in names if not _lives(directory / label / f"{one}.pid")]
        health = f"without {', '.join(dead)}" if dead else "runs"
        details = f"underlay {host['address']}; {', '.join(host['physical'])}"
        rows.append(("host", label, health, details))
    for label, vm in state["vms"].items():
        # A namespace is mounted there: of one whose keeper has gone, only the name is left.
        there = os.path.ismount(Path("/run/netns") / vm["namespace"])
        details = f"{', '.join(vm['addresses'])} on {vm['network']}, at {vm['host']}"
        details += f", floating {vm['floating']}" if vm["floating"] else ""
        rows.append(("vm", label, "runs" if there else "gone", f"{details}; {vm['device']}"))
    health = "runs" if _lives(directory / "service.pid") else "dead"
    rows.append(("service", "api", health, f"unix:{directory / 'api.sock'}"))
    return rows


def _lives(pidfile: Path) -> bool:
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        return False
    return Path(f"/proc/{pid}").exists()


def graph_of(state: Mapping[str, Any]) -> str:
    """The lab as a graph for dot(1): wires, hosts with their machines, and addresses."""
    lines = [f'graph "{state["name"]}" {{', "  node [shape=box, fontname=monospace];"]
    wires = {"underlay", *(one for host in state["hosts"].values() for one in host["physical"])}
    lines += [f'  "wire {wire}" [shape=ellipse, label="{wire}"];' for wire in sorted(wires)]
    for name, host in state["hosts"].items():
        lines.append(f'  "host {name}" [label="{name}\\n{", ".join(host["agents"])}"];')
        lines.append(f'  "host {name}" -- "wire underlay" [label="{host["address"]}"];')
        lines += [f'  "host {name}" -- "wire {wire}";' for wire in host["physical"]]
    for name, vm in state["vms"].items():
        text = "\\n".join([name, *vm["addresses"], *filter(None, [vm["floating"]])])
        lines.append(f'  "vm {name}" [label="{text}", style=rounded];')
        lines.append(f'  "vm {name}" -- "host {vm["host"]}" [label="{vm["network"]}"];')
    return "\n".join([*lines, "}", ""])
