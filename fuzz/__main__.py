"""Fuzz the decoders with atheris, which watches which lines run and keeps what reaches new ones.

    python -m fuzz [SECONDS [TARGET...]]      all targets, 60 seconds each by default
    python -m fuzz --one TARGET [libFuzzer's arguments]

What it finds is kept in `.fuzz/TARGET`; bytes that break a target are left in a file whose name
libFuzzer prints, and the command fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOUND = Path(".fuzz")
#: Longest input, longest time for one (s), most memory (MB).
LIMITS = ("-max_len=4096", "-timeout=5", "-rss_limit_mb=1024")


def run_one(name: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["netloom"]):
        from fuzz.targets import SEEDS, TARGETS
        from netloom.base.log import OFF, vlog
    vlog.set_level(OFF)
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS[name]()):
        (corpus / f"seed-{number:04}").write_bytes(data)
    atheris.Setup([name, *LIMITS, *arguments, str(corpus)], TARGETS[name])
    atheris.Fuzz()


def main(argv: list[str]) -> int:
    if argv[:1] == ["--help"]:
        print(__doc__)
        return 0
    if argv[:1] == ["--one"]:
        run_one(argv[1], argv[2:])
        return 0
    seconds = argv[0] if argv else "60"
    from fuzz.targets import TARGETS

    failed = []
    for name in argv[1:] or TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "fuzz", "--one", name, f"-max_total_time={seconds}"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"broken: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
