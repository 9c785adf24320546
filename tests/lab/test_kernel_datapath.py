"""What only a data path in the kernel can do: forward while there is no daemon, and be found
again."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs, Switch

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.parametrize("datapath", ["kernel"], indirect=True),
]


class Pair:
    """Two machines on the bridge of one switch."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.lab = lab
        self.switch = lab.add_switch("switch", tools)
        self.machines = [lab.add_vm(f"vm{n}", f"vif{n}", f"10.0.0.{n}/24") for n in (1, 2)]
        self.switch.start()
        self.switch.run("ovs-vsctl", "add-br", "br0")
        for n in (1, 2):
            self.switch.run("ovs-vsctl", "add-port", "br0", f"vif{n}")

    def have_packets_come_up(self) -> None:
        """The kernel does not run bridges by itself that snoop: packets get flows of their own."""
        self.switch.run("ovs-vsctl", "set", "bridge", "br0", "mcast_snooping_enable=true")

    def ping(self, count: int = 3, interval_s: float = 0.05) -> subprocess.Popen[str]:
        first, second = self.machines
        command = ["ping", "-q", "-c", str(count), "-i", str(interval_s)]
        command += ["-W", "1" if count == 1 else "10"]
        return subprocess.Popen(
            ["ip", "netns", "exec", first.name, *command, second.ip_address],
            stdout=subprocess.PIPE,
            text=True,
        )


def received(ping: subprocess.Popen[str]) -> int:
    """Replies that came back, once `ping` has ended."""
    text = ping.communicate(timeout=60)[0]
    found = re.search(r"(\d+) received", text)
    assert found is not None, text
    return int(found[1])


def flow_packets(switch: Switch) -> dict[str, int]:
    """Match of each flow of the data path -> packets."""
    text = switch.run("ovs-appctl", "dpctl/dump-flows").stdout
    return {
        match: int(packets)
        for match, packets in re.findall(r"^(\S+), packets:(\d+),", text, re.MULTILINE)
    }


@pytest.fixture
def pair(lab: Lab, tools: Programs) -> Pair:
    return Pair(lab, tools)


def pins_of(switch: Switch) -> list[Path]:
    """What the switch has pinned."""
    folder = Path("/sys/fs/bpf/netloom")
    name = switch.rundir.parent.name
    return [path for path in folder.iterdir() if name in path.name] if folder.exists() else []


def test_established_flows_survive_a_killed_daemon_and_keep_their_counters(pair: Pair) -> None:
    pair.have_packets_come_up()
    assert received(pair.ping()) == 3
    running = pair.ping(count=200, interval_s=0.02)
    pair.switch.kill("ovs-vswitchd")
    before = pair.ping(count=20)
    assert received(before) == 20
    pair.switch.start_vswitchd()
    assert received(running) == 200
    counts = flow_packets(pair.switch)
    icmp = [n for match, n in counts.items() if "eth_type(0x0800)" in match]
    # Both directions of 223 requests, less those that came up as misses.
    assert len(icmp) == 2 and all(200 < n <= 223 for n in icmp), counts


