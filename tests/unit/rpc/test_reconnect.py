from __future__ import annotations

import errno

import pytest

from netloom.base.log import vlog
from netloom.rpc.reconnect import (
    ACTIVE,
    BACKOFF,
    CONNECT,
    CONNECTING,
    DISCONNECT,
    EOF,
    IDLE,
    LISTENING,
    PROBE,
    VOID,
    Reconnect,
)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> object:
    vlog.apply("any:info")

    def lines() -> list[str]:
        return [line.split("|", 2)[2] for line in capsys.readouterr().err.splitlines()]

    return lines


def connected(now_ms: int = 0, **settings: int) -> Reconnect:
    fsm = Reconnect("tcp:h", now_ms, **settings)  # type: ignore[arg-type]
    fsm.enable(now_ms)
    assert fsm.run(now_ms) == CONNECT
    fsm.connecting(now_ms)
    fsm.connected(now_ms)
    return fsm


def test_disabled_machine_never_asks_for_anything() -> None:
    fsm = Reconnect("tcp:h", 0)
    assert fsm.state == VOID
    assert fsm.deadline() is None
    assert fsm.run(10**9) is None


def test_failures_back_off_from_one_to_eight_seconds(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = Reconnect("tcp:h", 0)
    fsm.enable(0)
    now_ms = 0
    waits = []
    for _ in range(6):
        assert fsm.run(now_ms) == CONNECT
        fsm.connecting(now_ms)
        fsm.connect_failed(now_ms, errno.ECONNREFUSED)
        due_ms = fsm.deadline()
        assert due_ms is not None
        assert fsm.run(due_ms - 1) is None
        waits.append(due_ms - now_ms)
        now_ms = due_ms
    assert waits == [1000, 2000, 4000, 8000, 8000, 8000]
    attempt = [
        "reconnect|INFO|tcp:h: connecting...",
        "reconnect|INFO|tcp:h: connection attempt failed (Connection refused)",
    ]
    assert logged() == [
        *attempt,
        *attempt,
        "reconnect|INFO|tcp:h: waiting 2 seconds before reconnect",
        *attempt,
        "reconnect|INFO|tcp:h: waiting 4 seconds before reconnect",
        *attempt,
        "reconnect|INFO|tcp:h: continuing to reconnect in the background but suppressing further "
        "logging",
    ]


def test_attempt_that_takes_too_long_is_given_up(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = Reconnect("tcp:h", 0)
    fsm.enable(0)
    fsm.connecting(0)
    assert fsm.run(999) is None
    assert fsm.run(1000) == DISCONNECT
    fsm.disconnected(1000)
    assert fsm.state == BACKOFF
    assert logged()[-1] == "reconnect|INFO|tcp:h: connection attempt timed out"


def test_silent_peer_is_probed_and_then_dropped(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = connected()
    assert fsm.run(4999) is None
    assert fsm.run(5000) == PROBE
    assert fsm.state == IDLE
    assert fsm.run(9999) is None
    assert fsm.run(10_000) == DISCONNECT
    fsm.disconnected(10_000)
    assert logged() == [
        "reconnect|INFO|tcp:h: connecting...",
        "reconnect|INFO|tcp:h: connected",
        "reconnect|ERR|tcp:h: no response to inactivity probe after 5 seconds, disconnecting",
        "reconnect|INFO|tcp:h: connection dropped",
    ]


def test_any_byte_from_the_peer_puts_off_the_probe() -> None:
    fsm = connected()
    fsm.activity(3000)
    assert fsm.run(7999) is None
    assert fsm.run(8000) == PROBE
    fsm.activity(8100)
    assert fsm.state == ACTIVE
    assert fsm.deadline() == 13_100


def test_no_probes_when_switched_off_and_never_more_than_one_a_second() -> None:
    assert connected(probe_interval_ms=0).deadline() is None
    assert connected(probe_interval_ms=10).deadline() == 1000


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (errno.ECONNRESET, "WARN|tcp:h: connection dropped (Connection reset by peer)"),
        (EOF, "INFO|tcp:h: connection closed by peer"),
        (0, "INFO|tcp:h: connection dropped"),
    ],
)
def test_loss_of_a_connection_is_logged_with_its_reason(logged, error: int, line: str) -> None:  # type: ignore[no-untyped-def]
    fsm = connected()
    logged()
    fsm.activity(100)
    fsm.disconnected(200, error)
    assert logged() == [f"reconnect|{line}"]
    assert fsm.last_disconnected_ms == 200


def test_connection_of_use_resets_the_back_off() -> None:
    fsm = Reconnect("tcp:h", 0)
    fsm.enable(0)
    for now_ms in (0, 1000, 3000):
        fsm.connect_failed(now_ms, errno.ECONNREFUSED)
    fsm.connecting(7000)
    fsm.connected(7000)
    fsm.activity(11_000)
    fsm.disconnected(11_000, EOF)
    assert fsm.deadline() == 12_000


def test_connection_that_drops_at_once_keeps_backing_off() -> None:
    fsm = Reconnect("tcp:h", 0)
    fsm.enable(0)
    for now_ms in (0, 1000):
        fsm.connect_failed(now_ms, errno.ECONNREFUSED)
    fsm.connecting(3000)
    fsm.connected(3000)
    fsm.disconnected(3000, EOF)
    assert fsm.deadline() == 7000


def test_tries_run_out() -> None:
    fsm = Reconnect("tcp:h", 0)
    fsm.max_tries = 1
    fsm.enable(0)
    fsm.connect_failed(0, errno.ECONNREFUSED)
    assert fsm.state == VOID


def test_forced_reconnect_disconnects_first(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = connected()
    fsm.force_reconnect(100)
    assert fsm.run(100) == DISCONNECT
    fsm.disconnected(100)
    assert fsm.state == BACKOFF
    assert logged()[-1] == "reconnect|INFO|tcp:h: connection closed by client"


def test_passive_machine_listens_and_does_not_back_off(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = Reconnect("ptcp:1", 0, passive=True)
    fsm.enable(0)
    assert fsm.run(0) == CONNECT
    fsm.listening(0)
    assert fsm.state == LISTENING
    assert fsm.deadline() is None
    fsm.connected(500)
    fsm.disconnected(600, EOF)
    assert fsm.run(600) == CONNECT
    assert logged()[0] == "reconnect|INFO|ptcp:1: listening..."


def test_disabled_while_connecting_it_stays_silent() -> None:
    fsm = Reconnect("tcp:h", 0)
    fsm.enable(0)
    fsm.connecting(0)
    assert fsm.state == CONNECTING
    fsm.disable(1)
    fsm.disconnected(2, errno.ECONNREFUSED)
    assert fsm.state == VOID
    assert (fsm.attempts, fsm.successes) == (1, 0)


def test_quiet_machine_says_nothing_at_info(logged) -> None:  # type: ignore[no-untyped-def]
    fsm = Reconnect("tcp:h", 0, quiet=True)
    fsm.enable(0)
    fsm.connecting(0)
    fsm.connected(0)
    fsm.disconnected(1, EOF)
    assert logged() == []
