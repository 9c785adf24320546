"""The bytes of `ovs-ofctl`: Debian's and ours send the same to a switch, for every protocol and a
corpus of flows made with a fixed seed, and for the other commands that change a switch."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import peer_environment

from netloom.base.errors import ConfigError
from netloom.openflow import protocol as p
from netloom.openflow.flow_text import parse_flow_mod
from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
#: protocol -> options that choose it.
PROTOCOLS = {
    p.P_OF10: ("-F", "OpenFlow10-table_id"),
    p.P_OF10_TID: ("-F", "OpenFlow10+table_id"),
    p.P_NXM: ("-F", "NXM-table_id"),
    p.P_NXM_TID: ("-F", "NXM+table_id"),
    p.P_OF11: ("-O", "OpenFlow11"),
    p.P_OF12: ("-O", "OpenFlow12"),
    p.P_OF13: ("-O", "OpenFlow13"),
    p.P_OF14: ("-O", "OpenFlow14"),
    p.P_OF15: ("-O", "OpenFlow15"),
}


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem + "_loaded", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RecordingSwitch = load(HERE.parent / "support/recording_switch.py").RecordingSwitch
TEXTS = load(HERE / "test_ofctl_text_peer.py")


@pytest.fixture
def debian(tmp_path):
    environment = peer_environment(tmp_path)

    def run(*args: str) -> int:
        return subprocess.run(
            ["ovs-ofctl", *args], capture_output=True, env=environment, check=False
        ).returncode

    return run


def usable_flows(protocol: int, command: int) -> list[str]:
    """The flows of the corpus that `protocol` can say with `command`."""
    flows = []
    for text in TEXTS.corpus():
        if command >= 3:
            text = text.partition("actions=")[0].rstrip(",")
        try:
            _, usable = parse_flow_mod(text, command)
        except ConfigError:
            continue
        if usable & protocol:
            flows.append(text)
    return flows


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("command", ["add", "modify", "delete_strict"])
def test_flow_mods_have_the_same_bytes(tmp_path, debian, capsys, protocol, command):
    number = {"add": 0, "modify": 1, "delete_strict": 4}[command]
    flows = usable_flows(protocol, number)
    assert len(flows) > 20
    file = tmp_path / "flows"
    file.write_text("".join(f"{command} {text}\n" for text in flows))
    switch = RecordingSwitch(tmp_path / "switch", p.VERSION[protocol])
    command_line = ("--no-names", *PROTOCOLS[protocol], "add-flows", f"unix:{switch.path}",
                    str(file))  # fmt: skip
    assert debian(*command_line) == 0
    expected = switch.take()
    assert main(["ovs-ofctl", *command_line]) == 0, capsys.readouterr().err
    found = switch.take()
    switch.close()
    mods = [message for message in expected if message[1] in (4, 14)]
    assert len(mods) >= len(flows)
    differences = [pair for pair in zip(expected, found) if pair[0] != pair[1]]
    assert differences == []
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    "command_line",
    [
        ("del-flows", "SWITCH"),
        ("--strict", "del-flows", "SWITCH", "priority=3"),
        ("del-flows", "SWITCH", "cookie=5/-1,out_port=3"),
        ("-O", "OpenFlow13", "del-flows", "SWITCH", "table=3,out_group=5"),
        ("mod-flows", "SWITCH", "cookie=1/3,cookie=2,actions=normal"),
        ("--strict", "mod-flows", "SWITCH", "tcp,actions=drop"),
        ("packet-out", "SWITCH", "in_port=1 packet=ffffffffffff0000000000020800 actions=2,flood"),
        ("-O", "OpenFlow13", "packet-out", "SWITCH", "in_port=controller packet="
         "ffffffffffff0000000000020800 actions=set_field:3->reg0,resubmit(,0)"),
        ("-O", "OpenFlow15", "packet-out", "SWITCH", "in_port=1,metadata=5 packet="
         "ffffffffffff0000000000020800 actions=all"),
        ("packet-out", "SWITCH", "none", "3", "ffffffffffff0000000000020800",
         "0102030405060000000000020800"),
    ],
)  # fmt: skip
def test_other_changes_have_the_same_bytes(tmp_path, debian, command_line):
    version = 1
    for number, name in p.VERSION_NAMES.items():
        if name in command_line:
            version = number
    switch = RecordingSwitch(tmp_path / "switch", version)
    words = ["--no-names"]
    words += [f"unix:{switch.path}" if word == "SWITCH" else word for word in command_line]
    assert debian(*words) == 0
    expected = switch.take()
    assert main(["ovs-ofctl", *words]) == 0
    assert switch.take() == expected
    switch.close()
