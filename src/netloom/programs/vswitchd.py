"""ovs-vswitchd: the Open vSwitch daemon (ovs-vswitchd(8))."""

from __future__ import annotations

import ctypes
import os
import sys

from netloom import OVS_VERSION
from netloom.base import paths
from netloom.base.clock import Clock, WarpClock
from netloom.base.counters import Counters
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Getopt, Option
from netloom.base.log import get_logger, vlog
from netloom.datapath.userspace.cores import log_cores, parse_cores
from netloom.datapath.userspace.unfinished import GROWN, SEGMENTED
from netloom.netdev.device import DeviceFactory
from netloom.netdev.dummy import DummyFactory
from netloom.netdev.linux.factory import LinuxFactory
from netloom.netdev.linux.host_neighbours import host_neighbour
from netloom.netdev.linux.host_routes import HostRoutes, host_addresses
from netloom.netdev.tunnel import TunnelFactory
from netloom.ovsdb.idl import Idl
from netloom.programs.control import Control, make_registry
from netloom.programs.coverage_events import declare_events
from netloom.programs.daemon_life import live
from netloom.programs.dummy_wires import WireOpener
from netloom.programs.help_text import ACTIVE_HELP, DAEMON_HELP, LOG_HELP, TLS_HELP, version_text
from netloom.programs.host_cores import read_cores
from netloom.programs.host_statistics import read_host_statistics
from netloom.programs.outcome import Fatal, outcome
from netloom.programs.vswitchd_commands import register_commands
from netloom.programs.vswitchd_database import DatabaseClient
from netloom.programs.vswitchd_datapaths import DataPathSet, remove_remains
from netloom.programs.vswitchd_links import OpenFlowLinks
from netloom.programs.vswitchd_routes import follow_host
from netloom.transport.daemon import Daemon
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.loop import MainLoop, freeze_garbage
from netloom.transport.signals import FatalSignals
from netloom.transport.tls import TLS_OPTIONS, TlsSettings
from netloom.vswitchd.switch import TABLES, Switch

PROGRAM = "ovs-vswitchd"
log = get_logger("vswitchd")

OPTIONS = (
    Option("cleanup", NO),
    Option("mlockall", NO),
    Option("unixctl", REQUIRED),
    Option("enable-dummy", OPTIONAL),
    Option("disable-system", NO),
    Option("disable-system-route", NO),
    Option("dpdk", OPTIONAL),
    Option("dummy-numa", REQUIRED),
    Option("help", NO, "h"),
    Option("version", NO, "V"),
    *DAEMON_OPTIONS,
    *LOG_OPTIONS,
    *TLS_OPTIONS,
)

USAGE = """\
{program}: Open vSwitch daemon
usage: {program} [OPTIONS] [DATABASE]
where DATABASE is a socket on which ovsdb-server is listening
      (default: "unix:{rundir}/db.sock").

{connection}{tls}
{daemon}
{log}
DPDK options:
Configuration of DPDK via command-line is removed from this
version of Open vSwitch. DPDK is configured through ovsdb.

Other options:
  --unixctl=SOCKET          override default control socket name
  -h, --help                display this help message
  -V, --version             display version information
"""

#: mlockall(2): pages that there are, and those to come.
_MCL_CURRENT, _MCL_FUTURE = 1, 2
#: Calls inside calls. A packet may be resubmitted 64 deep, through a patch port each time, and in
#: each table actions may be nested: a dozen calls a level and more, beyond Python's thousand.
_MAX_CALLS = 20_000


def usage() -> str:
    """What `--help` prints."""
    return USAGE.format(
        program=PROGRAM,
        rundir=paths.rundir(),
        connection=ACTIVE_HELP.format(what="DATABASE "),
        tls=TLS_HELP,
        daemon=DAEMON_HELP.format(pidfile=f"{paths.rundir()}/{PROGRAM}.pid"),
        log=LOG_HELP.format(log_file=f"{paths.logdir()}/{PROGRAM}.log"),
    )


