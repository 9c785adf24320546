"""The command line of `ovs-ofctl`."""

from __future__ import annotations

from netloom.base.errors import NetloomError
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Getopt, Option
from netloom.openflow import protocol as p
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.tls_settings import CLIENT_TLS_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.base.log import Vlog
    from netloom.transport.tls import TlsSettings

PROGRAM = "ovs-ofctl"


class Fatal(NetloomError):
    """Ends the program with exit status 1; the text goes to the user after the program's name."""


#: Of the daemon options, for `monitor` and `snoop`.
_DAEMON = tuple(option.key for option in DAEMON_OPTIONS)

OPTIONS = (
    Option("timeout", REQUIRED, "t"),
    Option("strict"),
    Option("readd"),
    Option("flow-format", REQUIRED, "F"),
    Option("packet-in-format", REQUIRED, "P"),
    Option("more", NO, "m"),
    Option("timestamp"),
    Option("sort", OPTIONAL),
    Option("rsort", OPTIONAL),
    Option("names"),
    Option("no-names"),
    Option("stats"),
    Option("no-stats"),
    Option("unixctl", REQUIRED),
    Option("help", NO, "h"),
    Option("option", NO, "o"),
    Option("bundle"),
    Option("color", OPTIONAL),
    Option("may-create"),
    Option("pcap"),
    Option("raw"),
    Option("bare"),
    Option("bad-csum"),
    Option("read-only"),
    *DAEMON_OPTIONS,
    Option("version", NO, "V"),
    Option("protocols", REQUIRED, "O"),
    *LOG_OPTIONS,
    *CLIENT_TLS_OPTIONS,
)

#: Names of --flow-format, with the protocols that each stands for.
FLOW_FORMATS = (
    ("any", p.P_ANY),
    ("OpenFlow10", p.P_OF10 | p.P_OF10_TID),
    ("OpenFlow10-table_id", p.P_OF10),
    ("OpenFlow10+table_id", p.P_OF10_TID),
    ("NXM", p.P_NXM_ANY),
    ("NXM-table_id", p.P_NXM),
    ("NXM+table_id", p.P_NXM_TID),
    ("OXM", p.P_OXM_ANY),
    ("OpenFlow11", p.P_OF11),
    ("OXM-OpenFlow12", p.P_OF12),
    ("OXM-OpenFlow13", p.P_OF13),
    ("OXM-OpenFlow14", p.P_OF14),
    ("OXM-OpenFlow15", p.P_OF15),
)
_GROUPS = (
    ("any", p.P_ANY),
    ("OpenFlow10", p.P_OF10 | p.P_OF10_TID),
    ("NXM", p.P_NXM_ANY),
    ("OXM", p.P_OXM_ANY),
)
_PACKET_IN = {
    "standard": 0, "openflow10": 0, "nxt_packet_in": 1, "nxm": 1, "nxt_packet_in2": 2,
}  # fmt: skip


def protocols_text(protocols: int) -> str:
    """A set of protocols as --flow-format names them: whole groups first."""
    if not protocols:
        return "none"
    words = []
    for name, whole in (*_GROUPS, *FLOW_FORMATS):
        if protocols & whole == whole:
            words.append(name)
            protocols &= ~whole
            if not protocols:
                break
    return ",".join(words)


def versions_text(versions: tuple[int, ...]) -> str:
    return ", ".join(p.VERSION_NAMES[version] for version in versions)


#: OpenFlow 1.3.
_HAS_BUNDLES = 4


class Arguments:
    """What the command line says."""

    def __init__(self) -> None:
        self.timeout_s = 0
        self.strict = False
        self.readd = False
        self.read_only = False
        self.bundle = False
        #: mod-group adds what is not there.
        self.may_create = False
        self.timestamp = False
        #: How compose-packet writes a packet, and whether with a wrong checksum.
        self.pcap = False
        self.bare = False
        #: Does ofp-print read bytes, not digits?
        self.raw = False
        self.bad_checksum = False
        self.verbosity = 0
        #: Set of P_*.
        self.allowed_protocols = p.P_ANY
        self.versions: tuple[int, ...] = (1,)
        self.packet_in_format: int | None = None
        #: None: names are accepted, and shown if the output is a terminal.
        self.names: bool | None = None
        self.show_stats = True
        #: (field name or "", descending) in order.
        self.sort: list[tuple[str, bool]] = []
        self.color = ""
        #: Daemon options with their values, for monitor and snoop.
        self.daemon: list[tuple[str, str | None]] = []
        self.unixctl: str | None = None
        self.tls: TlsSettings | None = None
        #: 'help', 'option' or 'version': to be printed instead of running a command.
        self.print = ""
        self.command: list[str] = []


#: Options whose value may be left out, but not be empty.
_NEVER_EMPTY = {
    "sort": ": unknown field name",
    "rsort": ": unknown field name",
    "color": "incorrect value `' for --color",
}


def parse_arguments(argv: list[str], vlog: Vlog) -> Arguments:
    """Reads the command line; `UsageError` or `Fatal` if it is wrong."""
    args = Arguments()
    options = Getopt(PROGRAM, argv, OPTIONS)
    for option, value in options:
        if value == "" and option in _NEVER_EMPTY:
            raise Fatal(_NEVER_EMPTY[option])
        if not _apply(args, option, value or ""):
            if option in ("verbose", "log-file", "syslog-method", "syslog-target"):
                apply_log_option(vlog, option, value)
            else:
                _apply_tls(args, option, value or "")
        if args.print:
            return args
    args.command = options.operands
    if args.bundle:
        _allow_bundles(args)
    _check_versions(args)
    return args


