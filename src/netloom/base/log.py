"""Logging in the format and with the controls of Open vSwitch's vlog.

    log = get_logger("bridge")
    log.info("added interface %s on port %d", name, port)
    log.warn_rl("%s: dropping packet", name)          # at most a burst of 60 a minute

Module names are the ones that Open vSwitch uses, since `vlog/set MODULE:DEST:LEVEL`, log watchers
and test-suites name them. Not the standard library's `logging`: it takes 8 ms to import, which is
half of what a classic tool may take in all.
"""

from __future__ import annotations

import sys

LEVELS = ("OFF", "EMER", "ERR", "WARN", "INFO", "DBG")


class Logger:
    """The log of one module."""

    __slots__ = ("module",)

    def __init__(self, module: str) -> None:
        self.module = module

    @property
    def is_dbg_enabled(self) -> bool:
        return False

    def _log(self, level: str, fmt: str, args: tuple[object, ...]) -> None:
        print(f"{self.module}|{level}|{fmt % args if args else fmt}", file=sys.stderr)

    def emer(self, fmt: str, *args: object) -> None:
        self._log("EMER", fmt, args)

    def err(self, fmt: str, *args: object) -> None:
        self._log("ERR", fmt, args)

    def warn(self, fmt: str, *args: object) -> None:
        self._log("WARN", fmt, args)

    def info(self, fmt: str, *args: object) -> None:
        self._log("INFO", fmt, args)

    def dbg(self, fmt: str, *args: object) -> None:
        if self.is_dbg_enabled:
            self._log("DBG", fmt, args)

    err_rl = err
    warn_rl = warn
    info_rl = info
    dbg_rl = dbg


def get_logger(module: str) -> Logger:
    """The logger of `module`."""
    return Logger(module)
