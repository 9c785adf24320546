"""Variables of the environment, for programs that do without `os`.

`os` takes 1.2 ms to import, a tenth of what a classic tool takes in all; `posix`, which is a part
of the interpreter, has the environment as it was at the start. Where `os` is loaded, what it says
counts, so that tests and embedding programs may set variables at any time.
"""

from __future__ import annotations

import posix
import sys


def variable(name: str) -> str | None:
    """The value of the variable `name`; None if it is not set."""
    loaded = sys.modules.get("os")
    if loaded is not None:
        found: str | None = loaded.environ.get(name)
        return found
    value = posix.environ.get(name.encode())
    return None if value is None else value.decode(sys.getfilesystemencoding(), "surrogateescape")
