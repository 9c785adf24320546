"""Labs that end, however they end, leave nothing behind; and no server runs that nobody knows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.leftovers import traces
from tests.support.peers import SOURCE, require_services, wait_until
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud
from netloom.lab.lab import LABS, existing_namespaces
from netloom.lab.process import MAIN
from netloom.network.agents.lives import command_line

pytestmark = [needs_root, pytest.mark.root]
N_NETWORKS = 4


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    require_services()
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "userspace")
    with Cloud("left", programs=own_tools(tmp_path / "t")) as made:
        made.serve()
        made.add_host("net", network_node=True)
        made.start()
        yield made


def networks(cloud: Cloud) -> list[str]:
    """Networks with a server each; the servers' pid files are there."""
    ids = []
    for number in range(N_NETWORKS):
        ids.append(cloud.api.make("network")["id"])
        cidr = f"10.{number}.0.0/24"
        cloud.api.make("subnet", network_id=ids[-1], cidr=cidr, ip_version=4)
    for key in ids:
        cloud.wait("dnsmasq runs", lambda: is_known(cloud, key))  # noqa: B023
    return ids


def is_known(cloud: Cloud, network: str) -> bool:
    """Whether one server runs, and has its pid file."""
    file = pid_file(cloud, network)
    try:
        return servers_of(cloud, network) == [int(file.read_text() or 0)]
    except FileNotFoundError:
        # There is none yet, or a server that ends has just removed it.
        return False


def servers_of(cloud: Cloud, network: str) -> list[int]:
    """The processes that serve a network, whoever knows of them."""
    word = f"--pid-file={pid_file(cloud, network)}\0".encode()
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if word in command_line(pid)]


def pid_file(cloud: Cloud, network: str) -> Path:
    return cloud.hosts["net"].directory / "dhcp" / network / "pid"


def test_servers_go_with_their_lab(cloud: Cloud) -> None:
    """The agent starts a server again whose end it sees, and must not at the end of the lab."""
    ids = networks(cloud)
    cloud.__exit__(None, None, None)
    assert [servers_of(cloud, key) for key in ids] == [[]] * N_NETWORKS
    assert not [one for one in traces().others if cloud.name in one]


def test_servers_go_that_nobody_knows(cloud: Cloud) -> None:
    """The agent is gone, and so are the pid files: as if it had been killed as it started them."""
    ids = networks(cloud)
    cloud.hosts["net"].agents["dhcp"].kill()
    for key in ids:
        pid_file(cloud, key).unlink()
    cloud.__exit__(None, None, None)
    assert [servers_of(cloud, key) for key in ids] == [[]] * N_NETWORKS


def test_an_agent_ends_the_server_that_it_does_not_know(cloud: Cloud) -> None:
    key = networks(cloud)[0]
    agent = cloud.hosts["net"].agents["dhcp"]
    agent.kill()
    (before,) = servers_of(cloud, key)
    pid_file(cloud, key).unlink()
    agent.start()
    cloud.wait("one server, and known", lambda: is_known(cloud, key))
    assert servers_of(cloud, key) != [before]


def test_a_server_with_other_options_follows_one_that_has_ended(cloud: Cloud) -> None:
    """It removes the pid file as it ends: that must not be the file of the next one."""
    key = networks(cloud)[0]
    for number in range(1, 6):
        cidr = f"10.200.{number}.0/24"
        cloud.api.make("subnet", network_id=key, cidr=cidr, ip_version=4)
        word = f"10.200.{number}.0,static".encode()

        def served(word: bytes = word) -> bool:
            pids = servers_of(cloud, key)
            knows = [word in command_line(pid) for pid in pids]
            return knows == [True] and is_known(cloud, key)

        cloud.wait("one server, which knows the new subnet and has its file", served)


def test_a_network_has_one_port_for_its_server_whatever_else_happens(cloud: Cloud) -> None:
    """What else changes while the port is made must not have the agent ask for another one."""
    network = cloud.api.make("network")["id"]
    cloud.api.make("subnet", network_id=network, cidr="10.9.0.0/24", ip_version=4)
    router = cloud.api.make("router")["id"]
    for number in range(30):
        cloud.api.request("PUT", f"routers/{router}", {"router": {"name": f"r{number}"}})
    cloud.wait("dnsmasq runs", lambda: is_known(cloud, network))
    path = f"ports?network_id={network}&device_owner=network:dhcp"
    assert len(cloud.api.request("GET", path)["ports"]) == 1


def test_what_runs_in_a_machine_goes_with_the_lab(cloud: Cloud) -> None:
    network = cloud.api.make("network")
    cloud.api.make("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    host = cloud.hosts["net"]
    vm = cloud.boot("vm", host, cloud.port(network, host))
    command = ("ip", "netns", "exec", vm.name, "sleep", "1000")
    sleeper = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    cloud.wait("it sleeps", lambda: command_line(sleeper.pid).startswith(b"sleep"))
    cloud.__exit__(None, None, None)
    assert sleeper.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_story_that_is_cut_short_takes_its_lab_down(
    number: signal.Signals, tmp_path: Path
) -> None:
    require_services()
    tools = own_tools(tmp_path / "t")
    environment = {**os.environ, **tools.env, "PYTHONPATH": str(SOURCE)}
    environment["PATH"] = os.pathsep.join([*tools.path, os.environ["PATH"]])
    with (tmp_path / "told").open("w") as told:
        story = subprocess.Popen(
            [sys.executable, "-c", MAIN, "demo", "vlan"],
            env={**environment, "NETLOOM_SYSTEM_DATAPATH": "userspace"},
            stdout=told,
            stderr=told,
            # Who runs the tests in the background may have it ignored.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
    lab = LABS / f"demo-{story.pid}"
    assert wait_until((lab / "switch/ovs-vswitchd.pid").exists), (tmp_path / "told").read_text()
    story.send_signal(number)
    # The second one comes from somebody who grows impatient.
    wait_until(lambda: story.poll() is not None, 0.3)
    if story.poll() is None:
        story.send_signal(number)
    assert story.wait(100) != 0
    assert not lab.exists()
    assert not [name for name in existing_namespaces() if str(story.pid) in name.split("-")]
