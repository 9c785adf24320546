"""`ovs-ofctl` against Debian's switch: our tool and Debian's print and do the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import peer_environment, wait_until

from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop


FLOWS = """\
table=0,priority=5,ip,nw_src=10.0.0.0/8,idle_timeout=60,send_flow_rem,actions=mod_nw_dst:1.2.3.4,output:1
table=0,priority=9,dl_vlan=7,cookie=0x33,actions=strip_vlan,NORMAL
table=0,in_port=2,tcp,tp_dst=80,actions=set_field:5->reg0,resubmit(,1)
table=1,reg0=5,hard_timeout=900,actions=CONTROLLER:64,LOCAL
table=2,cookie=5,actions=drop
"""

COMMANDS = [
    "show br0", "dump-desc br0", "dump-tables br0", "dump-flows br0", "dump-flows br0 table=0",
    "dump-flows br0 cookie=5/-1", "dump-flows br0 out_port=1", "dump-flows br0 ip",
    "dump-aggregate br0", "dump-aggregate br0 table=0", "dump-ports br0", "dump-ports br0 p1",
    "dump-ports br0 LOCAL", "dump-ports-desc br0", "queue-stats br0", "queue-get-config br0",
    "get-frags br0", "--names dump-flows br0", "--no-stats dump-flows br0",
    "--sort dump-flows br0", "--rsort=nw_src --sort=cookie dump-flows br0 ", "-m dump-flows br0",
    "-F OpenFlow10 dump-flows br0", "--names show br0", "--names dump-ports br0",
    "-O OpenFlow11 show br0", "-O OpenFlow11 dump-flows br0", "-O OpenFlow12 dump-flows br0",
    "-O OpenFlow13 show br0", "-O OpenFlow13 dump-flows br0", "-O OpenFlow13 dump-tables br0",
    "-O OpenFlow13 dump-aggregate br0 table=1", "-O OpenFlow13 dump-ports br0",
    "-O OpenFlow13 dump-ports-desc br0", "-O OpenFlow13 queue-stats br0",
    "-O OpenFlow13 queue-get-config br0", "-O OpenFlow13 dump-desc br0",
    "-O OpenFlow13 --names dump-flows br0", "-O OpenFlow14 dump-flows br0",
    "-O OpenFlow14 show br0", "-O OpenFlow14 dump-ports-desc br0", "probe br0",
    "-O OpenFlow10,OpenFlow13 dump-flows br0", "diff-flows br0 br0", "diff-flows br0 /dev/null",
    "show br9", "show unix:nonexistent", "-O OpenFlow17 show br0", "show", "", "nonsense",
    "-F foo show br0", "--nonsense", "add-flow br0 actions=drop extra", "dump-ports br0 zz",
    "-O OpenFlow13 add-flow br0 actions=group:5", "mod-port br0 p1 bad", "mod-port br0 pp up",
    "set-frags br0 bad", "-F OpenFlow10 add-flow br0 reg0=1,actions=1", "-t x show br0",
    "-O OpenFlow13 -F NXM dump-flows br0", "-P foo monitor br0", "packet-out br0 in_port=1",
    "packet-out br0 in_port=1,packet=00112233,actions=1", "dump-flows br0 actions=1",
    "del-flows br0 priority=1", "--read-only add-flow br0 actions=1", "add-flows br0 /nonexistent",
    "show foo:bar", "add-flow br0", "--no-names dump-ports br0 p1", "--sort=foo dump-flows br0",
    "queue-stats br0 1 5", "monitor br0 x", "snoop br9",
]  # fmt: skip


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The environment of a running Debian switch with bridge br0 and ports p1 and p2."""
    folder = tmp_path_factory.mktemp("switch")
    environment = peer_environment(folder)

    def run(*command: str) -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    run("ovsdb-tool", "create", f"{folder}/conf.db",
        f"{environment['OVS_PKGDATADIR']}/vswitch.ovsschema")  # fmt: skip
    run("ovsdb-server", "--detach", "--pidfile", "--log-file",
        f"--remote=punix:{folder}/db.sock", f"{folder}/conf.db")  # fmt: skip
    run("ovs-vsctl", "--no-wait", "init")
    run("ovs-vswitchd", "--detach", "--pidfile", "--log-file", "--enable-dummy=override")
    versions = ",".join(f"OpenFlow1{n}" for n in range(6))
    run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
        "fail-mode=secure", f"protocols={versions}", "--", "add-port", "br0", "p1", "--", "set",
        "interface", "p1", "type=dummy", "--", "add-port", "br0", "p2", "--", "set",
        "interface", "p2", "type=dummy")  # fmt: skip
    yield environment
    run("ovs-appctl", "-t", "ovs-vswitchd", "exit")
    run("ovs-appctl", "-t", "ovsdb-server", "exit")


