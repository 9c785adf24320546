"""The main loop of a daemon: the only event loop, on asyncio.

A daemon is a set of *runnables* and *connections*. Whenever something happened (descriptors were
ready, a timer is due, `wake()` was called) the loop takes one *turn*:

    1. every connection whose machine's `deadline()` has come is advanced, its events handled;
    2. every runnable's `run()` is called once;
    3. every connection's output goes out in one write;
    4. the loop sleeps until the earliest `deadline()` of them all.

Descriptors of packets are the exception (`watch_lightly`): their handler does all that most packets
need, so that a turn, which asks every part of the daemon, is only taken if it says so, or a little
later; and it is called while asyncio waits (`light_selector`), not in a round of its own. So are
connections that answer what they read (`read_at_once`).

So work that many events ask for is done once, and a client gets one packet for all that a turn
made for it. A turn costs a few microseconds per runnable and about one per connection.

Time is the `WarpClock`'s. While it is stopped (`ovs-appctl time/stop`) no deadline is slept for;
`time/warp [LARGE_MSECS] MSECS` moves the clock by MSECS, or LARGE_MSECS in steps of MSECS, with a
turn after each step.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVarTuple

from netloom.base.clock import WarpClock
from netloom.base.limits import READ_BYTES
from netloom.base.log import get_logger
from netloom.transport.light_selector import LightSelector

if TYPE_CHECKING:
    from netloom.transport.playback import Player
    from netloom.transport.recording import Recorder

log = get_logger("poll_loop")
_Ts = TypeVarTuple("_Ts")

#: When a turn is taken at the latest after descriptors that are watched lightly became readable.
LIGHT_PAUSE_MS = 100
#: New objects that may wait to be looked at for garbage, and for how long they do.
MAX_NEW_OBJECTS = 500_000
COLLECT_INTERVAL_MS = 30_000


class Runnable(Protocol):
    """A part of a daemon that has work to do from time to time."""

    def run(self) -> None:
        """Do what there is to do now. Called at least once per turn; must not block."""

    def deadline(self) -> int | None:
        """When `run` must be called next, in the clock's `now_ms`; None for never."""


class Pumped(Protocol):
    """What the loop needs of a connection."""

    def pump(self, now_ms: int) -> None: ...

    def flush(self) -> None: ...

    def deadline(self) -> int | None: ...


class _EventLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with something to be done after all that was ready has been dealt with, and
    before it looks again what is. Light descriptors are its selector's."""

    def __init__(self, after_events: Callable[[], None]) -> None:
        self.light = LightSelector()
        super().__init__(self.light)
        self._after_events = after_events

    def _process_events(self, event_list: list[Any]) -> None:
        if event_list:
            super()._process_events(event_list)  # type: ignore[misc]
            self._after_events()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.light.is_over = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self.light.is_over = True
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self.light.is_over = True
        super().stop()


