"""What stands before the first command: the global options."""

from __future__ import annotations

from netloom.base.getopt import NO, REQUIRED, Getopt, Option
from netloom.ovsdb.table_text import Style
from netloom.programs import tool
from netloom.transport.tls_settings import TlsSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.programs.db_ctl.run import Program


def command_options(program: Program) -> list[Option]:
    """The options of all commands, which may stand among the global ones."""
    names = {name for spec in program.specs.values() for name in spec.options}
    return [
        Option(name[2:].rstrip("="), REQUIRED if name.endswith("=") else NO)
        for name in sorted(names)
    ]


class Settings:
    """What the global options say."""

    def __init__(self, program: Program) -> None:
        self.db = tool.default_remote()
        self.wait = program.follows_switch
        self.dry_run = False
        self.oneline = False
        self.retry = False
        self.leader_only = True
        self.shuffle = True
        self.timeout = 0
        #: "help", "commands", "options" or "version", if the run is only to print that.
        self.ask = ""
        self.style = Style()
        self.tls = TlsSettings()
        #: Options of the first command that stood among the global ones.
        self.local: dict[str, str | None] = {}
        self.words: list[str] = []


_FLAGS = {
    "no-wait": ("wait", False),
    "dry-run": ("dry_run", True),
    "oneline": ("oneline", True),
    "retry": ("retry", True),
    "leader-only": ("leader_only", True),
    "no-leader-only": ("leader_only", False),
    "shuffle-remotes": ("shuffle", True),
    "no-shuffle-remotes": ("shuffle", False),
}


def parse_options(program: Program, argv: Sequence[str]) -> Settings:
    """Read the global options; raises UsageError or CommandError."""
    settings = Settings(program)
    local = command_options(program)
    local_names = {option.name for option in local}
    options = Getopt(program.name, argv, [*program.options, *local], stop_at_operand=True)
    for key, value in options:
        if key in local_names:
            settings.local["--" + key] = value
        elif key in _FLAGS:
            setattr(settings, *_FLAGS[key])
        elif key in ("help", "commands", "options", "version"):
            settings.ask = key
            return settings
        else:
            _apply_valued(program, settings, key, value)
    settings.words = options.operands
    settings.timeout = settings.timeout or tool.default_timeout()
    return settings


def _apply_valued(program: Program, settings: Settings, key: str, value: str | None) -> None:
    if key == "db":
        settings.db = value or ""
    elif key == "timeout":
        settings.timeout = tool.parse_timeout(value or "")
    elif key == "no-syslog":
        tool.quiet_syslog(program.log_name)
    elif not (settings.style.set_option(key, value) or settings.tls.apply(key, value or "")):
        known = tool.apply_log_option(key, value)
        assert known, key
