"""A lab of several hosts under one network service.

    with Cloud("demo") as cloud:
        cloud.serve()
        net = cloud.add_host("net", physical=("physnet1", "public"))
        node = cloud.add_host("node1", physical=("physnet1",))
        cloud.start()
        network = cloud.api.make("network", name="blue")
        ...
        vm = cloud.boot("vm1", node, port)

Each host is a namespace with a switch and agents of its own. The lab's first namespace is the
wire: one Linux bridge for the underlay, where each host has an address (device `under0`), and one
for each physical network, whose end at a host (device `eth-<network>`) is a port of its provider
bridge `br-<network>`. The service listens on a Unix socket, which agents in every namespace reach.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx

from netloom.base.errors import NetloomError
from netloom.lab.commands import run
from netloom.lab.lab import LABS, Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.peers import service_program
from netloom.lab.process import Process
from netloom.lab.switch import Programs, Switch

SERVICE_CONFIG = """\
[DEFAULT]
api_workers = 1
global_physnet_mtu = 1500
[database]
connection = sqlite:///{directory}/network.sqlite
[ml2]
tenant_network_types = {tenant}
mechanism_drivers = openvswitch{population}
[ml2_type_flat]
flat_networks = *
[ml2_type_vlan]
network_vlan_ranges = {vlans}
[ml2_type_vxlan]
vni_ranges = 1:10000
[ml2_type_gre]
tunnel_id_ranges = 20000:29999
"""
L2_CONFIG = """\
[DEFAULT]
host = {host}
[netloom]
server_url = unix:{socket}
[ovs]
local_ip = {address}
bridge_mappings = {mappings}
[agent]
report_interval = 2
tunnel_types = {tunnels}
l2_population = {population}
arp_responder = {population}
"""
ROOM_CONFIG = """\
[DEFAULT]
host = {host}
state_path = {directory}
[netloom]
server_url = unix:{socket}
dnsmasq = {dnsmasq}
nft = {nft}
[agent]
report_interval = 2
"""
RUN_UNTIL_TERM = """"$@" & child=$!; trap 'kill $child' TERM; wait"""
WAIT_S = 40.0
PAUSE_S = 0.02
UNDERLAY = "192.168.100.{}"


class Api:
    """The service's API, as an administrator."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.HTTPTransport(uds=str(socket))
        self.client = httpx.Client(base_url="http://localhost", transport=transport, timeout=30)

    def request(self, method: str, path: str, body: Any = None, project: str = "") -> Any:
        """The content of the answer; `NetloomError` if it is refused."""
        headers = {"X-Project-Id": project, "X-Roles": "member"} if project else {}
        answer = self.client.request(method, f"/v2.0/{path}", json=body, headers=headers)
        if answer.status_code >= 300:
            raise NetloomError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def make(self, kind: str, project: str = "", **attributes: Any) -> dict[str, Any]:
        """Create something of a kind (its name in bodies)."""
        path = f"{kind.replace('_', '-')}s"
        made: dict[str, Any] = self.request("POST", path, {kind: attributes}, project)[kind]
        return made

    def show(self, kind: str, key: str) -> dict[str, Any]:
        """The thing with this id."""
        shown: dict[str, Any] = self.request("GET", f"{kind.replace('_', '-')}s/{key}")[kind]
        return shown


class Host:
    """A host: its namespace, its switch, its agents."""

    def __init__(self, name: str, address: str, namespace: Namespace, switch: Switch) -> None:
        self.name = name
        self.address = address
        self.namespace = namespace
        self.switch = switch
        self.physical: tuple[str, ...] = ()
        #: Whether it has the agents for DHCP and routers.
        self.is_network_node = False
        self.agents: dict[str, Process] = {}

    @property
    def directory(self) -> Path:
        return self.switch.rundir


