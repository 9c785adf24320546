"""`ovs-dpctl`: looks at data paths, and changes them by hand (ovs-dpctl(8)).

Our data paths live in ovs-vswitchd, so this program has the daemon run the command: `ovs-dpctl
show` is `ovs-appctl dpctl/show` in other words. Without a running daemon there is no data path.
"""

from __future__ import annotations

import sys

from netloom import OVS_VERSION
from netloom.base.errors import CommandError
from netloom.base.getopt import NO, REQUIRED, Getopt, Option, format_options
from netloom.base.log import vlog
from netloom.programs import appctl, dpctl_help
from netloom.programs.outcome import Fatal, outcome
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.signals import FatalSignals, set_timeout

PROGRAM = "ovs-dpctl"
_DAEMON = "ovs-vswitchd"

OPTIONS = (
    Option("statistics", NO, "s"),
    Option("clear"),
    Option("may-create"),
    Option("read-only"),
    Option("more", NO, "m"),
    Option("names"),
    Option("no-names"),
    Option("timeout", REQUIRED, "t"),
    Option("help", NO, "h"),
    Option("option", NO, "o"),
    Option("version", NO, "V"),
    *LOG_OPTIONS,
)
#: Options that the daemon's command takes.
_HANDED_ON = frozenset({"statistics", "clear", "may-create", "more", "names", "no-names"})

#: Command -> least and most arguments (None: any number), and whether it changes something.
COMMANDS: dict[str, tuple[int, int | None, bool]] = {
    "add-dp": (1, None, True),
    "del-dp": (1, 1, True),
    "add-if": (2, None, True),
    "del-if": (2, None, True),
    "set-if": (2, None, True),
    "dump-dps": (0, 0, False),
    "show": (0, None, False),
    "dump-flows": (0, 6, False),
    "add-flow": (2, 3, True),
    "mod-flow": (2, 3, True),
    "get-flow": (1, 2, False),
    "del-flow": (1, 2, True),
    "add-flows": (1, 2, True),
    "mod-flows": (1, 2, True),
    "del-flows": (0, 2, True),
    "offload-stats-show": (0, 1, False),
    "dump-conntrack": (0, 4, False),
    "dump-conntrack-exp": (0, 2, False),
    "flush-conntrack": (0, 6, True),
    "cache-get-size": (0, 1, False),
    "cache-set-size": (3, 3, True),
    "ct-stats-show": (0, 3, False),
    "ct-bkts": (0, 2, False),
    "ct-set-maxconns": (1, 2, True),
    "ct-get-maxconns": (0, 1, False),
    "ct-get-nconns": (0, 1, False),
    "ct-enable-tcp-seq-chk": (0, 1, True),
    "ct-disable-tcp-seq-chk": (0, 1, True),
    "ct-get-tcp-seq-chk": (0, 1, False),
    "ct-set-sweep-interval": (1, 2, True),
    "ct-get-sweep-interval": (0, 1, False),
    "ct-set-limits": (1, None, True),
    "ct-del-limits": (1, 3, True),
    "ct-get-limits": (0, 2, False),
    "ipf-set-enabled": (1, 2, True),
    "ipf-set-disabled": (1, 2, True),
    "ipf-set-min-frag": (2, 3, True),
    "ipf-set-max-nfrags": (1, 2, True),
    "ipf-get-status": (0, 1, False),
    "help": (0, None, False),
    "list-commands": (0, None, False),
    "parse-actions": (1, None, False),
    "normalize-actions": (2, None, False),
}


def _run(argv: list[str]) -> int:
    handed_on: list[str] = []
    timeout_s, read_only = 0, False
    options = Getopt(PROGRAM, argv, OPTIONS)
    for option, value in options:
        if option in _HANDED_ON:
            handed_on.append(f"--{option}")
        elif option == "timeout":
            timeout_s = appctl.parse_timeout(value or "", "-t or --timeout")
        elif option == "read-only":
            read_only = True
        elif option in ("help", "option", "version"):
            sys.stdout.write(_text(option))
            return 0
        else:
            apply_log_option(vlog, option, value)
    command, args = _check_command(options.operands, read_only)
    if command == "help":
        sys.stdout.write(dpctl_help.help_text())
        return 0
    set_timeout(FatalSignals(), timeout_s)
    return _ask(command, [*handed_on, *args])


def _text(option: str) -> str:
    if option == "help":
        return dpctl_help.help_text()
    if option == "option":
        return format_options(OPTIONS)
    return f"{PROGRAM} (Open vSwitch) {OVS_VERSION}\n"


def _check_command(words: list[str], read_only: bool) -> tuple[str, list[str]]:
    if not words:
        raise Fatal("missing command name; use --help for help")
    command, *args = words
    if command not in COMMANDS:
        raise Fatal(f"unknown command '{command}'; use --help for help")
    least, most, changes = COMMANDS[command]
    if len(args) < least:
        raise Fatal(f"'{command}' command requires at least {least} arguments")
    if most is not None and len(args) > most:
        raise Fatal(f"'{command}' command takes at most {most} arguments")
    if changes and read_only:
        raise Fatal(f"'{command}' command does not work in read only mode")
    return command, args


def _ask(command: str, args: list[str]) -> int:
    """Have the daemon do it; its complaints come out under our name."""
    dialogue = appctl.open_target(_DAEMON)
    try:
        result = appctl.transact(dialogue, _DAEMON, f"dpctl/{command}", args)
    except CommandError as error:
        for line in str(error).splitlines():
            is_complaint = line.startswith(f"{_DAEMON}: ")
            stream = sys.stderr if is_complaint else sys.stdout
            said = line.removeprefix(f"{_DAEMON}: ")
            stream.write(f"{PROGRAM}: {said}\n" if is_complaint else f"{line}\n")
        return 1
    finally:
        dialogue.close()
    sys.stdout.write(str(result))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
