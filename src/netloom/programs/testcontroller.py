"""`ovs-testcontroller`: a simple OpenFlow controller that makes learning switches or hubs of the
switches that it is connected to (ovs-testcontroller(8)).

It listens, or connects once: who goes away is forgotten, and with the last one, unless somebody may
still come, the program ends.
"""

from __future__ import annotations

import asyncio
import os
import sys

from netloom.base import paths
from netloom.base.clock import WarpClock
from netloom.base.counters import Counters
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Getopt, Option
from netloom.base.log import get_logger, vlog
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.connection import Connection as OpenFlowConnection
from netloom.openflow.connection import Event, Negotiated
from netloom.openflow.flow_text import NO_NAMES, parse_flow_lines
from netloom.programs.control import Control, make_registry
from netloom.programs.daemon_life import live
from netloom.programs.help_text import DAEMON_HELP, LOG_HELP, version_text
from netloom.programs.learning_switch import L2_ONLY, LearningSwitch, MuteConnection, Policy
from netloom.programs.ofctl.input import read_lines
from netloom.programs.ofctl.options import parse_versions
from netloom.programs.outcome import Fatal, outcome
from netloom.transport.address import OPENFLOW_PORT, Address, parse_address
from netloom.transport.client import open_connection
from netloom.transport.daemon import Daemon
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.driver import EOF, Connection, error_number
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.signals import FatalSignals
from netloom.transport.tls import TLS_OPTIONS, TlsSettings

PROGRAM = "ovs-testcontroller"
#: So many switches at a time, and so many places to listen.
MOST_SWITCHES = MOST_LISTENERS = 16
#: A switch that says nothing for so long is asked whether it lives.
PROBE_INTERVAL_MS = 60_000
#: What takes longer to connect is waited for while others are served.
_AT_ONCE_S = 0.1
#: The value of --max-idle that lets flows stay for ever.
PERMANENT = "permanent"

log = get_logger("controller")
rconn_log = get_logger("rconn")

OPTIONS = (
    Option("hub", NO, "H"),
    Option("noflow", NO, "n"),
    Option("normal", NO, "N"),
    Option("wildcards", OPTIONAL, "w"),
    Option("max-idle", REQUIRED),
    Option("mute", NO),
    Option("queue", REQUIRED, "q"),
    Option("port-queue", REQUIRED, "Q"),
    Option("with-flows", REQUIRED),
    Option("unixctl", REQUIRED),
    Option("protocols", REQUIRED, "O"),
    Option("help", NO, "h"),
    Option("version", NO, "V"),
    *DAEMON_OPTIONS,
    *LOG_OPTIONS,
    *TLS_OPTIONS,
)

USAGE = """\
{program}: OpenFlow controller
usage: {program} [OPTIONS] METHOD
where METHOD is any OpenFlow connection method.

Active OpenFlow connection methods:
  tcp:HOST[:PORT]         PORT (default: 6653) at remote HOST
  ssl:HOST[:PORT]         SSL PORT (default: 6653) at remote HOST
  unix:FILE               Unix domain socket named FILE
Passive OpenFlow connection methods:
  ptcp:[PORT][:IP]        listen to TCP PORT (default: 6653) on IP
  pssl:[PORT][:IP]        listen for SSL on PORT (default: 6653) on IP
  punix:FILE              listen on Unix domain socket FILE
PKI configuration (required to use SSL):
  -p, --private-key=FILE  file with private key
  -c, --certificate=FILE  file with certificate for private key
  -C, --ca-cert=FILE      file with peer CA certificate

{daemon}
OpenFlow version options:
  -V, --version           display version information
  -O, --protocols         set allowed OpenFlow versions
                          (default: {versions})

{log}
Other options:
  -H, --hub               act as hub instead of learning switch
  -n, --noflow            pass traffic, but don't add flows
  --max-idle=SECS         max idle time for new flows
  -N, --normal            use OFPP_NORMAL action
  -w, --wildcards[=MASK]  wildcard (specified) bits in flows
  -q, --queue=QUEUE-ID    OpenFlow queue ID to use for output
  -Q PORT-NAME:QUEUE-ID   use QUEUE-ID for frames from PORT-NAME
  --with-flows FILE       use the flows from FILE
  --unixctl=SOCKET        override default control socket name
  -h, --help              display this help message
  -V, --version           display version information
"""


