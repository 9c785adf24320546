"""Who asks again as soon as it is answered finds the daemon awake; nobody else is waited for so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from netloom.transport.light_selector import ACTIVE_S, SOON_S, LightSelector

FD = 0
QUESTION = [(FD, 1)]
NOTHING: list[tuple[int, int]] = []
FOR_EVER = -1


class Reader:
    """Stands for asyncio's handle of a stream that answers what it reads."""

    def __init__(self) -> None:
        self.n_answers = 0

    def _run(self) -> None:
        self.n_answers += 1


class Epoll:
    """Says in turn what is ready, after how long, and notes how long it may wait. Has the time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.answers: list[tuple[list[tuple[int, int]], float]] = []
        self.waits: list[float] = []

    def poll(self, wait: float, n_most: int) -> list[tuple[int, int]]:
        self.waits.append(wait)
        ready, after_s = self.answers.pop(0)
        self.now_s += after_s
        return ready

    def register(self, fd: int, events: int) -> None:
        assert fd == FD

    def close(self) -> None:
        assert not self.answers


@pytest.fixture
def epoll(monkeypatch: pytest.MonkeyPatch) -> Epoll:
    epoll = Epoll()
    monkeypatch.setattr("netloom.transport.light_selector.monotonic", lambda: epoll.now_s)
    return epoll


@pytest.fixture
def selector(epoll: Epoll, monkeypatch: pytest.MonkeyPatch) -> Iterator[LightSelector]:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    selector = LightSelector()
    selector._epoll.close()
    selector._epoll = cast("Any", epoll)
    selector.register(FD, 1, (Reader(), None))
    selector.call_at_once(FD, True)
    yield selector
    selector.close()


def answers(selector: LightSelector) -> int:
    return cast("Reader", selector.get_key(FD).data[0]).n_answers


def test_after_two_questions_in_a_row_the_next_is_looked_for(
    selector: LightSelector, epoll: Epoll
) -> None:
    moment = ACTIVE_S / 2
    epoll.answers = [(each, moment) for each in (QUESTION, QUESTION, NOTHING, QUESTION)]
    # Nobody asks any more: the active wait is given up, and the next is as long as it may be.
    epoll.answers += [(NOTHING, ACTIVE_S), (NOTHING, 1.0)]
    assert selector.select() == []
    assert answers(selector) == 3
    assert epoll.waits == [FOR_EVER, FOR_EVER, 0, 0, 0, FOR_EVER]


def test_who_asks_now_and_then_is_slept_for(selector: LightSelector, epoll: Epoll) -> None:
    epoll.answers = [(QUESTION, SOON_S * 3)] * 4 + [(NOTHING, 0.0)]
    assert selector.select() == []
    assert answers(selector) == 4
    assert epoll.waits == [FOR_EVER] * 5


def test_with_one_processor_nobody_is_waited_for_actively(
    epoll: Epoll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    selector = LightSelector()
    selector._epoll.close()
    selector._epoll = cast("Any", epoll)
    selector.register(FD, 1, (Reader(), None))
    selector.call_at_once(FD, True)
    epoll.answers = [(QUESTION, 0.0)] * 4 + [(NOTHING, 0.0)]
    assert selector.select() == []
    assert epoll.waits == [FOR_EVER] * 5
    selector.close()
