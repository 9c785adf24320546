"""The command line of `ovs-tcpdump`, and the life of one dump."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

from netloom.base.paths import rundir
from netloom.programs.help_text import version_text
from netloom.programs.outcome import Fatal, outcome
from netloom.programs.tcpdump.database import MirrorDatabase, Port
from netloom.programs.tcpdump.device import LONGEST_NAME, Tap, device_exists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

PROGRAM = "ovs-tcpdump"

USAGE = """\
{program}: Open vSwitch tcpdump helper.
usage: {program} -i interface [TCPDUMP OPTIONS]
where TCPDUMP OPTIONS represents the options normally passed to tcpdump.

The following options are available:
   -h, --help                 display this help message
   -V, --version              display version information
   --db-sock                  A connection string to reach the Open vSwitch
                              ovsdb-server.
                              Default 'unix:{rundir}/db.sock'
   --dump-cmd                 Command to use for tcpdump (default 'tcpdump')
   -i, --interface            Open vSwitch interface to mirror and tcpdump
   --mirror-to                The name for the mirror port to use (optional)
                              Default 'miINTERFACE'
   --span                     If specified, mirror all ports (optional)
   --filter                   Mirror only packets of this flow (optional)

"""
#: Options with a value, which is the next word -> what they set.
_VALUES = {
    "--db-sock": "database", "--dump-cmd": "command", "-i": "interface",
    "--interface": "interface", "--mirror-to": "mirror_to", "--filter": "filter_text",
}  # fmt: skip
#: So many random digits are in the name of a device whose own name would be too long.
_RANDOM_RANGE = 1_000_000


class Arguments:
    """The command line: what is not an option of this program is tcpdump's."""

    def __init__(self) -> None:
        self.database = f"unix:{rundir()}/db.sock"
        self.command = "tcpdump"
        self.interface = ""
        self.mirror_to = ""
        self.filter_text: str | None = None
        self.spans = False
        self.rest: list[str] = []


def parse_arguments(argv: list[str]) -> Arguments | None:
    """The command line; None if it only asked for text, which was printed."""
    arguments, words = Arguments(), list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            sys.stdout.write(USAGE.format(program=PROGRAM, rundir=rundir()))
            return None
        if word in ("-V", "--version"):
            sys.stdout.write(version_text(PROGRAM))
            return None
        if word == "--span":
            arguments.spans = True
        elif word in _VALUES:
            if words:
                setattr(arguments, _VALUES[word], words.pop(0))
        else:
            arguments.rest.append(word)
    if not arguments.interface:
        raise Fatal("Error: must at least specify an interface with '-i' option")
    if shutil.which(arguments.command) is None:
        raise Fatal(f"Error: unable to execute '{arguments.command}' (check PATH)")
    return arguments


def mirror_name(interface: str) -> str:
    """The name of the device for the packets of `interface`."""
    name = f"mi{interface}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"ovsmi{int.from_bytes(os.urandom(4), 'big') % _RANDOM_RANGE:06d}"


class Interrupted(Exception):
    """Somebody wants an end."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


class Dump:
    """One run of tcpdump, and what it takes."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._to = arguments.mirror_to or mirror_name(arguments.interface)
        self._database = MirrorDatabase(arguments.database)
        self._tap: Tap | None = None
        self._port: Port | None = None
        self._adds_port = False
        self._has_mirror = False

    @property
    def _mirror(self) -> str:
        return f"m_{self._arguments.interface}"

    def run(self) -> None:
        """Have the port mirrored for as long as tcpdump runs."""
        try:
            self._set_up()
            self._run_command()
        except Interrupted:
            # What tcpdump had to say, it has said.
            return
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # There is no stopping in the middle of tidying up.
                signal.signal(number, signal.SIG_IGN)
            self._tear_down()

    def _set_up(self) -> None:
        arguments, database = self._arguments, self._database
        port = database.find_port(arguments.interface)
        if port is None:
            raise Fatal(f"ERROR: Port {arguments.interface} does not exist.")
        there = database.find_port(self._to)
        is_free = there is not None and there.bridge == port.bridge and arguments.mirror_to
        if there is not None and (
            not is_free or there.uuid == port.uuid or database.is_output(there)
        ):
            raise Fatal(f"ERROR: Mirror port ({self._to}) exists for port {arguments.interface}.")
        if there is None:
            self._make_device()
            self._adds_port, self._port = True, port
            database.add_port(port.bridge, self._to)
        self._has_mirror, self._port = True, port
        database.add_mirror(
            port, self._mirror, self._to, spans=arguments.spans, filter_text=arguments.filter_text
        )
        if not database.wait_for_switch():
            sys.stderr.write(f"{PROGRAM}: the switch takes its time; some packets may be missed\n")

    def _make_device(self) -> None:
        """A device that nobody has, unless there is one already."""
        if device_exists(self._to):
            return
        try:
            self._tap = Tap(self._to, self._database.mtu(self._arguments.interface))
        except OSError as error:
            sys.stderr.write(f"{PROGRAM}: {self._to}: {error.strerror}\n")
            raise Fatal(
                f"ERROR: Please create an interface called `{self._to}`\n"
                "See your OS guide for how to do this.\n"
                f"Ex: ip link add {self._to} type veth peer name {self._to}2"
            ) from None

    def _run_command(self) -> None:
        command = [self._arguments.command, "-i", self._to, "-l", *self._arguments.rest]
        sys.stdout.flush()
        process = subprocess.Popen(command)
        try:
            process.wait()
        except Interrupted:
            # From a terminal the signal has reached it as well; twice does no harm.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise

    def _tear_down(self) -> None:
        port = self._port
        if port is not None:
            if self._has_mirror:
                self._database.remove_mirror(port.bridge, self._mirror, self._to)
            if self._adds_port:
                self._database.remove_port(port.bridge, self._to)
            self._database.wait_for_switch()
        self._database.close()
        if self._tap is not None:
            self._tap.close()


def _run(argv: list[str]) -> int:
    try:
        arguments = parse_arguments(argv)
        if arguments is None:
            return 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        Dump(arguments).run()
    except Fatal as error:
        # Where Open vSwitch prints them.
        sys.stdout.write(f"{error}\n")
        return 1
    except Interrupted:
        return 0
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
