"""Labs without root: in a user namespace, with the data path in user space.

A user who may make user namespaces is root in his own: there he may make network namespaces,
devices, routes and packet sockets, which is all that a lab with the userspace data path takes. All
labs of a user share one such namespace. A process that only sleeps, the *keeper*, holds it open
between commands; `enter` runs a command inside, where its effective user is root and nothing else
need know. The keeper goes with the last lab.

    <home>          $XDG_RUNTIME_DIR/netloom, or netloom-<uid> among temporary files
    <home>/keeper   the keeper's process
    <home>/run      what is /run inside: netns (namespaces) and netloom (labs)

What it cannot do: the kernel data path (its programs need real rights), devices of the machine
itself, and more than one user inside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from netloom.base.errors import NetloomError, Unsupported
from netloom.lab.lab import LABS
from netloom.lab.process import MAIN, SOURCE

#: Says inside that rights are those of a user namespace.
MARK = "NETLOOM_USER_NAMESPACE"
#: What serves `system` bridges.
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
#: Commands of `netloom` that make or enter namespaces.
COMMANDS = frozenset({"lab", "demo", "clean-host"})
#: Words with which they do not.
HARMLESS = frozenset({"--help", "--check"})
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
KEEP = """
set -e
mount --bind "$1" /run
ip link set lo up
echo ready
exec sleep infinity >/dev/null 2>&1
"""
START_S = 40


def is_needed(words: list[str]) -> bool:
    """Whether a command line of `netloom` has to go on in a user namespace."""
    return (
        os.geteuid() != 0
        and bool(words)
        and words[0] in COMMANDS
        and not HARMLESS.intersection(words)
    )


def is_inside() -> bool:
    """Whether this process is in such a namespace."""
    return MARK in os.environ


def home_of(uid: int, runtime: str) -> Path:
    """Where a user's labs are; `runtime` is XDG_RUNTIME_DIR, empty if there is none."""
    return Path(runtime or tempfile.gettempdir()) / ("netloom" if runtime else f"netloom-{uid}")


def seen_labs() -> Path:
    """Where the labs of whoever asks are, seen from outside of the namespace."""
    if os.geteuid() == 0:
        return LABS
    home = home_of(os.getuid(), os.environ.get("XDG_RUNTIME_DIR", ""))
    return home / "run" / LABS.name


def refuse_kernel(what: str) -> None:
    """Raise, inside, as the kernel data path is not to be had here."""
    if is_inside():
        raise Unsupported(
            f"{what}: the kernel data path needs root; run as root, or say `datapath: userspace`",
            "userns",
        )


def probe() -> str:
    """Why this user can make no namespace as labs need it; empty if he can."""
    command = ("unshare", "--user", "--map-root-user", "--net", "--mount", "ip", "link")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
            env={**os.environ, "PATH": PATH},
        )
    except OSError as error:
        return f"unshare: {error.strerror} (package util-linux)"
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def run(words: list[str]) -> int:
    """Run `netloom WORDS` in this user's namespace; its exit status."""
    home = home_of(os.getuid(), os.environ.get("XDG_RUNTIME_DIR", ""))
    _make_own(home)
    for name in ("netns", "netloom"):
        (home / "run" / name).mkdir(parents=True, exist_ok=True)
    keeper = _keeper(home) or _start_keeper(home)
    try:
        return _enter(keeper, words)
    finally:
        if not any((home / "run/netloom").iterdir()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
            (home / "keeper").unlink(missing_ok=True)


def _make_own(home: Path) -> None:
    """A directory of this user alone; another user may have made it to lay a trap."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.lstat()
    if home.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise NetloomError(f"{home} is not this user's own directory")


def _keeper(home: Path) -> int | None:
    try:
        pid = int((home / "keeper").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if command.startswith(b"sleep\0infinity") else None


def _start_keeper(home: Path) -> int:
    complaint = probe()
    if complaint:
        raise Unsupported(
            f"no user namespace ({complaint}); run as root, or see `netloom doctor`", "userns"
        )
    unshare = ("unshare", "--user", "--map-root-user", "--net", "--mount")
    keeper = subprocess.Popen(
        (*unshare, "sh", "-c", KEEP, "keeper", str(home / "run")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": PATH},
        start_new_session=True,
    )
    assert keeper.stdout is not None and keeper.stderr is not None
    if keeper.stdout.readline() != "ready\n":
        complaint = keeper.stderr.read().strip()
        keeper.wait(START_S)
        raise Unsupported(
            f"no user namespace ({complaint}); run as root, or see `netloom doctor`", "userns"
        )
    (home / "keeper").write_text(f"{keeper.pid}\n")
    return keeper.pid


def _enter(keeper: int, words: list[str]) -> int:
    nsenter = ("nsenter", "--preserve-credentials", "--user", "--net", "--mount", f"-t{keeper}")
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PATH": PATH, "PYTHONPATH": path, MARK: "1"}
    environment[CHOICE] = "userspace"
    inside = subprocess.run(
        (*nsenter, f"--wd={Path.cwd()}", sys.executable, "-c", MAIN, *words),
        env=environment,
        check=False,
    )
    return inside.returncode
