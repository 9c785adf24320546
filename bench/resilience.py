"""What is lost when something is killed, and how long until all is well again.

A lab of three hosts under traffic: a machine asks another one on the other compute node a hundred
times a second (in VXLAN), and a server outside (by the router on the network node); somebody
outside asks the other machine by its floating address. Then, in random order, agents, daemons, the
service and a dnsmasq are killed with SIGKILL, and started again at once as a supervisor does (but
dnsmasq, which is its agent's business); the underlay of a host is cut for a second. Nothing else
helps, but that a device of the switch gets its address again when it comes back. For each:
questions without an answer, the longest silence, and the time until what was hit does its work
again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from netloom.lab.cloud import Cloud, Host
from netloom.lab.namespace import VirtualMachine
from netloom.lab.process import Process

OUTSIDE = "203.0.113.254"
INTERVAL_S = 0.01
CUT_S = 1.0
#: Traffic before a blow, and after all is well again.
AROUND_S = 0.5
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7))
while True:
    s.sendto(*s.recvfrom(100))
"""
#: Asks until the file is there, then tells: questions, lost ones, the longest silence in seconds.
ASK = """
import os, select, socket, sys, time
target, interval, end = sys.argv[1], float(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((target, 7))
s.setblocking(False)
asked, answered = [], set()
def listen(until):
    while (left := until - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            try:
                answered.add(int(s.recv(100)))
            except OSError:
                pass
def ask():
    try:
        s.send(b"%d" % len(asked))
    except OSError:
        pass
    asked.append(time.monotonic())
due = time.monotonic()
while not os.path.exists(end):
    ask()
    due += interval
    listen(due)
listen(time.monotonic() + 1)
times = [asked[number] for number in sorted(answered)]
silence = max((b - a for a, b in zip(times, times[1:])), default=asked[-1] - asked[0])
print(len(asked), len(asked) - len(answered), f"{silence:.3f}", flush=True)
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One blow. `harmless`: nothing may be lost, as what was hit does not carry packets;
    `in_kernel`: nor when packets go on in the kernel."""

    name: str
    strike: Callable[[], None]
    is_well: Callable[[], bool]
    harmless: bool = False
    in_kernel: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one stream: questions, those without an answer, the longest silence; and of the trial:
    seconds until all was well."""

    stream: str
    asked: int
    lost: int
    silence_s: float
    healed_s: float


class World:
    """Three hosts, two machines, a router, an outside; and the streams between them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        #: Who asks whom, by the stream's name.
        self.streams: dict[str, tuple[VirtualMachine, str]] = {}
        self._count = 0
        with ThreadPoolExecutor(2) as pool:
            serving = pool.submit(cloud.serve)
            cloud.add_host("net", ("physnet1", "public"), network_node=True)
            cloud.add_host("node1")
            cloud.add_host("node2")
            cloud.start_switches()
            serving.result()
        cloud.start_agents()
        cloud.host.ip("addr", "add", f"{OUTSIDE}/24", "dev", "public")
        self._networks()

    def _networks(self) -> None:
        cloud, make = self.cloud, self.cloud.api.make
        flat: dict[str, Any] = {"provider:network_type": "flat"}
        flat |= {"provider:physical_network": "public", "router:external": True}
        public = make("network", name="public", **flat)
        more: dict[str, Any] = {
            "cidr": "203.0.113.0/24",
            "gateway_ip": OUTSIDE,
            "enable_dhcp": False,
        }
        make("subnet", network_id=public["id"], ip_version=4, **more)
        self.network = make("network", name="blue")["id"]
        subnet = make("subnet", network_id=self.network, ip_version=4, cidr="10.0.0.0/24")
        router = make("router", name="r", external_gateway_info={"network_id": public["id"]})
        path = f"routers/{router['id']}/add_router_interface"
        cloud.api.request("PUT", path, {"subnet_id": subnet["id"]})
        group = make("security_group", name="open")["id"]
        make("security_group_rule", security_group_id=group, direction="ingress")
        machines: list[VirtualMachine] = []
        ports: list[dict[str, Any]] = []
        for index, name in enumerate(("node1", "node2"), 1):
            host = cloud.hosts[name]
            ports.append(cloud.port({"id": self.network}, host, security_groups=[group]))
            machines.append(cloud.boot(f"vm{index}", host, ports[-1], "10.0.0.1"))
        self.source, other = machines
        outside = VirtualMachine(cloud.host.name, "outside", "", "")
        for vm in (other, outside):
            cloud.spawn(vm, "echo", sys.executable, "-c", ECHO)
        floating = make("floatingip", floating_network_id=public["id"], port_id=ports[1]["id"])
        self.streams = {
            "to the other host": (self.source, other.ip_address),
            "to the outside": (self.source, OUTSIDE),
            "to a floating address": (outside, floating["floating_ip_address"]),
        }
        for asking, target in self.streams.values():
            cloud.wait(f"{target} answers", lambda: asking.ping(target, 1))  # noqa: B023
        cloud.wait("dnsmasq serves", lambda: self.dnsmasq() is not None)

    def dnsmasq(self) -> int | None:
        """The process that serves the network."""
        pidfile = self.cloud.hosts["net"].directory / "dhcp" / self.network / "pid"
        try:
            pid = int(pidfile.read_text())
            return (
                pid if str(pidfile).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() else None
            )
        except (OSError, ValueError):
            return None

    def trials(self) -> list[Trial]:
        """Everything that can be hit."""
        found = [Trial("the service", self._hit_service, self._service_answers, True)]
        found.append(self._dnsmasq_trial())
        found.append(Trial("underlay of node1 cut", self._cut, self._reaches))
        for host in self.cloud.hosts.values():
            found += self._agent_trials(host)
            found += self._daemon_trials(host)
        return found

    def _hit_service(self) -> None:
        self.cloud.service.kill()
        self.cloud.service.start()

    def _service_answers(self) -> bool:
        try:
            return bool(self.cloud.api.client.get("/v2.0/agents").status_code == 200)
        except OSError:
            return False
        except Exception as error:
            if type(error).__module__.startswith("httpx"):
                return False
            raise

    def _dnsmasq_trial(self) -> Trial:
        before: list[int] = []

        def strike() -> None:
            pid = self.dnsmasq()
            assert pid is not None
            before.append(pid)
            os.kill(pid, signal.SIGKILL)

        return Trial(
            "dnsmasq", strike, lambda: self.dnsmasq() not in (None, *before[-1:]), harmless=True
        )

    def _cut(self) -> None:
        index = list(self.cloud.hosts).index("node1")
        self.cloud.host.ip("link", "set", f"u{index}", "down")
        time.sleep(CUT_S)
        self.cloud.host.ip("link", "set", f"u{index}", "up")

    def _reaches(self) -> bool:
        return all(asking.ping(target, 1, 0.2) for asking, target in self.streams.values())

    def _agent_trials(self, host: Host) -> Iterator[Trial]:
        for kind, agent in host.agents.items():
            yield self._agent_trial(host, kind, agent)

    def _agent_trial(self, host: Host, kind: str, agent: Process) -> Trial:
        binary = {"l2": "neutron-openvswitch-agent"}.get(kind, f"neutron-{kind}-agent")
        path = f"agents?host={host.name}&binary={binary}"
        before: list[str] = [""]

        def started() -> str:
            (found,) = self.cloud.api.request("GET", path)["agents"]
            return f"{found['started_at']} {found['heartbeat_timestamp']}"

        def strike() -> None:
            agent.kill()
            before[0] = started()
            agent.start()

        return Trial(f"{kind}-agent of {host.name}", strike, lambda: started() != before[0], True)

    def _daemon_trials(self, host: Host) -> Iterator[Trial]:
        switch = host.switch

        def configured() -> bool:
            words = (
                "ovs-vsctl",
                "--timeout=2",
                "set",
                "open",
                ".",
                f"external_ids:at={time.time()}",
            )
            if not switch.run(*words, check=False).ok:
                return False
            return (
                "goto_table"
                in switch.run(
                    *("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int"), check=False
                ).stdout
            )

        def hit_database() -> None:
            switch.kill("ovsdb-server")
            switch.start_ovsdb_server()

        def hit_both() -> None:
            switch.kill("ovs-vswitchd")
            hit_database()
            start_switch()

        def hit_switch() -> None:
            switch.kill("ovs-vswitchd")
            start_switch()

        def start_switch() -> None:
            switch.start_vswitchd()
            device = ("ip", "link", "show", "br-underlay")
            self.cloud.wait("the device", lambda: host.namespace.run(*device, check=False).ok)
            self.cloud.configure_underlay(host)

        yield Trial(f"ovsdb-server of {host.name}", hit_database, configured, True)
        for what, hit in (("ovs-vswitchd", hit_switch), ("both daemons", hit_both)):
            yield Trial(
                f"{what} of {host.name}",
                hit,
                lambda: configured() and self._reaches(),
                in_kernel=True,
            )

    def run(self, trial: Trial) -> list[Outcome]:
        """Strike under traffic; what each stream lost."""
        self._count += 1
        end = self.cloud.directory / f"end-{self._count}"
        name = f"ask-{self._count}"
        logs = {}
        for stream, (asking, target) in self.streams.items():
            label = f"{name}-{stream.split()[-1]}"
            words = (sys.executable, "-c", ASK, target, str(INTERVAL_S), str(end))
            self.cloud.spawn(asking, label, *words)
            logs[stream] = self.cloud.directory / asking.label / f"{label}.log"
        time.sleep(AROUND_S)
        began = time.monotonic()
        trial.strike()
        self.cloud.wait(f"{trial.name}: all is well", trial.is_well, 30)
        healed_s = time.monotonic() - began
        time.sleep(AROUND_S)
        end.touch()
        outcomes = []
        for stream, log in logs.items():
            self.cloud.wait("the stream's figures", lambda: log.read_text().endswith("\n"))  # noqa: B023
            asked, lost, silence = log.read_text().split()
            outcomes.append(Outcome(stream, int(asked), int(lost), float(silence), healed_s))
        return outcomes


def main(seed: int = 0, datapaths: Sequence[str] = ("kernel", "userspace")) -> None:
    """Every trial once, in an order that the seed decides, on each data path."""
    seed = seed or random.SystemRandom().randrange(1, 10_000)
    for datapath in datapaths:
        os.environ[CHOICE] = datapath
        table = Table(
            *("killed", "stream", "asked", "lost", "longest silence, s", "well after, s"),
            title=f"Resilience, {datapath} data path, seed {seed}",
        )
        with Cloud("res", tunnels=("vxlan",)) as cloud:
            world = World(cloud)
            trials = world.trials()
            random.Random(seed).shuffle(trials)
            for trial in trials:
                for one in world.run(trial):
                    figures = (str(one.asked), str(one.lost), f"{one.silence_s:.2f}")
                    table.add_row(trial.name, one.stream, *figures, f"{one.healed_s:.2f}")
        Console(width=110).print(table)
