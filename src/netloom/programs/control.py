"""The control side of a daemon: its unixctl socket and the commands that every daemon has.

    registry = CommandRegistry(...)
    control = Control("ovsdb-server", loop, registry, signals)
    control.register_standard(vlog, counters, memory_usage)
    control.register_time()                        # with --enable-dummy only
    control.register_exit("[--cleanup]", max_args=1)
    control.open(unixctl_option)                   # DaemonError if the socket cannot be made
    status = loop.run()
    ... tidy up ...
    control.close()                                # answers `exit`, removes the socket

`exit` is answered last of all, so that who asked for it finds the daemon's work done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from netloom import OVS_VERSION
from netloom.base.counters import SAMPLE_MS, Counters
from netloom.base.errors import CommandError
from netloom.base.log import Vlog
from netloom.base.paths import absolute, rundir
from netloom.rpc.daemon_commands import (
    register_coverage_commands,
    register_memory_commands,
    register_vlog_commands,
)
from netloom.rpc.json_codec import LightJson
from netloom.rpc.unixctl import CommandRegistry, Deferred, UnixctlSession
from netloom.transport.address import Address
from netloom.transport.daemon import DaemonError
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop, Warp
from netloom.transport.server import Listener
from netloom.transport.signals import FatalSignals


def make_registry(program: str) -> CommandRegistry:
    """A registry whose `version` names the program and the release that it follows."""
    return CommandRegistry(f"{program} (Open vSwitch) {OVS_VERSION}")


class CoverageSampler:
    """A runnable that closes the counters' buckets every five seconds."""

    def __init__(self, counters: Counters, loop: MainLoop) -> None:
        self._counters = counters
        self._loop = loop
        self._due_ms = loop.clock.now_ms()

    def run(self) -> None:
        now_ms = self._loop.clock.now_ms()
        if now_ms >= self._due_ms:
            self._counters.sample(now_ms)
            self._due_ms = now_ms + SAMPLE_MS

    def deadline(self) -> int:
        return self._due_ms


class Control:
    """One per daemon."""

    def __init__(
        self, program: str, loop: MainLoop, registry: CommandRegistry, signals: FatalSignals
    ) -> None:
        self.registry = registry
        #: The arguments of the first `exit` command, once it was given.
        self.exit_args: list[str] | None = None
        self._program = program
        self._loop = loop
        self._signals = signals
        self._codec = LightJson()
        self._listener: Listener | None = None
        self._connections: set[Connection[None]] = set()
        self._waiting_for_exit: list[Deferred] = []
        self._warp: Warp | None = None

    # Commands.

    def register_standard(
        self, vlog: Vlog, counters: Counters, memory: Callable[[], Mapping[str, int]]
    ) -> None:
        """`vlog/*`, `coverage/*` (whose rates are kept from now on) and `memory/show`."""
        self._loop.register(CoverageSampler(counters, self._loop))
        loop, registry = self._loop, self.registry
        counters.counter("unixctl_received").follow(lambda: registry.n_received)
        counters.counter("unixctl_replied").follow(lambda: registry.n_replied)
        counters.counter("poll_zero_timeout").follow(lambda: loop.n_at_once)
        counters.counter("stream_open").follow(lambda: loop.n_called)
        counters.counter("pstream_open").follow(lambda: loop.n_listened)
        register_vlog_commands(self.registry, vlog)
        register_coverage_commands(self.registry, counters)
        register_memory_commands(self.registry, memory)

    def register_exit(self, usage: str = "", max_args: int = 0) -> None:
        """`exit`, which ends the loop with status 0."""
        self.registry.register("exit", usage, 0, max_args, self._exit)

    def _exit(self, args: list[str]) -> Deferred:
        if self.exit_args is None:
            self.exit_args = args
        deferred = Deferred()
        self._waiting_for_exit.append(deferred)
        self._loop.stop(0)
        return deferred

    def register_time(self) -> None:
        """`time/stop` and `time/warp`, which give the clock to whoever tests this daemon."""
        self.registry.register("time/stop", "", 0, 0, self._time_stop)
        self.registry.register("time/warp", "[large_msecs] msecs", 1, 2, self._time_warp)

    def _time_stop(self, args: list[str]) -> str:
        self._loop.clock.stop()
        return ""

    def _time_warp(self, args: list[str]) -> Deferred:
        values = [int(arg) if arg.isascii() and arg.isdigit() else 0 for arg in args]
        if not all(values):
            raise CommandError("invalid MSECS")
        if self._warp is not None and not self._warp.finished:
            raise CommandError("A previous warp in progress")
        deferred = Deferred()
        total_ms, step_ms = values[0], values[-1]
        self._warp = Warp(self._loop, total_ms, step_ms, lambda: deferred.reply("warped"))
        self._loop.aio.call_soon(self._warp.advance)
        return deferred

    # The socket.

    def open(self, option: str | None) -> None:
        """Listen on the socket that `--unixctl` names; None for the default, "none" for none."""
        if option == "none":
            return
        path = absolute(rundir(), option or f"{self._program}.{os.getpid()}.ctl")
        try:
            address = Address(f"punix:{path}", "unix", True, path=path)
            self._listener = Listener(self._loop, address, self._accept)
        except OSError as error:
            raise DaemonError(
                f"{path}: could not initialize control socket ({error.strerror})"
            ) from None
        self._signals.add_file(path)

    def _accept(self, name: str) -> Connection[None]:
        session = UnixctlSession(self.registry, self._codec, name)
        connection: Connection[None] = Connection(
            self._loop,
            session,
            lambda event: None,
            lambda error: self._connections.discard(connection),
            name,
        )
        self._connections.add(connection)
        return connection

    def close(self) -> None:
        """Answer those who asked for the exit, and close."""
        for deferred in self._waiting_for_exit:
            deferred.reply("")
        self._waiting_for_exit.clear()
        for connection in list(self._connections):
            connection.close()
        if self._listener is not None:
            self._signals.remove_file(self._listener.address.path)
            self._listener.close()
            self._listener = None
        self._loop.step()
