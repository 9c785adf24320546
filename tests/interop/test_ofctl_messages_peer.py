"""Groups, meters, bundles and others in `ovs-ofctl`: Debian's and ours send the same bytes, read
the same text and print the same of the same bytes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from netloom.openflow.protocol import VERSION_NAMES
from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

PEER = Path(os.environ.get("NETLOOM_PEER_OVS", Path.home() / ".cache/netloom/peers/ovs"))
HERE = Path(__file__).parent


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem + "_loaded", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RecordingSwitch = load(HERE.parent / "support/recording_switch.py").RecordingSwitch
QUIET = "-vconsole:off"


@pytest.fixture
def debian(tmp_path):
    program = PEER / "usr/bin/ovs-ofctl"
    if not program.exists():
        pytest.skip("no ovs-ofctl of Debian's openvswitch here (tools/fetch_peers.py)")
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(PEER / "usr/lib/x86_64-linux-gnu"), "OVS_RUNDIR": str(tmp_path),
        "OVS_LOGDIR": str(tmp_path),
    }  # fmt: skip

    def run(*args: str, text: str = "") -> tuple[int, str, str]:
        done = subprocess.run([program, QUIET, *args], capture_output=True, env=environment,
                              check=False, text=True, input=text)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def ours(capsys, *args: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(["ovs-ofctl", QUIET, *args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


GROUPS = [
    "group_id=1,type=all,bucket=output:1",
    "group_id=2,type=select,selection_method=hash,fields=ip_src,bucket=weight:5,output:1,"
    "bucket=weight=0,actions=2",
    "group_id=3,type=select,selection_method=hash,selection_method_param=7,"
    "fields(ip_src=255.255.0.0,tcp_dst),bucket=bucket_id:5,watch_port:3,watch_group:9,actions=drop",
    "group_id=4,type=ff,bucket=watch_port:1,output:1",
    "group_id=1,type=fast_failover,bucket=watch_group:1,1",
    "group_id=4,type=indirect,bucket=set_field:10.0.0.1->ip_dst,2",
    "group_id=7,type=select,selection_method=dp_hash,bucket=group:3",
    "group_id=34,type=all,bucket=bucket_id:2,1,bucket=2,bucket=bucket_id=0,3,bucket=4",
    "group_id=1,type=all,bucket=actions=load:1->NXM_NX_REG0[],2,bucket=3",
    "group_id=0x10 type=all",
    "group_id=1,type=all,bucket=controller(max_len=5),resubmit(,3)",
]
MISTAKEN_GROUPS = [
    "", "type=all", "group_id=4", "group_id=4,type=ff,bucket=output:1", "group_id=all,type=all",
    "group_id=4294967295,type=all", "group_id=4294967200,type=all", "group_id=4,type=foo",
    "group_id=4,type=indirect", "group_id=4,type=indirect,bucket=1,bucket=2",
    "group_id=1,type=all,foo=3", "group_id=1,type=all,command_bucket_id=1",
    "group_id=1,type=all,selection_method=hash", "group_id=1,type=select,fields=ip_src",
    "group_id=1,type=select,selection_method=aaaaaaaaaaaaaaaaaaaaa",
    "group_id=1,type=select,fields=foo", "group_id=1,type=select,selection_method_param=3",
    "group_id=1,type=select,bucket=", "group_id=1,type=select,bucket=weight:70000,output:1",
    "group_id=1,type=select,bucket=watch_port:foo,output:1", "group_id=-1,type=all",
    "group_id=1,type=select,bucket=watch_group:foo,output:1", "group_id=x,type=all",
    "group_id=1,type=select,bucket=bucket_id:4294967295,output:1",
    "group_id=1,type=select,bucket=foo:3", "group_id=1,type=all,bucket=weight:3,output:1",
    "group_id=1,type=all,bucket=goto_table:3", "group_id=1,type=all,bucket=clear_actions,1",
    "group_id=1,type=select,selection_method=hash,fields=ip_src,udp_src,bucket=1",
    "group_id=1,type=select,selection_method=hash,fields(ip_src,ip_src),bucket=1",
    "group_id=1,type=select,selection_method=hash,fields(ip_src=0.0.0.0),bucket=1",
    "group_id=1,type=select,selection_method=hash,fields(in_port=3),bucket=1",
    "group_id=1,type=select,selection_method=dp_hash,fields(ip_src),bucket=1",
    "group_id=1,type=all,bucket=watch_port:1,1", "group_id=1,type=all,bucket:1",
]  # fmt: skip
METERS = [
    "meter=1,kbps,burst,stats,bands=type=drop rate=10 burst_size=20",
    "meter=1,pktps,band=type=drop,rate=1", "meter=controller,kbps,bands=type=drop,rate=2",
    "meter=7 kbps bands=type=dscp_remark rate=3 prec_level=2, type=drop rate=9",
]  # fmt: skip
MISTAKEN_METERS = [
    "meter=x", "meter=1", "meter=1,kbps", "meter=1,kbps,bands=", "kbps,bands=type=drop,rate=2",
    "meter=1,kbps,bands=type=foo,rate=2", "meter=1,kbps,bands=rate=2",
    "meter=1,kbps,bands=type=drop", "meter=1,kbps,bands=type=drop,rate=2,prec_level=3",
    "meter=1,kbps,bands=type=dscp_remark,rate=2", "meter=1,kbps,foo,bands=type=drop,rate=2",
    "meter=1,kbps,bands=type=dscp_remark,rate=2,prec_level=3,burst_size=3",
    "meter=1,foo=2,kbps,bands=type=drop,rate=2", "meter=1,kbps,bands=type=drop,rate=2,foo=3",
    "meter=1,kbps,bands=foo", "meter=1,bands=type=drop,rate=2", "bands=type=drop,rate=2",
    "meter=controller,kbps,burst,bands=type=drop,rate=2,burst_size=5 type=drop rate=7",
    "meter=4294967295,kbps,bands=type=drop,rate=1", "meter=0,kbps,bands=type=drop,rate=1",
    "meter=1,kbps,bands=type=drop,prec_level=3", "meter=1,bands=foo=3",
    "meter=1,kbps,bands=type=drop,rate=2,prec_level=x", "meter=1,kbps,bands=type=drop,rate=x",
]  # fmt: skip


@pytest.mark.parametrize("options", [(), ("-OOpenFlow11",), ("-OOpenFlow13",), ("-OOpenFlow15",)])
@pytest.mark.parametrize("group", GROUPS + MISTAKEN_GROUPS)
def test_a_group_is_read_alike(debian, capsys, options, group):
    command = (*options, "parse-group", group)
    assert ours(capsys, *command) == debian(*command)


def record(tmp_path: Path, version: int, run, words: tuple[str, ...]):
    """What `run` makes of the command line, and the messages that a switch got."""
    switch = RecordingSwitch(tmp_path / "switch", version)
    options = ["--no-names", "-O", VERSION_NAMES[version]]
    try:
        result = run(*options, *(f"unix:{switch.path}" if w == "SWITCH" else w for w in words))
    finally:
        switch.close()
        switch.path.unlink()
    return result, switch.take()


CHANGES = [
    *[("add-group", "SWITCH", group) for group in GROUPS],
    ("--may-create", "mod-group", "SWITCH", GROUPS[0]),
    ("mod-group", "SWITCH", GROUPS[1]),
    ("del-groups", "SWITCH"),
    ("del-groups", "SWITCH", "group_id=3"),
    ("del-groups", "SWITCH", "group_id=3,type=all"),
    ("del-groups", "SWITCH", "group_id=3,bucket=1"),
    ("insert-buckets", "SWITCH", "group_id=1,command_bucket_id=last,bucket=1"),
    ("insert-buckets", "SWITCH", "group_id=1,command_bucket_id=all,bucket=1"),
    ("insert-buckets", "SWITCH", "group_id=1,bucket=1"),
    ("remove-buckets", "SWITCH", "group_id=1,command_bucket_id=all"),
    ("remove-buckets", "SWITCH", "group_id=1"),
    ("remove-buckets", "SWITCH", "group_id=1,command_bucket_id=4294967290"),
    ("add-groups", "SWITCH", "FILE"),
    ("--bundle", "add-groups", "SWITCH", "FILE"),
    *[("add-meter", "SWITCH", meter) for meter in METERS + MISTAKEN_METERS],
    ("mod-meter", "SWITCH", METERS[0]),
    ("del-meter", "SWITCH", "meter=1"),
    ("del-meters", "SWITCH"),
    ("del-meter", "SWITCH", "meter=1,kbps"),
    ("--bundle", "add-flow", "SWITCH", "priority=1,actions=1"),
    ("--bundle", "--strict", "mod-flows", "SWITCH", "priority=1,actions=2"),
    ("--bundle", "del-flows", "SWITCH", "tcp"),
    ("--bundle", "add-flows", "SWITCH", "FLOWS"),
    ("bundle", "SWITCH", "BUNDLE"),
]
FILES = {
    "FILE": "add group_id=20,type=all\n#x\ndelete group_id=20\n modify group_id=4,type=all,"
    "bucket=1\nadd_or_mod group_id=9,type=all\ngroup_id=10,type=indirect,bucket=3\n",
    "FLOWS": "add priority=1,actions=1\nmodify priority=3,actions=2\ndelete tcp\n",
    "BUNDLE": "flow add priority=1,actions=1\nflow priority=3,actions=2\n"
    "group group_id=1,type=all\nflow delete\ngroup modify group_id=1,type=all,bucket=1\n"
    " group delete group_id=1\n"
    "packet-out in_port=1 packet=ffffffffffff0000000000020800 actions=2\n",
}


@pytest.mark.parametrize("version", range(1, 7))
def test_changes_have_the_same_bytes(tmp_path, debian, capsys, version):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    differences = []
    for change in CHANGES:
        words = tuple(str(tmp_path / word) if word in FILES else word for word in change)
        if version < 4 and (change[0] == "--bundle" or change[0] == "bundle"):
            continue
        expected = record(tmp_path, version, debian, words)
        found = record(tmp_path, version, lambda *args: ours(capsys, *args), words)
        if expected != found:
            differences.append((change, expected, found))
    assert differences == []


MESSAGES = (HERE / "openflow_messages.txt").read_text().split()


def test_bytes_are_printed_alike(debian, capsys):
    differences = []
    for message in MESSAGES:
        for verbosity in "01234":
            expected = debian("ofp-print", message, verbosity)
            found = ours(capsys, "ofp-print", message, verbosity)
            if found[:2] != expected[:2]:
                differences.append((message, expected, found))
                break
    assert differences == []
