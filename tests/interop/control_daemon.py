"""A daemon of nothing but the control side, for tests: run as a script with daemon options."""

from __future__ import annotations

import sys

from netloom.base.counters import Counters
from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import NO, REQUIRED, Getopt, Option
from netloom.base.log import get_logger, vlog
from netloom.programs.control import Control, make_registry
from netloom.programs.outcome import report
from netloom.transport.daemon import Daemon
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.loop import MainLoop
from netloom.transport.signals import FatalSignals

PROGRAM = "test-daemon"
OPTIONS = (
    Option("unixctl", REQUIRED),
    Option("fail", REQUIRED),
    Option("no-time", NO),
    *DAEMON_OPTIONS,
    *LOG_OPTIONS,
)


class Ticker:
    """Counts how often its timer of 100 ms was due."""

    def __init__(self, loop: MainLoop) -> None:
        self._loop = loop
        self.due_ms = loop.clock.now_ms() + 100
        self.ticks = 0

    def run(self) -> None:
        if self._loop.clock.now_ms() >= self.due_ms:
            self.ticks += 1
            self.due_ms += 100

    def deadline(self) -> int:
        return self.due_ms


def refuse(args: list[str]) -> str:
    raise CommandError("refused: " + " ".join(args))


def serve(daemon: Daemon, signals: FatalSignals, options: dict[str, str | None]) -> int:
    loop = MainLoop()
    counters = Counters()
    counters.counter("tests_run").add(3)
    counters.counter("tests_failed")
    ticker = Ticker(loop)
    loop.register(ticker)
    control = Control(PROGRAM, loop, make_registry(PROGRAM), signals)
    control.register_standard(vlog, counters, lambda: {"rows": 7, "cells": 0})
    control.register_exit("[--cleanup]", 1)
    if "no-time" not in options:
        control.register_time()
    registry = control.registry
    registry.register("echo-args", "[arg]...", 0, None, lambda args: "|".join(args))
    registry.register("refuse", "why", 1, 2, refuse)
    registry.register("ticks", "", 0, 0, lambda args: str(ticker.ticks))
    registry.register("crash", "", 0, 0, lambda args: str(1 // 0))
    try:
        control.open(options.get("unixctl"))
    except NetloomError:
        loop.close()
        raise
    daemon.complete()
    get_logger("test_daemon").info("ready")
    try:
        status = loop.run()
    except ZeroDivisionError as error:
        return daemon.crash(error)
    control.close()
    daemon.close()
    loop.close()
    return status


def main(argv: list[str]) -> int:
    vlog.program = PROGRAM
    get_logger("vlog")
    signals = FatalSignals()
    daemon = Daemon(PROGRAM, vlog, signals)
    options: dict[str, str | None] = {}
    try:
        for option, value in Getopt(PROGRAM, argv, OPTIONS):
            if not daemon.apply(option, value) and not apply_log_option(vlog, option, value):
                options[option] = value
        daemon.start()
        if "fail" in options:
            return int(options["fail"] or 0)
        return serve(daemon, signals, options)
    except NetloomError as error:
        daemon.close()
        report(PROGRAM, error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
