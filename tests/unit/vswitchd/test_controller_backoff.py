"""The back-off of a controller's connection: pauses, probes, and what the row shows."""

from __future__ import annotations

import errno

from netloom.ofproto.settings import ControllerSettings
from netloom.vswitchd.rconn import EOF, Rconn


def make(**settings: int) -> Rconn:
    chosen = ControllerSettings(target="tcp:127.0.0.1:6653", **settings)  # type: ignore[arg-type]
    return Rconn("br0<->tcp:127.0.0.1:6653", chosen, 0)


def fail_once(rconn: Rconn, now_ms: int) -> int:
    """One refused attempt; the pause after it."""
    assert rconn.run(now_ms) == "connect"
    rconn.connecting(now_ms)
    rconn.connect_failed(now_ms, errno.ECONNREFUSED)
    due_ms = rconn.deadline()
    assert due_ms is not None
    return due_ms - now_ms


def test_pauses_double_up_to_the_maximum() -> None:
    rconn, now_ms, pauses = make(), 0, []
    for _ in range(6):
        pauses.append(fail_once(rconn, now_ms))
        now_ms += pauses[-1]
    assert pauses == [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]


def test_the_maximum_is_the_controllers() -> None:
    rconn, now_ms, pauses = make(max_backoff_ms=2_000), 0, []
    for _ in range(4):
        pauses.append(fail_once(rconn, now_ms))
        now_ms += pauses[-1]
    assert pauses == [1_000, 2_000, 2_000, 2_000]


def test_a_connection_that_lasted_makes_the_next_pause_short() -> None:
    rconn, now_ms = make(), 0
    for _ in range(3):
        now_ms += fail_once(rconn, now_ms)
    rconn.connecting(now_ms)
    rconn.negotiated(now_ms)
    rconn.disconnected(now_ms + 60_000, EOF)
    assert rconn.deadline() == now_ms + 61_000


def test_nothing_is_due_before_its_time() -> None:
    rconn = make()
    pause_ms = fail_once(rconn, 0)
    assert rconn.run(pause_ms - 1) is None
    assert rconn.run(pause_ms) == "connect"


def test_an_attempt_that_takes_too_long_is_given_up() -> None:
    rconn = make()
    rconn.connecting(0)
    assert rconn.run(999) is None
    assert rconn.run(1_000) == "disconnect"
    rconn.disconnected(1_000)
    assert rconn.status("t", "other", 1_000).last_error == "Connection timed out"


def test_a_silent_controller_is_probed_and_then_dropped() -> None:
    rconn = make(inactivity_probe_ms=5_000)
    rconn.connecting(0)
    rconn.negotiated(0)
    assert rconn.run(5_000) == "probe"
    assert rconn.run(9_999) is None
    assert rconn.run(10_000) == "disconnect"


def test_an_answer_to_the_probe_keeps_the_connection() -> None:
    rconn = make(inactivity_probe_ms=5_000)
    rconn.connecting(0)
    rconn.negotiated(0)
    assert rconn.run(5_000) == "probe"
    rconn.activity(5_001)
    assert rconn.run(10_000) is None
    assert rconn.deadline() == 10_001


def test_without_an_interval_nothing_is_probed() -> None:
    rconn = make(inactivity_probe_ms=0)
    rconn.connecting(0)
    rconn.negotiated(0)
    assert rconn.deadline() is None


def test_the_row_shows_state_error_and_times() -> None:
    rconn = make()
    fail_once(rconn, 0)
    first = rconn.status("t", "other", 0)
    assert (first.state, first.is_connected, first.last_error) == (
        "BACKOFF",
        False,
        "Connection refused",
    )
    assert (first.sec_since_connect, first.sec_since_disconnect) == (-1, -1)
    rconn.connecting(1_000)
    rconn.negotiated(1_000)
    assert rconn.status("t", "master", 4_000).sec_since_connect == 3
    rconn.disconnected(5_000, EOF)
    last = rconn.status("t", "other", 7_000)
    assert (last.sec_since_connect, last.sec_since_disconnect) == (6, 2)
    assert last.last_error == "End of file"


def test_a_forced_reconnect_drops_the_connection_now() -> None:
    rconn = make()
    rconn.connecting(0)
    rconn.negotiated(0)
    rconn.reconnect()
    assert rconn.run(1) == "disconnect"
    assert rconn.run(1) is None
