"""Every command of `ovs-ofctl` that only looks, with every option: Debian's tool and ours, put to
one switch of Debian's, print the same on standard output and on standard error, and end alike."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch

from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

VERSIONS = tuple(f"OpenFlow1{minor}" for minor in range(6))
#: Two that differ most, for the short run.
FEW_VERSIONS = ("OpenFlow10", "OpenFlow15")

CONFIGURATION = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure "
    "other-config:datapath-id=fedcba9876543210 protocols=" + ",".join(VERSIONS),
    "set port br0 qos=@q -- --id=@q create qos type=linux-htb queues:0=@a queues:7=@b "
    "-- --id=@a create queue other_config:min-rate=1000 -- --id=@b create queue "
    "other_config:max-rate=2000",
    *(
        f"add-port br0 {name} -- set interface {name} type=dummy ofport_request={number}"
        for name, number in (
            ("p1", 1), ("p2", 2), ("p-3", 3), ("flood", 4), ("8", 5), ("table", 6), ("a.b:c", 7),
        )
    ),
)  # fmt: skip
FLOWS = """\
table=0,priority=5,ip,nw_src=10.0.0.0/8,idle_timeout=60,send_flow_rem,actions=mod_nw_dst:1.2.3.4,1
table=0,priority=5,ip,nw_src=10.0.0.1,actions=output:3,output:4
table=0,priority=9,dl_vlan=7,cookie=0x33,actions=strip_vlan,NORMAL
table=0,in_port=2,tcp,tp_dst=80,actions=set_field:5->reg0,resubmit(,1)
table=0,in_port=3,udp,tp_dst=53,actions=5,6,7,goto_table:2
table=0,priority=5,arp,arp_op=1,actions=enqueue:1:7,group:5
table=1,reg0=5,hard_timeout=900,importance=3,actions=CONTROLLER:64,LOCAL,in_port
table=1,priority=7,ipv6,ipv6_src=fe80::/64,actions=meter:1,learn(table=2,eth_dst=eth_src,output:reg0)
table=1,priority=7,ip,metadata=5/7,actions=ct(commit,table=2,nat(src=1.1.1.1-1.1.1.9)),clone(2)
table=2,cookie=5,actions=drop
table=2,in_port=LOCAL,dl_src=00:00:00:00:00:01,actions=write_actions(output:2),write_metadata:4
table=5,priority=0,actions=note:01.02.03.04.05,conjunction(1,1/2)
"""
GROUPS = """\
group_id=5,type=all,bucket=output:1,bucket=output:3
group_id=6,type=select,selection_method=hash,fields(ip_src),bucket=weight:5,output:2,bucket=7
group_id=7,type=ff,bucket=watch_port:3,output:3,bucket=watch_port:4,output:4
"""
METERS = (
    "meter=1,kbps,burst,stats,bands=type=drop,rate=100,burst_size=200",
    "meter=9,pktps,bands=type=drop,rate=5",
    "meter=controller,pktps,bands=type=drop,rate=77",
)

#: What is asked, of the switch br0. `$D` is the directory of the run.
COMMANDS = (
    "show br0", "dump-desc br0", "dump-tables br0", "dump-table-features br0",
    "dump-table-desc br0", "dump-flows br0", "dump-flows br0 ip", "dump-flows br0 table=1",
    "dump-flows br0 cookie=0x33/-1", "dump-flows br0 out_port=p-3", "dump-flows br0 out_group=5",
    "dump-flows br0 in_port=p2", "dump-flows br0 table=second", "dump-aggregate br0",
    "dump-aggregate br0 table=2", "queue-stats br0", "queue-stats br0 LOCAL",
    "queue-stats br0 LOCAL 7", "queue-get-config br0", "queue-get-config br0 LOCAL",
    "dump-meters br0", "dump-meter br0 meter=1", "dump-meters br0 meter=controller",
    "meter-stats br0", "meter-stats br0 meter=9", "meter-features br0", "dump-ports br0",
    "dump-ports br0 p-3", "dump-ports br0 8", "dump-ports-desc br0", "dump-ports-desc br0 table",
    "dump-ports-desc br0 2", "get-frags br0", "dump-ipfix-bridge br0", "dump-ipfix-flow br0",
    "dump-groups br0", "dump-groups br0 6", "dump-group-stats br0",
    "dump-group-stats br0 group_id=7", "dump-group-features br0", "dump-tlv-map br0",
    "diff-flows br0 $D/flows", "diff-flows $D/flows br0", "diff-flows br0 br0", "probe br0",
    "show dummy@br0", "show $D/br0.mgmt", "show unix:$D/br0.mgmt", "show nosuch",
    "dump-flows nosuch", "dump-flows br0 foo=1",
)  # fmt: skip
#: What changes the switch, if nothing forbids it.
WRITING = (
    "add-flow br0 actions=drop", "add-flows br0 $D/flows", "mod-flows br0 actions=drop",
    "del-flows br0", "replace-flows br0 $D/flows", "add-group br0 group_id=1,type=all",
    "add-groups br0 $D/groups", "mod-group br0 group_id=5,type=all", "del-groups br0",
    "insert-buckets br0 group_id=5,command_bucket_id=last,bucket=1", "remove-buckets br0",
    "add-meter br0 meter=2,kbps,bands=type=drop,rate=1", "del-meters br0", "del-meter br0 meter=1",
    "mod-meter br0 meter=1,kbps,bands=type=drop,rate=1", "mod-port br0 p1 down",
    "mod-table br0 1 evict", "set-frags br0 drop", "packet-out br0 in_port=1,packet=00,actions=2",
    "bundle br0 $D/flows", "ofp-parse $D/flows", "ofp-print 0100000800000000", "parse-flow ip",
    "compose-packet ip", "help",
)  # fmt: skip
OPTIONS = (
    "", "--names", "--no-names", "--stats", "--no-stats", "--names --no-stats", "--color=always",
    "--color=always --names --no-stats", "--color=never", "--sort", "--rsort",
    "--sort=priority --rsort=nw_src", "--rsort=in_port --sort=table", "--sort=nw_src --no-stats",
    "--sort=tp_dst --names", "--rsort=reg0 --color=always", "--sort=dl_src --rsort=cookie",
    "--sort=PRIORITY", "-m", "-mm", "-mmm", "-m --names", "--more --no-stats", "--strict",
    "--read-only", "--timestamp", "--timeout=30", "-t 30", "--bundle", "--may-create", "--readd",
    "--unixctl=none", "--no-chdir", "-P nxm",
    "--packet-in=standard", "-vvconn:off", "--no-s", "--nam", "--rs=priority",
)  # fmt: skip
FORMATS = (
    "any", "OpenFlow10", "OpenFlow10-table_id", "OpenFlow10+table_id", "NXM", "NXM-table_id",
    "NXM+table_id", "OXM", "OpenFlow11", "OXM-OpenFlow12", "OXM-OpenFlow13", "OXM-OpenFlow14",
    "OXM-OpenFlow15", "NXM,OXM-OpenFlow15",
)  # fmt: skip
#: What asks no switch, with bytes of a flow, a group, statistics, a packet and an error.
DEBUGGING = (
    "parse-flow tcp,in_port=1,tp_dst=80,actions=mod_nw_src:1.2.3.4,resubmit(,2),learn(table=1)",
    "parse-flows $D/flows", "parse-flow ip", "parse-flow foo", "parse-flows $D/nosuch",
    "parse-group group_id=5,type=select,bucket=weight:5,output:1,bucket=ct(commit),drop",
    "parse-group group_id=5", "parse-key-value a=b,c(d)", "print-error 0001000c00000000", "help",
    "print-error 0101000c000000000001000100000000", "encode-error-reply OFPBRC_BAD_TYPE 0100000800",
    "encode-error-reply OFPBRC_BAD_TYPE 0100000800000005", "encode-hello 0x12", "check-vlan 0 0",
    "ofp-print 0100000800000000", "ofp-print 010000 3", "ofp-print zz",
    "ofp-print 010e00500000000000382086000000000000000000000000000000000000080000060000000000000000"
    "00500000000000000000000000000000000080000000ffff0000ffff0000" + "0000000800020000",
    "compose-packet ip,nw_ttl=5",
    "ofp-print 010a003c00000000ffffffff002a00010100505400000001505400000002080045000014000000004011"
    "0000010203040506070800000000000000000000",
    "ofp-print 040f002000000001000000000000000500100000ffffffff" + "0000000000000000",
    "compose-packet foo", "ofp-parse $D/flows", "ofp-parse nosuch", "ofp-parse-pcap nosuch",
    "nosuch", "parse-flow", "parse-flow a b", "",
)  # fmt: skip
Answer = tuple[str, str, int]
Differences = Callable[[Iterable[str]], list[tuple[str, Answer, Answer]]]


class Switch:
    """Debian's switch with flows, groups, meters, queues, names and tunnel options."""

    def __init__(self, directory: Path) -> None:
        self.peer = PeerSwitch(directory)
        for line in CONFIGURATION:
            self.peer.run("ovs-vsctl", "--timeout=40", *line.split())
        (directory / "flows").write_text(FLOWS)
        (directory / "groups").write_text(GROUPS)
        for meter in METERS:
            self._ofctl("add-meter", "br0", meter)
        self._ofctl("add-groups", "br0", f"{directory}/groups")
        self._ofctl("add-flows", "br0", f"{directory}/flows")
        self._ofctl("mod-table", "br0", "1", "name:second")
        self._ofctl("mod-table", "br0", "2", "name:the-third")
        self._ofctl("add-tlv-map", "br0", "{class=0xffff,type=1,len=8}->tun_metadata3")

    def _ofctl(self, *words: str) -> None:
        self.peer.run("ovs-ofctl", "-OOpenFlow15", *words)

    def words(self, line: str) -> list[str]:
        return line.replace("$D", str(self.peer.directory)).split()

    def theirs(self, line: str) -> Answer:
        done = subprocess.run(
            ["ovs-ofctl", *self.words(line)], env=self.peer.env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return masked(done.stdout), masked(done.stderr), done.returncode


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    running = Switch(tmp_path_factory.mktemp("switch"))
    yield running
    running.peer.close()


_COLOR = r"(?:\x1b\[m\x1b\[K)?"


def masked(text: str) -> str:
    """`text` without what differs from moment to moment."""
    text = re.sub(r"^\d{4}-\d\d-\d\dT[\d:]+Z\|\d+", "TIME", text, flags=re.MULTILINE)
    text = re.sub(rf"duration([=:]{_COLOR})[\d.]+s", r"duration\1Xs", text)
    # OVS 3.7 has twice the registers.
    text = re.sub(r"reg0\.\.\.reg\d+ xreg0\.\.\.xreg\d+ xxreg0\.\.\.xxreg\d+", "REGISTERS", text)
    return re.sub(rf"(idle|hard)_age=({_COLOR})\d+", r"\1_age=\2X", text)


def ours(switch: Switch, capsys: pytest.CaptureFixture[str], line: str) -> Answer:
    capsys.readouterr()
    status = main(["ovs-ofctl", *switch.words(line)])
    printed = capsys.readouterr()
    return masked(printed.out), masked(printed.err), status


@pytest.fixture
def differences(
    switch: Switch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Differences:
    """What both tools say to a command line, where it is not the same."""
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
        monkeypatch.setenv(name, switch.peer.env[name])

    def of(lines: Iterable[str]) -> list[tuple[str, Answer, Answer]]:
        found = []
        for line in lines:
            expected, answer = switch.theirs(line), ours(switch, capsys, line)
            if answer != expected:
                found.append((line, expected, answer))
        return found

    return of


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_the_same_effect(differences: Differences, command: str) -> None:
    lines = (f"-O {version} {options} {command}"
             for version, options in product(FEW_VERSIONS, OPTIONS))  # fmt: skip
    assert differences(lines) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_flow_formats_have_the_same_effect(differences: Differences, command: str) -> None:
    lines = (f"-F {form} {version} {command}"
             for form, version in product(FORMATS, ("", "-OOpenFlow10,OpenFlow15")))  # fmt: skip
    assert differences(lines) == []


@pytest.mark.parametrize("command", WRITING)
def test_nothing_is_written_read_only(differences: Differences, command: str) -> None:
    assert differences(f"--read-only {options} {command}" for options in OPTIONS) == []


@pytest.mark.parametrize("command", DEBUGGING)
def test_options_of_debugging_have_the_same_effect(differences: Differences, command: str) -> None:
    lines = (f"{version} {options} {command}"
             for version, options in product(("", "-OOpenFlow13"), OPTIONS))  # fmt: skip
    assert differences(lines) == []


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_the_same_effect_in_every_version(
    differences: Differences, command: str
) -> None:
    lines = (f"-O {version} {options} {command}"
             for version, options in product(VERSIONS, OPTIONS))  # fmt: skip
    assert differences(lines) == []
