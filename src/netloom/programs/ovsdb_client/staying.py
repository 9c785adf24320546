"""Commands that stay and are told things: in the foreground, or with `--detach` in the background,
where `ovs-appctl -t ovsdb-client` reaches them."""

from __future__ import annotations

from netloom.base.log import vlog
from netloom.programs.ovsdb_client.options import PROGRAM
from netloom.programs.ovsdb_link import find_packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netloom.programs.control import Control
    from netloom.programs.ovsdb_client.client import Client
    from netloom.rpc.jsonrpc import Message
    from netloom.transport.daemon import Daemon
    from netloom.transport.loop import MainLoop

    #: A command of the control socket: its name, its usage, how many arguments, what it does.
    ControlCommand = tuple[str, str, int, Callable[[list[str]], str]]


class Stay:
    """One run of such a command. It begins in a process of its own, if it is to; `ready` has the
    process that was started return. In the background, `keep_stderr` says whether complaints are
    still to be seen."""

    def __init__(self, client: Client, keep_stderr: bool = True) -> None:
        self._client = client
        self._daemon: Daemon | None = None
        self._loop: MainLoop | None = None
        self._control: Control | None = None
        self._is_ready = False
        self._is_blocked = True
        if client.settings.daemon:
            self._daemon = _start_daemon(client, keep_stderr)

    def ready(self) -> None:
        """What was asked for is there; to be told at least once."""
        if self._daemon is not None and not self._is_ready:
            self._is_ready = True
            self._daemon.complete()

    def run(self, handle: Callable[[Message], None]) -> None:
        """Have `handle` see each message until the program is ended."""
        if self._loop is None or self._control is None:
            while True:
                handle(self._client.next_message())
        self._handle = handle
        self.unblock([])
        self._loop.run()
        self._control.close()

    def listen(self, commands: Sequence[ControlCommand]) -> None:
        """Have a control socket with these commands, in the background."""
        if self._daemon is None or not self._daemon.detached:
            return
        # The event loop takes long to import, and only who stays needs it and its packages.
        find_packages()
        from netloom.programs.control import Control, make_registry
        from netloom.rpc.daemon_commands import register_vlog_commands
        from netloom.transport.loop import MainLoop

        signals = self._client.settings.signals
        assert signals is not None
        tapes = self._client.settings.tapes
        self._loop = MainLoop(None, tapes.recorder, tapes.player)
        control = self._control = Control(PROGRAM, self._loop, make_registry(PROGRAM), signals)
        register_vlog_commands(control.registry, vlog)
        control.register_exit()
        for name, usage, n_args, run in commands:
            control.registry.register(name, usage, n_args, n_args, run)
        control.open(None)

    def block(self, args: list[str]) -> str:
        """A control command: read no more messages for now."""
        del args
        assert self._loop is not None
        if self._is_blocked:
            return "already blocking"
        self._is_blocked = True
        self._loop.unwatch(self._client.link.fileno())
        return ""

    def unblock(self, args: list[str]) -> str:
        """A control command: read messages again, also those that have come meanwhile."""
        del args
        assert self._loop is not None
        if not self._is_blocked:
            return "already unblocked"
        self._is_blocked = False
        self._loop.watch(self._client.link.fileno(), self._read)
        self._loop.aio.call_soon(self._read)
        return ""

    def _read(self) -> None:
        while not self._is_blocked and (message := self._client.ready_message()) is not None:
            self._handle(message)
        self._client.link.flush()


def _start_daemon(client: Client, keep_stderr: bool) -> Daemon:
    """Go on as the options of daemons say; the standard output stays where it is."""
    from netloom.transport.daemon import Daemon

    settings = client.settings
    assert settings.signals is not None
    daemon = Daemon(PROGRAM, vlog, settings.signals, keep_stdout=True, keep_stderr=keep_stderr)
    for key, value in settings.daemon:
        daemon.apply(key, value)
    daemon.start()
    return daemon
