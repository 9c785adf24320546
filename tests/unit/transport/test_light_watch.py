"""Descriptors of packets are served without a turn of the whole daemon, unless it is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from netloom.transport.driver import EOF, Connection
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


def test_a_number_of_a_closed_light_descriptor_may_be_watched_for_somebody_else(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    counted(loop)
    light, second = os.dup(pipe[0]), os.pipe()
    loop.watch_lightly(light, lambda: False)
    os.close(light)
    os.dup2(second[0], light)
    served: list[bytes] = []
    loop.watch(light, lambda: served.append(os.read(light, 1)))
    # Late, as when all descriptors are gone through.
    loop.unwatch(light)
    os.write(second[1], b"x")
    look_once(loop)
    assert served == [b"x"]
    loop.aio.remove_reader(light)
    for end in (light, *second):
        os.close(end)


def test_light_work_keeps_neither_timers_nor_others_waiting(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    counted(loop)
    # Never read, so always readable.
    loop.watch_lightly(pipe[0], lambda: False)
    os.write(pipe[1], b"x")
    told: list[str] = []
    other = os.pipe()
    loop.watch(other[0], lambda: told.append(os.read(other[0], 1).decode()))
    loop.aio.call_later(0.005, lambda: (told.append("timer"), os.write(other[1], b"y")))
    last_s = loop.aio.time() + 10
    while len(told) < 2 and loop.aio.time() < last_s:
        look_once(loop)
    assert told == ["timer", "y"]
    loop.unwatch(other[0])
    for end in other:
        os.close(end)


def test_what_light_work_raises_ends_the_loop(loop: MainLoop, pipe: tuple[int, int]) -> None:
    def fail() -> bool:
        raise ValueError("a bug")

    loop.watch_lightly(pipe[0], fail)
    os.write(pipe[1], b"x")
    with pytest.raises(ValueError, match="a bug"):
        loop.run()


class Echo:
    """A machine that says what it hears."""

    def __init__(self) -> None:
        self._said: list[bytes] = []

    def receive_data(self, data: bytes) -> None:
        self._said.append(data)

    def next_event(self) -> None:
        return None

    def data_to_send(self) -> bytes:
        said = b"".join(self._said)
        self._said.clear()
        return said

    def deadline(self) -> int | None:
        return None

    def advance(self, now_ms: int) -> None:
        raise AssertionError("it has no deadline")


@pytest.mark.parametrize("wants_turn", [False, True])
def test_a_connection_that_serves_at_once_answers_without_a_turn(
    loop: MainLoop, wants_turn: bool
) -> None:
    near, far = socket.socketpair()
    closed: list[int] = []
    connection: Connection[None] = Connection(loop, Echo(), lambda event: None, closed.append)
    connection.serve = lambda: wants_turn
    near.setblocking(False)
    loop.aio.run_until_complete(loop.aio.connect_accepted_socket(lambda: connection, near))
    look_once(loop)
    turns = counted(loop)
    for question in (b"who", b"what"):
        far.send(question)
        look_once(loop)
        assert far.recv(100) == question
    assert turns.n == (3 if wants_turn else 1)
    far.close()
    look_once(loop)
    look_once(loop)
    assert closed == [EOF]
    # Its number is somebody else's now.
    assert not loop.aio.light._at_once