def add_bundles(args: Arguments) -> None:
    """Allows what can do bundles, if -O does not: then -F does not count."""
    if not any(version >= _HAS_BUNDLES for version in args.versions):
        args.versions = (5,)
        args.allowed_protocols = p.P_OF14


def _allow_bundles(args: Arguments) -> None:
    """Bundles need OpenFlow 1.3; 1.4 has them without an extension."""
    if not any(version >= _HAS_BUNDLES for version in args.versions):
        args.versions = (*args.versions, 5)
    args.versions = tuple(version for version in args.versions if version >= _HAS_BUNDLES)


def _apply(args: Arguments, option: str, value: str) -> bool:
    if option in ("strict", "readd", "bundle", "timestamp", "pcap", "bare", "raw"):
        setattr(args, option, True)
    elif option in ("read-only", "may-create"):
        setattr(args, option.replace("-", "_"), True)
    elif option == "bad-csum":
        args.bad_checksum = True
    elif option == "timeout":
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 2**32):
            raise Fatal(f"value {value} on -t or --timeout is invalid")
        args.timeout_s = int(value)
    elif option == "flow-format":
        args.allowed_protocols = parse_flow_formats(value)
    elif option == "packet-in-format":
        if value not in _PACKET_IN:
            raise Fatal(f"unknown packet-in format `{value}'")
        args.packet_in_format = _PACKET_IN[value]
    elif option == "more":
        args.verbosity += 1
    elif option in ("names", "no-names"):
        args.names = option == "names"
    elif option in ("stats", "no-stats"):
        args.show_stats = option == "stats"
    elif option in ("sort", "rsort"):
        args.sort.append((_sort_field(value), option == "rsort"))
    elif option == "protocols":
        args.versions = parse_versions(value)
    elif option == "color":
        args.color = _color(value)
    elif option in ("help", "option", "version"):
        args.print = option
    elif option == "unixctl":
        args.unixctl = value
    elif option in _DAEMON:
        if option == "user" and value:
            _check_user(args, value)
        args.daemon.append((option, value or None))
    else:
        return False
    return True


def _check_user(args: Arguments, user: str) -> None:
    """Ends the program if there is no such user, whatever the command."""
    from netloom.transport.privileges import UserError, parse_user

    try:
        parse_user(user)
    except UserError as error:
        pidfile = dict(args.daemon).get("pidfile", "(null)")
        raise Fatal(f"{pidfile or f'{PROGRAM}.pid'}: {error}, aborting.") from None


def _apply_tls(args: Arguments, option: str, value: str) -> None:
    from netloom.transport.tls import TlsSettings

    if args.tls is None:
        args.tls = TlsSettings()
    args.tls.apply(option, value)


def _sort_field(value: str) -> str:
    if value and value.lower() != "priority":
        from netloom.flow.fields import FIELD

        if value not in FIELD:
            raise Fatal(f"{value}: unknown field name")
    return value.lower() if value.lower() == "priority" else value


def _color(value: str) -> str:
    if value.lower() in ("always", "yes", "force"):
        return "always"
    if value.lower() in ("never", "no", "none"):
        return "never"
    if value.lower() in ("", "auto", "tty", "if-tty"):
        return "auto"
    raise Fatal(f"incorrect value `{value}' for --color")


def parse_version(text: str) -> int:
    """The version of a name such as OpenFlow13; 0 for none."""
    numbers = {name.lower(): number for number, name in p.VERSION_NAMES.items()}
    return numbers.get(text.lower(), 0)


def parse_versions(text: str) -> tuple[int, ...]:
    """The versions that -O allows, in increasing order: all if it names none."""
    numbers = {name.lower(): number for number, name in p.VERSION_NAMES.items()}
    found = set()
    for word in text.replace(",", " ").split():
        if word.lower() not in numbers:
            raise Fatal(f'Unknown OpenFlow version: "{word}"')
        found.add(numbers[word.lower()])
    return tuple(sorted(found)) or tuple(sorted(p.VERSION_NAMES))


def parse_flow_formats(text: str) -> int:
    """The protocols that -F allows."""
    known = {name.lower(): whole for name, whole in FLOW_FORMATS}
    found = 0
    for word in filter(None, text.split(",")):
        if word.lower() not in known:
            raise Fatal(f"{word}: unknown flow protocol")
        found |= known[word.lower()]
    if not found:
        raise Fatal(f"{text}: no flow protocol specified")
    return found


def _check_versions(args: Arguments) -> None:
    """The versions of -O that can do one of the formats of -F."""
    usable = tuple(
        version
        for version in args.versions
        if any(args.allowed_protocols & bit for bit, of in p.VERSION.items() if of == version)
    )
    if not usable:
        raise Fatal(
            f"None of the enabled OpenFlow versions ({versions_text(args.versions)}) supports "
            f"any of the enabled flow formats ({protocols_text(args.allowed_protocols)}).  "
            "(Use -O to enable additional OpenFlow versions or -F to enable additional flow "
            "formats.)"
        )
    args.versions = usable
    args.allowed_protocols &= sum(bit for bit, of in p.VERSION.items() if of in usable)
