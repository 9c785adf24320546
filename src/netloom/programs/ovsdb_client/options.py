"""The options of ovsdb-client(1)."""

from __future__ import annotations

from netloom.base.getopt import NO, REQUIRED, Getopt, Option
from netloom.ovsdb.table_text import TABLE_OPTIONS, Style
from netloom.programs import tool
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS
from netloom.transport.tapes import TAPE_OPTIONS, Tapes
from netloom.transport.tls_settings import TLS_OPTIONS, TlsSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.transport.signals import FatalSignals

PROGRAM = "ovsdb-client"

OPTIONS = (
    Option("help", NO, "h"),
    tool.VERSION_OPTION,
    Option("timestamp"),
    Option("force"),
    Option("timeout", REQUIRED, "t"),
    Option("db-change-aware"),
    Option("no-db-change-aware"),
    Option("leader-only"),
    Option("no-leader-only"),
    *TAPE_OPTIONS,
    *LOG_OPTIONS,
    *DAEMON_OPTIONS,
    *TABLE_OPTIONS,
    *TLS_OPTIONS,
)


class Settings:
    """What the options say."""

    def __init__(self) -> None:
        self.style = Style("table", "string")
        self.tls = TlsSettings()
        self.tapes = Tapes()
        self.timestamp = False
        self.force = False
        self.leader_only = True
        #: Whether the connection outlives the conversion or removal of a database; None for where
        #: that matters.
        self.db_change_aware: bool | None = None
        self.ask = ""
        self.words: list[str] = []
        #: Daemon options, for the commands that stay.
        self.daemon: list[tuple[str, str | None]] = []
        self.signals: FatalSignals | None = None


_FLAGS = {
    "timestamp": ("timestamp", True),
    "force": ("force", True),
    "leader-only": ("leader_only", True),
    "no-leader-only": ("leader_only", False),
    "db-change-aware": ("db_change_aware", True),
    "no-db-change-aware": ("db_change_aware", False),
}


def parse_options(argv: Sequence[str]) -> Settings:
    """Read the options; raises UsageError or CommandError."""
    settings = Settings()
    daemon_names = {option.name for option in DAEMON_OPTIONS}
    timeout = 0
    options = Getopt(PROGRAM, argv, OPTIONS)
    for key, value in options:
        if key in _FLAGS:
            setattr(settings, *_FLAGS[key])
        elif key in ("help", "version"):
            settings.ask = key
            return settings
        elif key == "timeout":
            timeout = tool.parse_timeout(value or "")
        elif settings.tapes.apply(key, value):
            continue
        elif key in daemon_names:
            settings.daemon.append((key, value))
        elif not (settings.style.set_option(key, value) or settings.tls.apply(key, value or "")):
            tool.apply_log_option(key, value)
    settings.words = options.operands
    timeout = timeout or tool.default_timeout()
    if timeout:
        tool.set_alarm(timeout)
    return settings