def usage() -> str:
    """What `--help` prints."""
    return USAGE.format(
        program=PROGRAM,
        daemon=DAEMON_HELP.format(pidfile=f"{paths.rundir()}/{PROGRAM}.pid"),
        versions=", ".join(p.VERSION_NAMES.values()),
        log=LOG_HELP.format(log_file=f"{paths.logdir()}/{PROGRAM}.log"),
    )


class Arguments:
    """The command line."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.unixctl: str | None = None
        self.versions = tuple(p.VERSION_NAMES)
        self.tls = TlsSettings()
        self.hub = self.normal = self.mute = self.no_flows = False
        self.max_idle_s = 60
        self.wildcards = 0
        self.default_queue: int | None = None
        self.port_queues: dict[str, int] = {}
        self.flows: list[m.FlowMod] = []
        self.usable = p.P_ANY

    def policy(self) -> Policy:
        return Policy(
            learns=not self.hub,
            max_idle_s=None if self.no_flows else self.max_idle_s,
            wildcards=self.wildcards,
            normal=self.normal,
            default_queue=self.default_queue,
            port_queues=tuple(self.port_queues.items()),
            flows=tuple(self.flows),
            usable=self.usable,
        )


def parse_arguments(argv: list[str], daemon: Daemon) -> Arguments | None:
    """The command line; None if it only asked for text, which was printed."""
    arguments = Arguments()
    tls_names = {option.key for option in TLS_OPTIONS}
    options = Getopt(PROGRAM, argv, OPTIONS)
    for key, value in options:
        if key == "help":
            sys.stdout.write(usage())
            return None
        if key == "version":
            sys.stdout.write(f"{version_text(PROGRAM)}OpenFlow versions 0x1:0x6\n")
            return None
        if key in tls_names:
            arguments.tls.apply(key, value or "")
        elif not (daemon.apply(key, value) or apply_log_option(vlog, key, value)):
            _apply_own(arguments, key, value)
    arguments.methods = options.operands
    if not arguments.methods:
        raise Fatal("at least one vconn argument required; use --help for usage")
    return arguments


def _apply_own(arguments: Arguments, key: str, value: str | None) -> None:
    text = value or ""
    match key:
        case "hub" | "normal" | "mute":
            setattr(arguments, key, True)
        case "noflow":
            arguments.no_flows = True
        case "wildcards":
            arguments.wildcards = L2_ONLY if value is None else leading_number(text, 16)
        case "max-idle":
            arguments.max_idle_s = parse_max_idle(text)
        case "queue":
            arguments.default_queue = leading_number(text)
        case "port-queue":
            name, queue = parse_port_queue(text)
            if name in arguments.port_queues:
                raise Fatal("<port-name> arguments for -Q or --port-queue must be unique")
            arguments.port_queues[name] = queue
        case "with-flows":
            flows, usable = parse_flow_lines(read_lines(text), m.OFPFC_ADD, NO_NAMES, text)
            arguments.flows += flows
            arguments.usable &= usable
        case "unixctl":
            arguments.unixctl = value
        case "protocols":
            arguments.versions = parse_versions(text)


def leading_number(text: str, base: int = 10) -> int:
    """The number that `text` begins with, as the C library reads it; 0 if it begins with none."""
    digits = text.strip().lower()
    if base == 16:
        digits = digits.removeprefix("0x")
    length = 0
    while length < len(digits) and digits[length] in "0123456789abcdef"[:base]:
        length += 1
    return int(digits[:length], base) if length else 0


def parse_max_idle(text: str) -> int:
    """Seconds; 0 for flows that stay."""
    if text == PERMANENT:
        return 0
    seconds = leading_number(text)
    if not 1 <= seconds <= 65_535:
        raise Fatal("--max-idle argument must be between 1 and 65535 or the word 'permanent'")
    return seconds


def parse_port_queue(text: str) -> tuple[str, int]:
    """PORT-NAME:QUEUE-ID."""
    name, colon, queue = text.partition(":")
    if not name or not colon or not queue:
        raise Fatal('argument to -Q or --port-queue should take the form "<port-name>:<queue-id>"')
    return name, leading_number(queue)


class Program:
    """The running controller."""

    def __init__(self, arguments: Arguments, daemon: Daemon, signals: FatalSignals) -> None:
        self._daemon = daemon
        self.arguments = arguments
        self.policy = arguments.policy()
        self.loop = MainLoop(WarpClock())
        self.control = Control(PROGRAM, self.loop, make_registry(PROGRAM), signals)
        self._signals = signals
        self._probe_ms = 0 if arguments.mute else PROBE_INTERVAL_MS
        self._listeners: list[Listener] = []
        self._switches: set[Connection[Event]] = set()
        self._calls: set[asyncio.Task[None]] = set()

    # Starting

    def start(self) -> None:
        """Listen and call as the command line says; `Fatal` if nothing comes of it."""
        for method in self.arguments.methods:
            self._open(method)
        if not self._is_needed():
            raise Fatal("no active or passive switch connections")
        self.control.register_standard(vlog, Counters(), dict)
        self.control.register_exit()
        self.control.open(self.arguments.unixctl)
        self._daemon.complete()

    def _open(self, method: str) -> None:
        try:
            address = parse_address(method, OPENFLOW_PORT)
            if address.passive:
                self._listen(address)
            else:
                self._call(address)
        except OSError as error:
            log.err("%s: connect: %s", method, os.strerror(error_number(error)))

    def _listen(self, address: Address) -> None:
        if len(self._listeners) >= MOST_LISTENERS:
            raise Fatal(f"max {MOST_LISTENERS} passive connections")
        if address.kind == "ssl":
            self.arguments.tls.check()
        self._listeners.append(Listener(self.loop, address, self._accept, self.arguments.tls))
        if address.kind == "unix":
            self._signals.add_file(address.path)

    def _call(self, address: Address) -> None:
        if len(self._switches) + len(self._calls) >= MOST_SWITCHES:
            raise Fatal(f"max {MOST_SWITCHES} switch connections")
        if address.kind == "ssl":
            self.arguments.tls.check()
        task = self.loop.aio.create_task(self._connect(address))
        # On this host, that tells at once whether there is anybody.
        self.loop.aio.run_until_complete(asyncio.wait({task}, timeout=_AT_ONCE_S))
        if task.done():
            task.result()
            return
        self._calls.add(task)
        task.add_done_callback(lambda done: self._called(done, address.text))

    async def _connect(self, address: Address) -> None:
        await open_connection(self.loop, address, self._make(address.text), self.arguments.tls)

    def _called(self, task: asyncio.Task[None], name: str) -> None:
        self._calls.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OSError):
            reason = os.strerror(error_number(error))
            rconn_log.info("%s: connection failed (%s)", name, reason)
        elif error is not None:
            self.loop.fail(error)
        self._stop_if_alone()

    # Switches

    def _accept(self, name: str) -> Connection[Event] | None:
        if len(self._switches) >= MOST_SWITCHES:
            return None
        return self._make(name)

    def _make(self, name: str) -> Connection[Event]:
        now_ms = self.loop.clock.now_ms
        machine = OpenFlowConnection(name, self.arguments.versions, now_ms(), self._probe_ms)
        switch = LearningSwitch(machine, self.policy, now_ms)

        def take(event: Event) -> None:
            if isinstance(event, Negotiated):
                rconn_log.dbg("%s: connected", name)
            switch.take(event)

        shown = MuteConnection(machine) if self.arguments.mute else machine
        connection: Connection[Event] = Connection(
            self.loop, shown, take, lambda error: self._lost(connection, error), name
        )
        machine.unsent = lambda: connection.backlog()
        connection.on_open = self._switches.add
        return connection

    def _lost(self, connection: Connection[Event], error: int) -> None:
        if error == EOF:
            rconn_log.info("%s: connection closed by peer", connection.name)
        elif error:
            rconn_log.warn("%s: connection dropped (%s)", connection.name, os.strerror(error))
        self._switches.discard(connection)
        self._stop_if_alone()

    def _is_needed(self) -> bool:
        return bool(self._listeners or self._switches or self._calls)

    def _stop_if_alone(self) -> None:
        if not self._is_needed():
            self.loop.stop(0)

    def close(self) -> None:
        for listener in self._listeners:
            self._signals.remove_file(listener.address.path)
            listener.close()
        for connection in list(self._switches):
            connection.close()
        self.control.close()


def run(argv: list[str]) -> int:
    """The whole life of the controller; its exit status."""
    signals = FatalSignals()
    daemon = Daemon(PROGRAM, vlog, signals)
    arguments = parse_arguments(argv, daemon)
    if arguments is None:
        return 0
    arguments.tls.make_absolute()
    daemon.start()
    return live(daemon, Program(arguments, daemon, signals))


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
