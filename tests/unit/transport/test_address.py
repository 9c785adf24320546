from __future__ import annotations

import errno

import pytest

from netloom.transport.address import (
    OPENFLOW_PORT,
    Address,
    is_address,
    is_passive,
    parse_address,
)


def shown(address: Address) -> tuple[str, bool, str, str, int]:
    return address.kind, address.passive, address.path, address.host, address.port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/a/b", ("unix", False, "/a/b", "", 0)),
        ("unix:db.sock", ("unix", False, "/run/x/db.sock", "", 0)),
        ("punix:/a:b", ("unix", True, "/a:b", "", 0)),
        ("tcp:1.2.3.4", ("tcp", False, "", "1.2.3.4", 6640)),
        ("tcp:1.2.3.4:99", ("tcp", False, "", "1.2.3.4", 99)),
        ("ssl:[::1]:99", ("ssl", False, "", "::1", 99)),
        ("tcp:[fe80::1%eth0]", ("tcp", False, "", "fe80::1%eth0", 6640)),
        ("ssl:host.example:1", ("ssl", False, "", "host.example", 1)),
        ("ptcp:", ("tcp", True, "", "", 6640)),
        ("ptcp:0", ("tcp", True, "", "", 0)),
        ("ptcp:99:127.0.0.1", ("tcp", True, "", "127.0.0.1", 99)),
        ("pssl:99:[::1]", ("ssl", True, "", "::1", 99)),
        ("pssl::[::1]", ("ssl", True, "", "::1", 6640)),
    ],
)
def test_names_of_streams_are_read(
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    expected: tuple[str, bool, str, str, int],
) -> None:
    monkeypatch.setenv("OVS_RUNDIR", "/run/x")
    assert shown(parse_address(text)) == expected


def test_default_port_is_the_callers() -> None:
    assert parse_address("tcp:1.2.3.4", OPENFLOW_PORT).port == 6653


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("foo", None),
        ("foo:bar", None),
        ("tcp:", None),
        ("tcp:1.2.3.4:99999", '1.2.3.4:99999: bad port number "99999"'),
        ("tcp:1.2.3.4:x", '1.2.3.4:x: bad port number "x"'),
        ("tcp:1.2.3.4:0", '1.2.3.4:0: bad port number "0"'),
        ("tcp:::1:1", "::1:1: port must be specified"),
        ("ptcp:x", 'x: bad port number "x"'),
        ("ptcp:0:127.0.0.1:8", "0:127.0.0.1:8: port must be specified"),
    ],
)
def test_bad_names_are_unsupported_and_the_log_says_why(
    capsys: pytest.CaptureFixture[str], text: str, line: str | None
) -> None:
    with pytest.raises(OSError) as caught:
        parse_address(text)
    assert caught.value.errno == errno.EAFNOSUPPORT
    logged = capsys.readouterr().err
    assert (f"|socket_util|ERR|{line}\n" in logged) if line else not logged


def test_kind_of_a_name_is_told_without_reading_it() -> None:
    assert is_passive("ptcp:1") and not is_passive("tcp:1")
    assert is_address("unix:x") and not is_address("x") and not is_address("foo:x")
