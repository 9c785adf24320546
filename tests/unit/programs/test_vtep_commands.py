"""`vtep-ctl`: what its commands print, and what they send to the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.context import ExitNow
from netloom.programs.db_ctl.options import parse_options
from netloom.programs.vtep_ctl.main import PROGRAM

sys.path.insert(0, str(Path(__file__).parent))
from vsctl_fixture import Switch, ref, uuid

MAC, OTHER_MAC = "00:11:22:33:44:55", "00:11:22:33:44:66"


def vtep() -> Switch:
    """Switches ps0 (ports p1, p2; VLAN 7 of p1 is in ls0) and ps1 (p1); routers and MACs."""
    locator = {"encapsulation_type": "vxlan_over_ipv4"}
    return Switch({
        "Global": {1: {"switches": ref(2, 3), "managers": ref(9)}},
        "Manager": {9: {"target": "tcp:1.1.1.1"}},
        "Physical_Switch": {2: {"name": "ps0", "ports": ref(4, 5), "tunnel_ips": "5.5.5.5"},
                            3: {"name": "ps1", "ports": ref(6)}},
        "Physical_Port": {4: {"name": "p1", "vlan_bindings": ["map", [[7, ["uuid", uuid(7)]]]]},
                          5: {"name": "p2"}, 6: {"name": "p1"}},
        "Logical_Switch": {7: {"name": "ls0"}, 8: {"name": "ls1", "replication_mode":
                                                  "source_node"}},
        "Logical_Router": {10: {"name": "lr0"}},
        "Physical_Locator": {20: locator | {"dst_ip": "10.0.0.1"},
                             21: locator | {"dst_ip": "10.0.0.2"}},
        "Physical_Locator_Set": {30: {"locators": ref(20, 21)}},
        "Ucast_Macs_Local": {40: {"MAC": MAC, "logical_switch": ref(7), "locator": ref(20)}},
        "Mcast_Macs_Local": {41: {"MAC": "unknown-dst", "logical_switch": ref(7),
                                  "locator_set": ref(30)}},
    }, PROGRAM)  # fmt: skip


def changes(line: str) -> list[tuple[str, str, Any]]:
    """What a command line does to the database: operation, table, row or mutations."""
    operations = [op for op in vtep().run(line)[1] if op["op"] not in ("wait", "comment")]
    return [(op["op"], op["table"], op.get("row") or op.get("mutations")) for op in operations]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("list-ps", "ps0\nps1\n"),
        ("list-ports ps0", "p1\np2\n"),
        ("list-ls", "ls0\nls1\n"),
        ("list-lr", "lr0\n"),
        ("list-bindings ps0 p1", "0007 ls0\n"),
        ("list-bindings ps1 p1", ""),
        ("get-replication-mode ls0", "(null)\n"),
        ("get-replication-mode ls1", "source_node\n"),
        ("get-manager", "tcp:1.1.1.1\n"),
        ("ps-exists ps0 -- ls-exists ls0 -- lr-exists lr0", ""),
        ("add-ps a -- add-port a b -- list-ps -- list-ports a", "a\nps0\nps1\nb\n"),
        ("del-ps ps0 -- list-ps", "ps1\n"),
        ("del-port ps0 p1 -- list-ports ps0 -- list-ports ps1", "p2\np1\n"),
        ("bind-ls ps0 p2 0x10 ls1 -- list-bindings ps0 p2", "0016 ls1\n"),
        ("unbind-ls ps0 p1 7 -- list-bindings ps0 p1", ""),
        ("set-replication-mode ls0 service_node -- get-replication-mode ls0", "service_node\n"),
    ],
)
def test_what_is_there_is_listed_by_name(line: str, text: str) -> None:
    assert vtep().run(line)[0] == text


LOCAL = """\
ucast-mac-local
  {mac} -> vxlan_over_ipv4/{ucast}