class Arguments:
    """The command line. `dummy` is None without --enable-dummy, else its mode."""

    def __init__(self) -> None:
        self.remote = ""
        self.unixctl: str | None = None
        self.dummy: str | None = None
        #: The NUMA nodes of the cores of a made-up machine.
        self.cores: str | None = None
        self.disable_system = False
        self.use_system_routes = True
        self.mlockall = False
        #: Only remove what the kernel data path of an earlier run left in the kernel.
        self.cleanup = False
        self.tls = TlsSettings()


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
            sys.stdout.write(version_text(PROGRAM))
            return None
        if key in tls_names:
            arguments.tls.apply(key, value or "")
        elif not (daemon.apply(key, value) or apply_log_option(vlog, key, value)):
            _apply_own(arguments, key, value)
    if len(options.operands) > 1:
        raise Fatal("at most one non-option argument accepted; use --help for usage")
    arguments.remote = next(iter(options.operands), f"unix:{paths.rundir()}/db.sock")
    return arguments


def _apply_own(arguments: Arguments, key: str, value: str | None) -> None:
    match key:
        case "cleanup":
            arguments.cleanup = True
        case "mlockall":
            arguments.mlockall = True
        case "unixctl":
            arguments.unixctl = value
        case "enable-dummy":
            # Whatever is neither "override" nor a type to replace only adds the dummy types.
            arguments.dummy = value if value in ("override", "system") else ""
        case "disable-system":
            arguments.disable_system = True
        case "dpdk":
            raise Fatal("Using --dpdk to configure DPDK is not supported.")
        case "dummy-numa":
            arguments.cores = value
        case "disable-system-route":
            arguments.use_system_routes = False


