"""What `cluster/failure-test` has a server do wrong."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.base.errors import CommandError
from netloom.ovsdb.raft.rpc import Rpc
from netloom.ovsdb.uuids import ZERO_UUID
from netloom.programs.outcome import Fatal
from netloom.programs.ovsdb_failure_test import FailureTest


def message(kind: str, **body: Any) -> Rpc:
    return Rpc(kind, body, ZERO_UUID, "", ZERO_UUID, None)


UPDATE = message("append_request", log=[1])
HEARTBEAT = message("append_request", log=[])
VOTE = message("vote_request")


def engaged(scenario: str) -> FailureTest:
    failure = FailureTest()
    assert failure.engage(scenario, [], 0) == "test engaged"
    return failure


def test_heartbeats_do_not_end_a_server_that_is_to_end_before_it_sends_an_update() -> None:
    failure = engaged("crash-before-sending-append-request")
    assert failure.filter([HEARTBEAT, VOTE]) == [HEARTBEAT, VOTE]
    with pytest.raises(Fatal, match="crash before sending append_request"):
        failure.filter([HEARTBEAT, UPDATE])


def test_a_server_that_is_to_end_afterwards_sends_the_update() -> None:
    failure = engaged("crash-after-sending-append-request")
    assert failure.filter([UPDATE]) == [UPDATE]
    assert not failure.is_last([HEARTBEAT])
    assert failure.is_last([UPDATE])


def test_a_silent_server_neither_speaks_nor_hears_until_the_test_is_over() -> None:
    failure = engaged("stop-raft-rpc")
    assert failure.is_silent
    assert failure.filter([VOTE]) == []
    assert failure.engage("clear", [], 0) == "test dismissed"
    assert not failure.is_silent
    assert failure.filter([VOTE]) == [VOTE]


def test_only_requests_for_votes_are_held_back() -> None:
    assert engaged("dont-send-vote-request").filter([VOTE, UPDATE]) == [UPDATE]


def test_a_scenario_that_there_is_not_is_refused() -> None:
    with pytest.raises(CommandError, match="unknown test scenario"):
        FailureTest().engage("crash", [], 0)
