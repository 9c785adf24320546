"""`make bench-kmod`: run `bench.kmod` in a guest whose clock counts instructions.

Arguments are those of `bench.kmod`. Needs root and some minutes.
"""

from __future__ import annotations

import shlex
import sys

from guest import run


def main() -> int:
    n_results = 0
    for text in run(f"$PYTHON -m bench.kmod {shlex.join(sys.argv[1:])}", counts=True):
        _, is_result, result = text.partition("RESULT ")
        n_results += bool(is_result)
        print(result or text, flush=True)
    return 0 if n_results else 1


if __name__ == "__main__":
    sys.exit(main())