def test_flows_outlive_daemons_whose_mounts_end_with_them(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = ("ip", "netns", "exec", pair.lab.host.name)
    monkeypatch.setattr(pair.switch, "_run_inside", lambda *argv: pair.switch.run(*inside, *argv))
    pair.switch.kill("ovs-vswitchd")
    pair.switch.start_vswitchd()
    assert received(pair.ping()) == 3
    running = pair.ping(count=200, interval_s=0.02)
    for _ in range(2):
        pair.switch.kill("ovs-vswitchd")
        pair.switch.start_vswitchd()
    assert received(running) == 200
    assert received(pair.ping()) == 3
    assert pins_of(pair.switch)


def test_a_daemon_that_shall_not_use_the_kernel_takes_over(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert received(pair.ping()) == 3
    pair.switch.kill("ovs-vswitchd")
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "userspace")
    pair.switch.start_vswitchd()
    answers = pair.ping().communicate()[0]
    assert "3 received" in answers and "duplicates" not in answers
    assert not pins_of(pair.switch)


def test_flows_that_are_restored_lose_no_packet(pair: Pair) -> None:
    rules = "".join(
        f"table={table},priority={priority},in_port=vif{n},actions={actions}\n"
        for n, other in ((1, 2), (2, 1))
        for table, priority, actions in ((0, 9, "resubmit(,7)"), (7, 5, f"output:vif{other}"))
    )
    own = ("ovs-ofctl", "-O", "OpenFlow13")
    pair.switch.run("ovs-vsctl", "set-fail-mode", "br0", "secure")
    pair.switch.run(*own, "add-flows", "br0", "-", stdin=rules)
    assert received(pair.ping()) == 3
    wait = ("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
    pair.switch.run("ovs-vsctl", *wait)
    assert received(pair.ping()) == 3, "it matters at the start only"
    running = pair.ping(count=150, interval_s=0.02)
    pair.switch.kill("ovs-vswitchd")
    pair.switch.start_vswitchd()
    assert len(flow_packets(pair.switch)) == 0
    pair.switch.run(*own, "add-flows", "br0", "-", stdin=rules)
    done = ("remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")
    pair.switch.run("ovs-vsctl", *done)
    assert received(running) == 150
    assert any(number > 50 for number in flow_packets(pair.switch).values())


def test_an_internal_port_carries_traffic_while_there_is_no_daemon(pair: Pair) -> None:
    host = pair.lab.host.name
    for argv in (("addr", "add", "10.0.0.9/24", "dev", "br0"), ("link", "set", "br0", "up")):
        subprocess.run(["ip", "-n", host, *argv], check=True)
    ping = ["ip", "netns", "exec", pair.machines[0].name, "ping", "-q", "-c", "5", "-i", "0.05"]
    subprocess.run([*ping, "10.0.0.9"], check=True, stdout=subprocess.DEVNULL)
    pair.switch.kill("ovs-vswitchd")
    subprocess.run([*ping, "10.0.0.9"], check=True, stdout=subprocess.DEVNULL)
    pair.switch.start_vswitchd()
    subprocess.run([*ping, "10.0.0.9"], check=True, stdout=subprocess.DEVNULL)


def test_exit_leaves_the_data_path_and_cleanup_removes_it(pair: Pair) -> None:
    assert received(pair.ping()) == 3
    assert pins_of(pair.switch)
    pair.switch.run("ovs-appctl", "exit")
    assert wait_until(lambda: pair.switch.pid("ovs-vswitchd") is None)
    assert received(pair.ping()) == 3
    pair.switch.start_vswitchd()
    pair.switch.run("ovs-appctl", "exit", "--cleanup")
    assert wait_until(lambda: pair.switch.pid("ovs-vswitchd") is None)
    assert not pins_of(pair.switch)
    assert received(pair.ping(count=1)) == 0
    links = subprocess.run(
        ["ip", "-n", pair.lab.host.name, "-br", "link"], capture_output=True, text=True, check=True
    ).stdout
    assert "br0" not in links and "nl-" not in links


def test_two_switches_never_see_each_others_ports(pair: Pair, tools: Programs) -> None:
    with Lab("other") as lab:
        other = Pair(lab, tools)
        other.have_packets_come_up()
        pair.have_packets_come_up()
        assert received(other.ping()) == 3
        assert received(pair.ping()) == 3
        for switch in (other.switch, pair.switch):
            flows = [match for match in flow_packets(switch) if "eth_type(0x0800)" in match]
            assert len(flows) == 2, flows
        other.switch.kill("ovs-vswitchd", signal.SIGKILL)
        assert received(pair.ping()) == 3
        assert received(other.ping()) == 3


def test_cleanup_removes_what_a_killed_daemon_left(pair: Pair) -> None:
    assert received(pair.ping()) == 3
    pair.switch.kill("ovs-vswitchd")
    host = ("nsenter", f"--net=/run/netns/{pair.lab.host.name}")
    pair.switch.run(*host, "ovs-vswitchd", "--cleanup")
    assert not pins_of(pair.switch)
    assert received(pair.ping(count=1)) == 0
    links = subprocess.run(
        ["ip", "-n", pair.lab.host.name, "-br", "link"], capture_output=True, text=True, check=True
    ).stdout
    assert "br0" not in links and "nl-" not in links


def test_without_rights_the_bridge_says_so_and_works(lab: Lab, tools: Programs) -> None:
    switch = lab.add_switch("switch", tools)
    switch.start()
    switch.kill("ovs-vswitchd", signal.SIGTERM)
    inside = ("nsenter", f"--net=/run/netns/{lab.host.name}")
    rights = ("setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon")
    switch.run(*inside, *rights, "ovs-vswitchd", *switch._daemon_options("ovs-vswitchd"),
               f"unix:{switch.db_socket}")  # fmt: skip
    switch.run("ovs-vsctl", "--timeout=60", "add-br", "br0")
    status = switch.run("ovs-vsctl", "get", "bridge", "br0", "status").stdout
    assert status.startswith('{datapath_error="no kernel data path: '), status
    assert "processing packets in user space" in (switch.rundir / "ovs-vswitchd.log").read_text()


def test_a_daemon_that_lost_its_rights_takes_over(pair: Pair) -> None:
    host = pair.lab.host
    host.ip("addr", "add", "10.0.0.9/24", "dev", "br0")
    host.ip("link", "set", "br0", "up")
    assert received(pair.ping()) == 3
    pair.switch.kill("ovs-vswitchd")
    inside = ("nsenter", f"--net=/run/netns/{host.name}")
    rights = ("setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon")
    pair.switch.run(*inside, *rights, "ovs-vswitchd",
                    *pair.switch._daemon_options("ovs-vswitchd"),
                    f"unix:{pair.switch.db_socket}")  # fmt: skip
    status = pair.switch.run("ovs-vsctl", "--timeout=10", "get", "bridge", "br0", "status").stdout
    assert "no right to use eBPF (CAP_BPF" in status
    answers = pair.ping().communicate()[0]
    assert "3 received" in answers and "duplicates" not in answers
    assert pair.machines[0].ping("10.0.0.9", count=2)
    assert "error" not in pair.switch.run("ovs-vsctl", "show").stdout
    pair.switch.kill("ovs-vswitchd")
    pair.switch.start_vswitchd()
    assert received(pair.ping()) == 3
    assert pins_of(pair.switch)


def test_a_data_path_that_no_bridge_uses_is_not_shown(pair: Pair) -> None:
    def shown() -> str:
        return pair.switch.run("ovs-appctl", "dpif/show").stdout

    assert "system@ovs-system" in shown()
    pair.switch.run("ovs-vsctl", "set", "bridge", "br0", "datapath_type=netdev")
    assert "netdev@ovs-netdev" in shown()
    assert "system@ovs-system" not in shown()