def lock_memory() -> None:
    """mlockall(2); a failure is only logged."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        log.err("mlockall failed: %s", os.strerror(ctypes.get_errno()))


def make_devices(
    arguments: Arguments, linux: LinuxFactory | None, clock: Clock, open_wire: WireOpener
) -> tuple[DeviceFactory, DummyFactory | None]:
    """The devices of this machine, with dummies as the command line has it."""
    if arguments.dummy is None:
        return TunnelFactory(linux), None
    dummies = DummyFactory(TunnelFactory(linux), arguments.dummy, clock.wall_ms, open_wire)
    return dummies, dummies


def count_segments(counters: Counters, dummies: DummyFactory) -> None:
    """Count what dummies cut into segments."""
    counters.counter(SEGMENTED).follow(lambda: dummies.n_segmented)
    counters.counter(GROWN).follow(lambda: dummies.n_growths)


class Program:
    """The running daemon: one runnable that takes everything in its order."""

    def __init__(self, arguments: Arguments, daemon: Daemon, signals: FatalSignals) -> None:
        self.clock = WarpClock()
        self.loop = MainLoop(self.clock)
        self.counters = Counters()
        self.registry = make_registry(PROGRAM)
        self.control = Control(PROGRAM, self.loop, self.registry, signals)
        linux = None if arguments.dummy == "override" else LinuxFactory()
        self.devices, self.dummies = make_devices(
            arguments, linux, self.clock, WireOpener(self.loop, signals)
        )
        cores = read_cores() if arguments.cores is None else parse_cores(arguments.cores)
        log_cores(cores)
        self.datapaths = DataPathSet(
            self.loop,
            self.counters,
            self.devices,
            dummy=arguments.dummy,
            has_system=not arguments.disable_system,
            linux=None if arguments.dummy == "system" else linux,
            cores=cores,
        )
        if self.dummies is not None:
            count_segments(self.counters, self.dummies)
        self.links = OpenFlowLinks(
            self.loop,
            arguments.tls,
            self.datapaths.standing_of,
            # Controllers shall not meet tables that are half full.
            lambda: not self.datapaths.is_restoring,
            signals,
            self.counters,
        )
        self.idl = Idl("Open_vSwitch", TABLES)
        self.switch = Switch(
            self.idl, self.devices, self.datapaths, self.links, os.getpid(),
            lambda: read_host_statistics(paths.rundir()),
        )  # fmt: skip
        self._arguments = arguments
        # Where dummies stand for the host's devices, nothing leads through those.
        has_host = arguments.dummy not in ("override", "system")
        self._routes = HostRoutes() if has_host and arguments.use_system_routes else None
        if self._routes is not None:
            self.datapaths.underlay.host_neighbour = host_neighbour
        if has_host:
            self.datapaths.underlay.host_addresses = host_addresses
        self._daemon = daemon
        self._announced = False
        self._watched: set[int] = set()
        self._version = (-1, False)

    def start(self) -> None:
        self.control.register_standard(vlog, self.counters, self.memory)
        declare_events(self.counters, self.switch)
        self.control.register_exit("[--cleanup]", max_args=1)
        if self.dummies is not None:
            self.control.register_time()
        register_commands(self)
        self.control.open(self._arguments.unixctl)
        self.database = DatabaseClient(
            self.loop, self._arguments.remote, self.idl, self._arguments.tls
        )
        self.loop.register(self)

    # -- the loop ------------------------------------------------------------------------

    def run(self) -> None:
        now_ms = self.clock.now_ms()
        self.counters.sample(now_ms)
        self._check_schema()
        self.switch.run(now_ms)
        self.follow_routes()
        self.datapaths.run()
        # While flows are restored, packets do not wake anybody up.
        version = self.switch.applier.version, self.datapaths.is_restoring
        if version != self._version:
            self._version = version
            self._take_over_tls()
            self._watch_descriptors()
        if self.switch.ready and not self._announced:
            self._announced = True
            self.datapaths.complete()
            freeze_garbage()
            self._daemon.complete()
            get_logger("bridge").info("%s (Open vSwitch) %s", PROGRAM, OVS_VERSION)
        self.database.push()

    def follow_routes(self, at_once: bool = False) -> None:
        """Take over what changed in the host's routes, `at_once` if somebody asks about them."""
        if self._routes is not None and self._routes.has_changed(at_once):
            follow_host(self.datapaths.underlay, self._routes)

    def deadline(self) -> int | None:
        due = [self.switch.deadline(), self.datapaths.deadline()]
        return min((at for at in due if at is not None), default=None)

    def _check_schema(self) -> None:
        if self.idl.problem is not None:
            get_logger("ovsdb_idl").warn_rl("%s", self.idl.problem)

    def _watch_descriptors(self) -> None:
        """Wake for packets and for devices that come and go."""
        packets = self.datapaths.packet_fds()
        wanted = {*packets, *self.devices.poll_fds()}
        if self._routes is not None:
            wanted.add(self._routes.fileno())
        for fd in self._watched - wanted:
            self.loop.unwatch(fd)
        # A number may be a new descriptor by now, which the loop's selector does not know.
        for fd in wanted:
            self.loop.unwatch(fd)
            if (take_packets := packets.get(fd)) is not None:
                self.loop.watch_lightly(fd, take_packets)
            else:
                self.loop.watch(fd, _wake_up)
        self._watched = wanted

    def _take_over_tls(self) -> None:
        """The SSL row counts for controllers, unless the command line said something."""
        rows = self.idl.rows("SSL")
        given = self._arguments.tls
        for row in rows[:1]:
            given.private_key = row.text("private_key") or given.private_key
            given.certificate = row.text("certificate") or given.certificate
            given.ca_cert = row.text("ca_cert") or given.ca_cert
            given.bootstrap_ca_cert = row.flag("bootstrap_ca_cert") or given.bootstrap_ca_cert

    def memory(self) -> dict[str, int]:
        """What `memory/show` tells."""
        live = self.switch.applier.bridges.values()
        counts = {
            "idl-cells-Open_vSwitch": self.idl.n_cells(),
            "ports": sum(len(bridge.interfaces) for bridge in live),
            "ofconns": self.links.n_connections(),
            **self.datapaths.memory(),
        }
        return {name: count for name, count in counts.items() if count}

    def close(self) -> None:
        # The control socket takes one more turn to answer `exit`: without the switch.
        self.loop.unregister(self)
        leaves = "--cleanup" not in (self.control.exit_args or ())
        if leaves:
            self.datapaths.leave()
        self.switch.close(leaves)
        self.datapaths.close()
        if self._routes is not None:
            self._routes.close()
        self.database.close()
        self.control.close()


def _wake_up() -> None:
    """Readable descriptors have no handler of their own: the turn that follows reads them."""


def run(argv: list[str]) -> int:
    """The whole life of the daemon; its exit status."""
    sys.setrecursionlimit(_MAX_CALLS)
    signals = FatalSignals()
    daemon = Daemon(PROGRAM, vlog, signals)
    arguments = parse_arguments(argv, daemon)
    if arguments is None:
        return 0
    if arguments.cleanup:
        remove_remains(paths.rundir())
        return 0
    arguments.tls.make_absolute()
    daemon.start()
    if arguments.mlockall:
        lock_memory()
    return live(daemon, Program(arguments, daemon, signals))


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