mcast-mac-local
{mcast}
"""


@pytest.mark.parametrize(
    ("line", "ucast", "mcast"),
    [
        ("comment", "10.0.0.1", ["10.0.0.1", "10.0.0.2"]),
        (f"add-ucast-local ls0 {MAC} 9.9.9.9", "9.9.9.9", ["10.0.0.1", "10.0.0.2"]),
        ("add-mcast-local ls0 unknown-dst 9.9.9.9", "10.0.0.1",
         ["10.0.0.1", "10.0.0.2", "9.9.9.9"]),
        ("del-mcast-local ls0 unknown-dst 10.0.0.1", "10.0.0.1", ["10.0.0.2"]),
        ("del-mcast-local ls0 unknown-dst vxlan_over_ipv4 10.0.0.1 -- "
         "del-mcast-local ls0 unknown-dst 10.0.0.2", "10.0.0.1", []),
        (f"clear-remote-macs ls0 -- del-ucast-local ls0 {OTHER_MAC}", "10.0.0.1",
         ["10.0.0.1", "10.0.0.2"]),
    ],
)  # fmt: skip
def test_addresses_are_listed_with_their_tunnels(line: str, ucast: str, mcast: list[str]) -> None:
    lines = "".join(f"  unknown-dst -> vxlan_over_ipv4/{address}\n" for address in mcast)
    want = LOCAL.format(mac=MAC, ucast=ucast, mcast=lines)
    assert vtep().run(f"{line} -- list-local-macs ls0")[0] == want


def test_a_tunnel_that_is_known_is_used_again() -> None:
    assert changes(f"add-ucast-remote ls1 {MAC} 10.0.0.2") == [
        ("insert", "Ucast_Macs_Remote",
         {"MAC": MAC, "logical_switch": ["uuid", uuid(8)], "locator": ["uuid", uuid(21)]}),
    ]  # fmt: skip
    made = [table for _, table, _ in changes(f"add-ucast-remote ls1 {MAC} 9.9.9.9")]
    assert sorted(made) == ["Physical_Locator", "Ucast_Macs_Remote"]


def test_addresses_of_one_side_are_deleted_together() -> None:
    assert changes("clear-local-macs ls0") == [
        ("delete", "Ucast_Macs_Local", None), ("delete", "Mcast_Macs_Local", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("add-ps ps0", "cannot create physical switch ps0 because it already exists"),
        ("add-ls ls0", "cannot create logical switch ls0 because it already exists"),
        ("add-lr lr0", "cannot create logical router lr0 because it already exists"),
        ("del-ps x", "no physical switch named x"),
        ("del-ls x", "no logical switch named x"),
        ("del-lr x", "no logical router named x"),
        ("add-port ps0 p1", "cannot create a port named p1 on ps0 because a port with that name "
         "already exists"),
        ("add-port x p1", "no physical switch named x"),
        ("del-port ps1 p2", "no port named p2"),
        ("bind-ls ps0 p1 7 ls1", "multiple bindings for vlan 7"),
        ("bind-ls ps0 p1 8 x", "no logical switch named x"),
        ("unbind-ls ps0 p1 8", "no binding for vlan 8"),
        ("set-replication-mode ls0 x", "Replication mode must be 'service_node' or 'source_node'"),
        (f"add-ucast-local x {MAC} 1.1.1.1", "no logical switch named x"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(line: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        vtep().run(line)
    assert str(caught.value) == text


def test_options_let_pass_what_would_be_refused() -> None:
    added = "--may-exist add-ps ps0 -- --may-exist add-port ps0 p1 -- --may-exist add-ls ls0"
    gone = "--if-exists del-ps x -- --if-exists del-port ps0 x -- --if-exists del-lr x"
    assert changes(f"-- {added} -- {gone} -- --may-exist add-lr lr0") == []


@pytest.mark.parametrize("line", ["ps-exists x", "ls-exists x", "lr-exists x"])
def test_what_does_not_exist_ends_the_program_with_2(line: str) -> None:
    with pytest.raises(ExitNow) as caught:
        vtep().run(line)
    assert caught.value.status == 2


def test_the_authority_may_be_learned_as_the_manual_says() -> None:
    settings = parse_options(PROGRAM, ["--bootstrap-ca-cert=ca.pem", "list-ps"])
    assert (settings.tls.ca_cert, settings.tls.bootstrap_ca_cert) == ("ca.pem", True)
    assert not settings.wait


def test_show_names_the_switches_of_vlans() -> None:
    assert vtep().run("show")[0].splitlines()[1:] == [
        '    Manager "tcp:1.1.1.1"',
        "    Physical_Switch ps0",
        '        tunnel_ips: ["5.5.5.5"]',
        "        Physical_Port p1",
        "            vlan_bindings:",
        "                7=ls0",
        "        Physical_Port p2",
        "            vlan_bindings:",
        "    Physical_Switch ps1",
        "        Physical_Port p1",
        "            vlan_bindings:",
    ]
