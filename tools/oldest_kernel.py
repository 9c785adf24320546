"""`make test-oldest`: the tests of the data path on the oldest kernel that it is for.

The verifier of Linux 6.1 refuses programs that later ones take, and its kernel has fewer helpers.
Arguments are pytest's, `tests/datapath` if there are none. Needs root; all of them take an hour,
for the guest's processor is emulated.
"""

from __future__ import annotations

import shlex
import sys

from guest import run

#: An emulated processor takes longer than any test allows for.
PATIENCE_S = 3_600


def main() -> int:
    words = sys.argv[1:] or ["tests/datapath"]
    status = ""
    for status in run(f"$PYTHON -m pytest --color=no --timeout={PATIENCE_S} {shlex.join(words)}"):
        print(status, flush=True)
    return 0 if status == "0" else 1


if __name__ == "__main__":
    sys.exit(main())
