"""The options that make a program a daemon; `netloom.transport.daemon` does what they say.

They stand apart because tools know them too, whose start that module would slow down."""

from __future__ import annotations

from netloom.base.getopt import OPTIONAL, REQUIRED, Option

DAEMON_OPTIONS = (
    Option("detach"),
    Option("no-self-confinement"),
    Option("no-chdir"),
    Option("pidfile", OPTIONAL),
    Option("overwrite-pidfile"),
    Option("monitor"),
    Option("user", REQUIRED),
)