class Cloud(Lab):
    """See the module."""

    def __init__(
        self,
        name: str,
        keep: bool = False,
        labs: Path = LABS,
        programs: Programs | None = None,
        tunnels: Sequence[str] = (),
        population: bool = True,
        tenant: str = "",
        standing: bool = False,
    ) -> None:
        super().__init__(name, keep, labs, standing)
        self.programs = programs
        self.tunnels = tuple(tunnels)
        self.population = population
        self.tenant = tenant or (self.tunnels[0] if self.tunnels else "vlan")
        self.hosts: dict[str, Host] = {}
        self._wires: set[str] = set()
        self.socket = self.directory / "api.sock"
        self.service = Process(self.directory, "service", ())
        self.api = Api(self.socket)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    # The service

    def serve(self, vlans: str = "physnet1:100:199") -> None:
        """Start the network service, and wait until it answers."""
        config = self.directory / "neutron.conf"
        population = ",l2population" if self.population else ""
        config.write_text(
            SERVICE_CONFIG.format(
                directory=self.directory, tenant=self.tenant, population=population, vlans=vlans
            )
        )
        words = ("network", "serve", "--port", "0", "--unix", str(self.socket))
        self.service = Process(
            self.directory, "service", (*words, "--config-file", str(config)), self.host
        )
        self.service.start()
        self.wait("the service answers", self._answers)

    def _answers(self) -> bool:
        try:
            return self.api.client.get("/").status_code == 200
        except httpx.TransportError:
            return False

    # Hosts

    def add_host(
        self, name: str, physical: Sequence[str] = ("physnet1",), network_node: bool = False
    ) -> Host:
        """A host with an address on the underlay and a bridge for each physical network; a
        network node has the agents for DHCP and routers as well."""
        namespace = Namespace(f"{self.name}-{name}")
        self._create(namespace)
        address = UNDERLAY.format(len(self.hosts) + 1)
        self._cable(namespace, "underlay", "under0", f"u{len(self.hosts)}")
        namespace.ip("addr", "add", f"{address}/24", "dev", "under0")
        switch = Switch(self.directory / name, namespace, self.programs)
        self.switches.append(switch)
        host = Host(name, address, namespace, switch)
        host.physical = tuple(physical)
        host.is_network_node = network_node
        for network in physical:
            self._cable(namespace, network, f"eth-{network}", f"{network[:8]}{len(self.hosts)}")
        self.hosts[name] = host
        return host

    def _cable(self, namespace: Namespace, wire: str, device: str, end: str) -> None:
        if wire not in self._wires:
            self.host.ip("link", "add", "name", wire, "type", "bridge", "stp_state", "0")
            self.host.ip("link", "set", wire, "up")
            self._wires.add(wire)
        run(
            *("ip", "link", "add", end, "netns", self.host.name, "type", "veth"),
            *("peer", "name", device, "netns", namespace.name),
        )
        self.host.ip("link", "set", end, "master", wire, "up")
        namespace.ip("link", "set", device, "up")

    def start(self) -> None:
        """Start the switches and agents of all hosts, and wait for the agents."""
        self.start_switches()
        self.start_agents()

    def start_switches(self, started: Callable[[Host], None] | None = None) -> None:
        """Start the switches of all hosts, side by side; `started` hears of each that runs."""

        def start(host: Host) -> None:
            self._start_switch(host)
            if started is not None:
                started(host)

        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(start, self.hosts.values()))

    def start_agents(self) -> None:
        """Start all agents, and wait until the service knows them."""
        for host in self.hosts.values():
            self._start_agents_of(host)
        wanted = sum(len(host.agents) for host in self.hosts.values())
        self.wait("all agents report", lambda: self._reporting() == wanted)

    def _reporting(self) -> int:
        agents = self.api.request("GET", "agents")["agents"]
        return len([agent for agent in agents if agent["alive"]])

    def _start_switch(self, host: Host) -> None:
        host.switch.start()
        for network in host.physical:
            bridge = f"br-{network}"
            host.switch.run(
                *("ovs-vsctl", "--may-exist", "add-br", bridge),
                *("--", "--may-exist", "add-port", bridge, f"eth-{network}"),
            )

        if self.tunnels:
            self._give_underlay_to_switch(host)

    def _give_underlay_to_switch(self, host: Host) -> None:
        """The switch sends tunnelled packets through a bridge: the one with the address."""
        address = f"{host.address}/24"
        host.switch.run(
            *("ovs-vsctl", "--may-exist", "add-br", "br-underlay"),
            *("--", "--may-exist", "add-port", "br-underlay", "under0"),
        )
        host.namespace.ip("addr", "del", address, "dev", "under0")
        # With the data path in user space the kernel hears what under0 receives as well: it must
        # not answer for the address that is behind the bridge.
        host.namespace.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
        self.configure_underlay(host)

    def configure_underlay(self, host: Host) -> None:
        """What a host's network configuration does when the device appears: with the data path in
        user space it goes with the switch that made it."""
        if self.tunnels:
            address = f"{host.address}/24"
            host.namespace.ip("addr", "replace", address, "dev", "br-underlay")
            host.namespace.ip("link", "set", "br-underlay", "up")

    def _start_agents_of(self, host: Host) -> None:
        config = host.directory / "openvswitch_agent.ini"
        config.write_text(
            L2_CONFIG.format(
                host=host.name,
                socket=self.socket,
                address=host.address,
                mappings=",".join(f"{one}:br-{one}" for one in host.physical),
                tunnels=",".join(self.tunnels),
                population=self.population,
            )
        )
        self._start_agent(host, "l2", config)
        if host.is_network_node:
            self._start_room_agents(host)

    def _start_room_agents(self, host: Host) -> None:
        programs = {name: service_program(name) for name in ("dnsmasq", "nft")}
        libraries = next((folder for _, folder in programs.values() if folder), "")
        config = host.directory / "rooms.ini"
        config.write_text(
            ROOM_CONFIG.format(
                host=host.name,
                directory=host.directory,
                socket=self.socket,
                **{name: path for name, (path, _) in programs.items()},
            )
        )
        for kind in ("dhcp", "l3"):
            self._start_agent(host, kind, config, {"LD_LIBRARY_PATH": libraries})

    def _start_agent(
        self, host: Host, kind: str, config: Path, env: Mapping[str, str] | None = None
    ) -> None:
        words = ("network", f"{kind}-agent", "--config-file", str(config))
        environment = {**host.switch.env, **{k: v for k, v in (env or {}).items() if v}}
        agent = Process(host.directory, f"{kind}-agent", words, host.namespace, environment)
        host.agents[kind] = agent
        agent.start()

    # Machines

    def boot(
        self, label: str, host: Host, port: Mapping[str, Any], gateway: str = ""
    ) -> VirtualMachine:
        """A machine with the addresses of a port, plugged in at a host; waits until it works."""
        vm = self.prepare(label, host, port, gateway)
        self.plug(host, vm.vif, port)
        self.wait_active(port["id"])
        return vm

    def prepare(
        self, label: str, host: Host, port: Mapping[str, Any], gateway: str = ""
    ) -> VirtualMachine:
        """The machine alone, not plugged in."""
        prefixes = [self._with_length(fixed) for fixed in port["fixed_ips"]]
        vm = VirtualMachine(f"{self.name}-{label}", label, f"tap{port['id'][:11]}", prefixes[0])
        self._create(vm)
        self.vms.append(vm)
        vm.connect(host.namespace, port["mac_address"])
        for prefix in prefixes[1:]:
            vm.ip("addr", "add", prefix, "dev", "eth0", "nodad")
        mtu = self.api.show("network", port["network_id"])["mtu"]
        vm.ip("link", "set", "eth0", "mtu", str(mtu))
        if gateway:
            vm.gateway = gateway
            vm.ip("route", "add", "default", "via", gateway)
        return vm

    def _with_length(self, fixed: Mapping[str, str]) -> str:
        length = self.api.show("subnet", fixed["subnet_id"])["cidr"].partition("/")[2]
        return f"{fixed['ip_address']}/{length}"

    def spawn(self, vm: VirtualMachine, name: str, *argv: str) -> None:
        """Run a command in a machine until the lab ends."""
        directory = self.directory / vm.label
        directory.mkdir(exist_ok=True)
        # The shell's command line has the directory, by which it is known at the end.
        words = ("sh", "-c", RUN_UNTIL_TERM, str(directory), *argv)
        with (directory / f"{name}.log").open("a") as log:
            started = subprocess.Popen(
                ("nsenter", f"--net=/run/netns/{vm.name}", *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        (directory / f"{name}.pid").write_text(f"{started.pid}\n")

    def plug(self, host: Host, device: str, port: Mapping[str, Any]) -> None:
        """Make the device a port of the integration bridge, as a hypervisor does."""
        host.switch.run(
            *("ovs-vsctl", "add-port", "br-int", device, "--", "set", "interface", device),
            *(f"external_ids:iface-id={port['id']}", "external_ids:iface-status=active"),
            f'external_ids:attached-mac="{port["mac_address"]}"',
        )

    def port(
        self, network: Mapping[str, Any], host: Host, project: str = "", **more: Any
    ) -> dict[str, Any]:
        """A port of the network that is bound to the host."""
        owner = {"tenant_id": project} if project else {}
        body = {"network_id": network["id"], "binding:host_id": host.name, **owner, **more}
        return self.api.make("port", **body)

    def wait_active(self, port: str) -> None:
        """Until a port's flows are in."""
        self.wait(
            f"port {port} is ACTIVE", lambda: self.api.show("port", port)["status"] == "ACTIVE"
        )

    def wait(self, what: str, condition: Callable[[], object], timeout_s: float = WAIT_S) -> float:
        """Wait for something; the seconds that it took. `NetloomError` if it does not come."""
        began = time.monotonic()
        if not becomes_true(condition, timeout_s):
            raise NetloomError(f"waited {timeout_s:g} s in vain: {what}")
        return time.monotonic() - began


def becomes_true(condition: Callable[[], object], timeout_s: float) -> bool:
    """Whether something comes in time."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(PAUSE_S)
    return True
