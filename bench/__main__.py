"""`python -m bench [NAME ...]`: run these benchmarks, or all."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "first_light", "datapath", "misses", "openflow", "tools", "pipeline", "network_api", "agents",
    "resilience", "clusters",
)  # fmt: skip


def main(argv: list[str]) -> int:
    unknown = sorted(set(argv) - set(NAMES))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)} (there are {', '.join(NAMES)})")
        return 1
    for name in argv or NAMES:
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