@pytest.fixture
def both(peer, monkeypatch, capsys):
    """Runs a command line with Debian's tool and with ours; what each printed and returned."""
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
        monkeypatch.setenv(name, peer[name])

    def run(line: str, text: str = "") -> tuple[tuple[str, str, int], tuple[str, str, int]]:
        words = line.split()
        done = subprocess.run(
            ["ovs-ofctl", *words], env=peer, capture_output=True, text=True, input=text,
            check=False,
        )  # fmt: skip
        expected = (masked(done.stdout), errors(done.stderr), done.returncode)
        capsys.readouterr()
        if text:
            import io
            import sys

            monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        status = main(["ovs-ofctl", *words])
        captured = capsys.readouterr()
        return (masked(captured.out), errors(captured.err), status), expected

    return run


def masked(text: str) -> str:
    """`text` without what differs from moment to moment."""
    text = re.sub(r"duration=[\d.]+s", "duration=Xs", text)
    return re.sub(r"(idle|hard)_age=\d+", r"\1_age=X", text)


def errors(text: str) -> str:
    """The lines that are not of the log."""
    return "".join(line for line in text.splitlines(True) if not line[:4].isdigit())


@pytest.fixture
def flows(peer):
    environment = peer
    subprocess.run(["ovs-ofctl", "del-flows", "br0"], env=environment, check=True)
    subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow13", "add-flows", "br0", "-"], input=FLOWS, text=True,
        env=environment, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_both_tools_print_the_same(both, flows, line):
    found, expected = both(line)
    assert found == expected


def test_flows_added_by_either_tool_are_the_same(both, peer):
    dumps = []
    for tool in ("debian", "ours"):
        subprocess.run(["ovs-ofctl", "del-flows", "br0"], env=peer, check=True)
        if tool == "debian":
            subprocess.run(["ovs-ofctl", "add-flows", "br0", "-"], input=FLOWS, text=True,
                           env=peer, check=True)  # fmt: skip
        else:
            file = Path(peer["OVS_RUNDIR"]) / "flows"
            file.write_text(FLOWS)
            assert main(["ovs-ofctl", "add-flows", "br0", str(file)]) == 0
        dump = subprocess.run(["ovs-ofctl", "--no-stats", "dump-flows", "br0"], env=peer,
                              check=True, capture_output=True, text=True).stdout  # fmt: skip
        dumps.append(sorted(dump.splitlines()))
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == 5


def test_ports_and_fragments_are_configured(both, peer):
    def show() -> str:
        return subprocess.run(["ovs-ofctl", "show", "br0"], env=peer, check=True,
                              capture_output=True, text=True).stdout  # fmt: skip

    both("show br0")
    assert main(["ovs-ofctl", "mod-port", "br0", "p1", "no-flood"]) == 0
    assert "config:     NO_FLOOD" in show()
    assert main(["ovs-ofctl", "mod-port", "br0", "p1", "flood"]) == 0
    assert "NO_FLOOD" not in show()
    assert main(["ovs-ofctl", "set-frags", "br0", "nx-match"]) == 0
    assert "frags=nx-match" in show()
    assert main(["ovs-ofctl", "set-frags", "br0", "normal"]) == 0


def test_replace_flows_leaves_what_the_file_says(both, flows, peer, tmp_path, capsys):
    both("show br0")
    file = tmp_path / "wanted"
    file.write_text("ip,actions=2\ntcp,cookie=3,actions=3\n")
    assert main(["ovs-ofctl", "replace-flows", "br0", str(file)]) == 0
    assert main(["ovs-ofctl", "diff-flows", "br0", str(file)]) == 0
    capsys.readouterr()
    assert main(["ovs-ofctl", "--no-stats", "dump-flows", "br0"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [
        " cookie=0x3, tcp actions=output:3", " ip actions=output:2",
    ]  # fmt: skip


def test_monitor_prints_packets(peer, tmp_path):
    import signal
    import sys

    program = "import sys; from netloom.programs.ofctl import main; sys.exit(main())"
    with (tmp_path / "out").open("w") as output:
        monitor = subprocess.Popen(
            [sys.executable, "-c", program, "monitor", "br0", "64"], env=peer, stderr=output,
        )  # fmt: skip

        def heard() -> bool:
            """The first packets may come before the monitor does."""
            subprocess.run(
                ["ovs-ofctl", "packet-out", "br0",
                 "in_port=1,packet=ffffffffffff00000000000208060001,actions=controller"],
                env=peer, check=True,
            )  # fmt: skip
            return "NXT_PACKET_IN2" in (tmp_path / "out").read_text()

        assert wait_until(heard, every_s=0.1)
        text = (tmp_path / "out").read_text()
        monitor.send_signal(signal.SIGTERM)
        monitor.wait()
    assert text.startswith(
        "NXT_PACKET_IN2 (xid=0x0): total_len=16 in_port=1 (via action) data_len=16 (unbuffered)\n"
        "arp,vlan_tci=0x0000,dl_src=00:00:00:00:00:02,dl_dst=ff:ff:ff:ff:ff:ff,"
    )
