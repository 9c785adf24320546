"""Descriptors of packets are served without a turn of the whole daemon, unless it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netloom.transport.loop import MainLoop


class Turns:
    """Counts the turns that are taken."""

    def __init__(self) -> None:
        self.n = 0

    def run(self) -> None:
        self.n += 1

    def deadline(self) -> int | None:
        return None


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    loop = MainLoop()
    yield loop
    loop.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def look_once(loop: MainLoop) -> None:
    """Serve what is ready now."""
    loop.aio.call_soon(loop.aio.call_soon, loop.aio.stop)
    loop.aio.run_forever()


def counted(loop: MainLoop) -> Turns:
    turns = Turns()
    loop.register(turns)
    look_once(loop)
    assert turns.n == 1
    return turns


def test_light_work_takes_no_turn_but_for_one_later(loop: MainLoop, pipe: tuple[int, int]) -> None:
    turns = counted(loop)
    served: list[bytes] = []

    def take() -> bool:
        served.append(os.read(pipe[0], 1))
        return False

    loop.watch_lightly(pipe[0], take)
    os.write(pipe[1], b"xy")
    look_once(loop)
    look_once(loop)
    assert served == [b"x", b"y"]
    assert turns.n == 1
    last_s = loop.aio.time() + 10
    while turns.n == 1 and loop.aio.time() < last_s:
        look_once(loop)
    assert turns.n == 2


def test_light_work_may_ask_for_a_turn_at_once(loop: MainLoop, pipe: tuple[int, int]) -> None:
    turns = counted(loop)
    loop.watch_lightly(pipe[0], lambda: bool(os.read(pipe[0], 1)))
    os.write(pipe[1], b"x")
    look_once(loop)
    assert turns.n == 2


def test_other_descriptors_take_turns_and_so_does_one_that_was_light(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    turns = counted(loop)
    loop.watch_lightly(pipe[0], lambda: False)
    loop.unwatch(pipe[0])
    loop.watch(pipe[0], lambda: os.read(pipe[0], 1) and None)
    os.write(pipe[1], b"x")
    look_once(loop)
    assert turns.n == 2
