"""From what happens in a program to its exit status: the last line of every `main` but two.

`ovs-vsctl` and `ovsdb-client` log their failures as well, see `netloom.programs.tool`.
"""

from __future__ import annotations

import posix
import sys

from netloom.base.errors import NetloomError
from netloom.base.log import vlog
from netloom.transport.log_options import apply_log_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Fatal(NetloomError):
    """Ends the program with exit status 1; the text goes to its user."""


def outcome(program: str, run: Callable[[list[str]], int], argv: list[str] | None) -> int:
    """Run `run` on the arguments of the command line `argv` (None: the process's own) and return
    its status; of an error that it raises, say why and return 1.

    Bytes that are no UTF-8 pass through, and so does the end of whoever reads our output."""
    vlog.program = program
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="surrogateescape")
    try:
        apply_log_environment(vlog)
        status = run((sys.argv if argv is None else argv)[1:])
        sys.stdout.flush()
        return status
    except NetloomError as error:
        sys.stdout.flush()
        report(program, error)
    except BrokenPipeError:
        # Whoever read our output has had enough.
        posix.dup2(posix.open("/dev/null", posix.O_WRONLY), 1)
    return 1


def report(program: str, error: Exception) -> None:
    """Print an error that ends the program. One without a text is in the log already; the text of
    some begins with the program's name."""
    text = str(error)
    if text:
        prefix = "" if text.startswith(f"{program}: ") else f"{program}: "
        sys.stderr.write(f"{prefix}{text}\n")