class MainLoop:
    """One per daemon. `run` returns the exit status given to `stop`."""

    def __init__(
        self,
        clock: WarpClock | None = None,
        recorder: Recorder | None = None,
        player: Player | None = None,
    ) -> None:
        """With a `recorder`, what comes in is written down; with a `player`, it comes from there
        and from nowhere else."""
        self.clock = clock or WarpClock()
        self.recorder = recorder
        self.player = player
        self.aio = _EventLoop(self.wake)
        #: What every connection reads into: a read and its handling are one step of the loop.
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self._runnables: list[Runnable] = []
        self._connections: dict[int, Pumped] = {}
        #: Descriptors that are watched lightly.
        self._light: set[int] = set()
        self._turn_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        #: The timer of the turn that follows light work, and whether there was some since the last.
        self._pause: asyncio.TimerHandle | None = None
        self._is_behind = False
        self._next_collection_ms = self.clock.now_ms() + COLLECT_INTERVAL_MS
        #: Turns that had to follow at once; connections that were called, sockets listened on.
        self.n_at_once = self.n_called = self.n_listened = 0
        self._exit_status = 0
        self._failure: BaseException | None = None
        self.aio.set_exception_handler(self._on_exception)
        if player is not None:
            self.register(player)

    @property
    def is_taped(self) -> bool:
        """Whether this run is recorded or a recording's. Nothing must come in or go out then only
        because it is time: it would come at another time, in another order."""
        return self.recorder is not None or self.player is not None

    # Registration.

    def register(self, runnable: Runnable) -> None:
        self._runnables.append(runnable)
        self.wake()

    def unregister(self, runnable: Runnable) -> None:
        self._runnables.remove(runnable)

    def add_connection(self, connection: Pumped) -> None:
        self._connections[id(connection)] = connection
        self.wake()

    def remove_connection(self, connection: Pumped) -> None:
        self._connections.pop(id(connection), None)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `fd` is readable, and take a turn after."""

        def ready() -> None:
            callback()
            self.wake()

        self.aio.add_reader(fd, ready)

    def watch_lightly(self, fd: int, callback: Callable[[], bool]) -> None:
        """Call `callback` whenever `fd` is readable. It says whether a turn is to follow at once;
        one does within `LIGHT_PAUSE_MS`."""

        def ready() -> None:
            try:
                wants_turn = callback()
            except BaseException as error:  # noqa: BLE001 - `run` raises it
                self.fail(error)
                return
            self.worked(wants_turn)

        self._light.add(fd)
        self.aio.light.serve(fd, ready)

    def read_at_once(self, fd: int, wanted: bool = True) -> None:
        """Have the stream `fd`, which is asyncio's, read as soon as it is readable, between turns.
        Who reads calls `worked`. To be taken back before `fd` is closed."""
        self.aio.light.call_at_once(fd, wanted)

    def worked(self, wants_turn: bool) -> None:
        """Something was done between turns, after which one is to follow at once, or soon."""
        if wants_turn:
            self.wake()
            return
        self._is_behind = True
        if self._pause is None:
            self._pause = self.aio.call_later(LIGHT_PAUSE_MS / 1000, self._pause_is_over)

    def unwatch(self, fd: int) -> None:
        """One of the above is over. A light descriptor may be closed, its number another's."""
        if fd in self._light:
            self._light.remove(fd)
            self.aio.light.forget(fd)
        else:
            self.aio.remove_reader(fd)

    # Running.

    def wake(self) -> None:
        """Have a turn taken soon; as often as one likes."""
        if self._turn_handle is None:
            self._turn_handle = self.aio.call_soon(self._turn)

    def wake_threadsafe(self) -> None:
        """`wake` from another thread."""
        self.aio.call_soon_threadsafe(self.wake)

    def run(self) -> int:
        """Take turns until `stop`. An exception of a runnable or handler is a bug: it ends the
        loop and is raised here."""
        self.wake()
        self.aio.run_forever()
        if self._failure is not None:
            raise self._failure
        return self._exit_status

    def stop(self, exit_status: int = 0) -> None:
        """End `run` after the output of this turn was given to the kernel."""
        self._exit_status = exit_status
        self.aio.call_soon(self.aio.stop)

    def close(self) -> None:
        """Give up what is still being set up, and the loop itself."""
        tasks = asyncio.all_tasks(self.aio)
        for task in tasks:
            task.cancel()
        if tasks:
            self.aio.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.aio.close()

    def step(self) -> None:
        """Take one turn now, whatever is ready; for tests and for work before `run`."""
        self.wake()
        self.aio.call_soon(self.aio.stop)
        self.aio.run_forever()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """End `run` with `error`, which is a bug of a runnable or of a handler."""
        if self._failure is None:
            self._failure = error
        self.aio.stop()

    def _turn(self) -> None:
        self._turn_handle = None
        try:
            self._take_turn()
        except BaseException as error:
            self.fail(error)
            raise
        if self._turn_handle is None:
            self._set_timer()

    def _take_turn(self) -> None:
        self._is_behind = False
        now_ms = self.clock.now_ms()
        for connection in list(self._connections.values()):
            connection.pump(now_ms)
        for runnable in list(self._runnables):
            runnable.run()
        for connection in list(self._connections.values()):
            connection.flush()
        if now_ms >= self._next_collection_ms:
            self._next_collection_ms = now_ms + COLLECT_INTERVAL_MS
            gc.collect(0)

    def _earliest_deadline(self) -> int | None:
        sources: list[Runnable | Pumped] = [*self._runnables, *self._connections.values()]
        deadlines = [due for source in sources if (due := source.deadline()) is not None]
        return min(deadlines, default=None)

    def _set_timer(self) -> None:
        due_ms = self._earliest_deadline()
        if self._timer is not None:
            if due_ms == self._timer_ms and not self.clock.stopped:
                return
            self._timer.cancel()
            self._timer = None
        if due_ms is None:
            return
        delay_ms = due_ms - self.clock.now_ms()
        if delay_ms <= 0:
            self.n_at_once += 1
            self.wake()
        elif not self.clock.stopped:
            self._timer_ms = due_ms
            self._timer = self.aio.call_later(delay_ms / 1000, self._timer_is_due)

    def _pause_is_over(self) -> None:
        self._pause = None
        if self._is_behind:
            self.wake()

    def _timer_is_due(self) -> None:
        self._timer = None
        self.wake()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if error is None or isinstance(error, OSError):
            log.warn("%s: %s", context.get("message"), error)
        elif isinstance(error, BaseException):
            self.fail(error)


class Warp:
    """Moves a stopped clock step by step, a turn of the loop after each step."""

    def __init__(self, loop: MainLoop, total_ms: int, step_ms: int, done: Callable[[], None]):
        self._loop = loop
        self._left_ms = total_ms
        self._step_ms = step_ms
        self._done = done
        self.finished = False

    def advance(self) -> None:
        if self._left_ms <= 0:
            self.finished = True
            self._done()
            self._loop.wake()
            return
        step = min(self._step_ms, self._left_ms)
        self._left_ms -= step
        self._loop.clock.warp(step)
        self._loop.wake()
        # Two rounds of the event loop: one for the turn, one for the input that it causes.
        self._loop.aio.call_soon(self._loop.aio.call_soon, self.advance)


def freeze_garbage() -> None:
    """Take all that exists now out of the collector's sight, and collect the rest seldom.

    What a daemon has loaded at its start lives as long as it does; walking over it again and again
    costs more than anything it could find. What it makes afterwards is in no cycles, but for
    exceptions: most of it goes by itself before the loop looks (`COLLECT_INTERVAL_MS`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MAX_NEW_OBJECTS, 20, 50)
