"""LLDP with Auto-Attach: what a port says, and what it makes of what it hears."""

from __future__ import annotations

import pytest

from netloom.protocols.lldp import MAX_NEIGHBOURS, Lldp, LldpSettings

MAC = bytes.fromhex("aa55aa55000e")
#: What Debian's switch says with this name, description and mappings.
SAID = (
    "0207 04aa55aa55000e 0403 05 7031 0602 0078 0a07 7379736e616d65 0c05 6465736372 0e04 00040004"
    f"fe32 00040d 0b {'00' * 32} 38000000 aa55aa55000e 00000000"
    f"fe33 00040d 0c {'00' * 32} 0014001e61 001e000064 0042000037 0000"
)
SETTINGS = LldpSettings("sysname", "descr", ((7777, 20), (100, 30), (55, 66)))
ELEMENT = f"fe32 00040d 0b {'00' * 32} 18001000 aa55aa550011 12345678"


def heard(*tlvs: str, chassis: str = "0207 04aa55aa550011", ttl: str = "0602 0078") -> bytes:
    return bytes.fromhex(f"{chassis} 0403057032 {ttl} {' '.join(tlvs)} 0000")


def make(settings: LldpSettings = SETTINGS) -> Lldp:
    return Lldp("p1", settings, 0)


def test_a_port_says_what_debians_switch_says_every_five_seconds() -> None:
    machine = make()
    assert machine.packet(MAC, 4_999) is None
    assert machine.packet(MAC, 5_000) == bytes.fromhex(SAID)
    assert machine.deadline() == 10_000
    assert machine.counts["tx"] == 1


def test_what_is_empty_is_not_said() -> None:
    said = make(LldpSettings()).packet(MAC, 5_000)
    assert said is not None
    assert said.hex().startswith("020704aa55aa55000e04030570310602" + "0078" + "0e04")
    assert b"\x0d\x0c" not in said


def test_a_change_is_said_five_seconds_later() -> None:
    machine = make()
    machine.configure(LldpSettings("other"), 4_000)
    assert machine.deadline() == 9_000


def test_a_server_is_shown_until_its_time_is_over() -> None:
    machine = make()
    machine.receive(heard("0c01 64", ELEMENT), 0)
    assert machine.show() == (
        "LLDP: p1\n"
        "  Auto Attach Primary Server Id: aa:55:aa:55:00:11\n"
        "  Auto Attach Primary Server Descr: d\n"
        "  Auto Attach Primary Server System Id: aa:55:aa:55:00:11:00:00:34:02:56:78\n"
    )
    machine.receive(heard("0c01 64", ELEMENT), 1_000)
    assert machine.counts["insert"] == 1
    machine.run(120_999)
    assert "Server" in machine.show()
    machine.run(121_000)
    assert machine.show() == "LLDP: p1\n"
    assert machine.counts["ageout"] == 1


def test_a_neighbour_without_auto_attach_is_counted_only() -> None:
    machine = make()
    machine.receive(heard(chassis="0204 07616263"), 0)
    assert machine.show() == "LLDP: p1\n"
    assert machine.show_statistics() == (
        "Statistics: p1\n  tx cnt: 0\n  rx cnt: 1\n  rx discarded cnt: 0\n"
        "  rx unrecognized cnt: 0\n  ageout cnt: 0\n  insert cnt: 1\n  delete cnt: 0\n"
        "  drop cnt: 0\n"
    )


def test_a_neighbour_that_leaves_says_so() -> None:
    machine = make()
    machine.receive(heard(ELEMENT), 0)
    machine.receive(heard(ttl="0602 0000"), 1)
    assert machine.show() == "LLDP: p1\n"
    assert machine.counts["delete"] == 1


@pytest.mark.parametrize(
    "payload",
    ["", "0207", "020704aa55aa550011", "0204 07616263 0403057032 0602 0078", "0000", "0207 04aa"],
)
def test_what_is_malformed_is_discarded(payload: str) -> None:
    machine = make()
    machine.receive(bytes.fromhex(payload), 0)
    assert (machine.counts["rx"], machine.counts["rx discarded"]) == (1, 1)
    assert machine.counts["insert"] == 0


def test_what_nobody_knows_is_counted_and_left() -> None:
    machine = make()
    machine.receive(heard("fe05 001122 01 02", "1201 00"), 0)
    assert machine.counts["rx unrecognized"] == 2
    assert machine.counts["insert"] == 1


@pytest.mark.parametrize(
    ("tlv", "problem"),
    [
        ("fe05 00040d0c01", "ISID_VLAN_ASGNS TLV too short received on p1"),
        ("fe05 00040d0b01", "ELEMENT TLV too short received on p1"),
        ("fe00", "Organisational TLV too short received on p1"),
        ("1002 0501", "Management address TLV too short received on p1"),
        ("1001 00", "invalid management address length on p1"),
        ("0e02 0004", "System capabilities TLV too short received on p1"),
        ("0602 0078", "TTL TLV should be third on p1, but it is on position 4"),
        ("0001 00", "lldp end received with size not null on p1"),
    ],
)
def test_the_log_names_what_is_malformed(
    tlv: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = make()
    machine.receive(heard(tlv), 0)
    assert (machine.counts["rx discarded"], machine.counts["insert"]) == (1, 0)
    assert capsys.readouterr().err.endswith(f"|lldp|WARN|{problem}\n")


def test_there_are_never_more_neighbours_than_room() -> None:
    machine = make()
    for number in range(MAX_NEIGHBOURS + 3):
        machine.receive(heard(chassis=f"0203 07{number:04x}"), 0)
    assert machine.counts["insert"] == MAX_NEIGHBOURS
    assert machine.counts["drop"] == 3


def test_statuses_of_assignments_are_shown_in_words() -> None:
    machine = make(LldpSettings(mappings=((100, 1), (300, 3), (900, 9), (5, 5))))
    said = "0001000064 200300012c 8009000384 2001000005"
    machine.receive(heard(f"fe38 00040d 0c {'00' * 32} {said}"), 0)
    assert machine.show_assignments() == (
        "LLDP: p1\n"
        "I-SID    VLAN Source      Status  \n"
        "-------- ---- ----------- --------\n"
        "100      1    Switch      Undefined  \n"
        "300      3    Switch      Active     \n"
        "900      9    Switch      Reject (VLAN resources unavailable)\n"
        "5        5    Switch      Pending    \n"
    )


def test_mappings_that_stay_keep_their_status() -> None:
    machine = make(LldpSettings(mappings=((300, 3), (5, 5))))
    machine.receive(heard(f"fe29 00040d 0c {'00' * 32} 200300012c"), 0)
    machine.configure(LldpSettings(mappings=((300, 3), (6, 6))), 1)
    rows = machine.show_assignments().splitlines()[3:]
    assert rows == [
        "300      3    Switch      Active     ",
        "6        6    Switch      Pending    ",
    ]
