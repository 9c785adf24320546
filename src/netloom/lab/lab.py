"""A lab: what it consists of, and how all of it is removed again.

Each lab has a directory `<LABS>/<name>`: `owner` holds the process that made it, `namespaces` one
name a line, and each switch has its run directory there. `remove_leftovers` reads them.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from netloom.lab.commands import run
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.process import end_occupants, stop_processes
from netloom.lab.switch import Programs, Switch, forget_switches

#: Where labs are written down. A tmpfs: what a reboot removes need not be cleaned up.
LABS = Path("/run/netloom")
#: What ends a command.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Lab:
    """A context manager; `keep` leaves everything in place at the end. The name of a `standing` lab
    is for people to use later; others get the process' number, so that many may have one name."""

    def __init__(
        self, name: str, keep: bool = False, labs: Path = LABS, standing: bool = False
    ) -> None:
        self.name = name if standing else f"{name}-{os.getpid()}"
        self.keep = keep
        self.directory = labs / self.name
        self.host = Namespace(f"{self.name}-host")
        self.vms: list[VirtualMachine] = []
        self.switches: list[Switch] = []

    def __enter__(self) -> Lab:
        self.directory.mkdir(parents=True)
        with ExitStack() as undo:
            undo.callback(remove_lab, self.directory)
            (self.directory / "owner").write_text(f"{os.getpid()}\n")
            self._create(self.host)
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.keep:
            remove_lab(self.directory)

    def _create(self, namespace: Namespace) -> None:
        """Write the name down first: a kill between the two lines leaves nothing unknown."""
        with (self.directory / "namespaces").open("a") as names:
            names.write(namespace.name + "\n")
        namespace.create()

    def add_namespace(self, label: str) -> Namespace:
        """One more host beside the lab's first."""
        host = Namespace(f"{self.name}-{label}")
        self._create(host)
        return host

    def add_switch(
        self,
        name: str = "switch",
        programs: Programs | None = None,
        options: tuple[str, ...] = (),
        host: Namespace | None = None,
    ) -> Switch:
        """A switch in the lab's host or another, not yet started."""
        switch = Switch(self.directory / name, host or self.host, programs, options)
        self.switches.append(switch)
        return switch

    def add_vm(
        self, label: str, vif: str, address: str, host: Namespace | None = None
    ) -> VirtualMachine:
        """A machine whose eth0 has `address` and ends in the host as device `vif`."""
        vm = VirtualMachine(f"{self.name}-{label}", label, vif, address)
        self._create(vm)
        self.vms.append(vm)
        vm.connect(host or self.host, mac=f"02:00:00:00:00:{len(self.vms):02x}")
        return vm


def remove_lab(directory: Path) -> None:
    """End what runs in the lab, delete its namespaces and its directory."""
    with _uninterrupted():
        _remove(directory)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """No signal of a person who grows impatient leaves half a lab behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove(directory: Path) -> None:
    stop_processes(directory)
    for pidfile in directory.glob("*/*.pid"):
        Switch(pidfile.parent).stop()
    files = [*directory.glob("namespaces"), *directory.glob("*/namespaces")]
    names = [name for file in files for name in file.read_text().split()]
    end_occupants(directory, names)
    for name in names:
        Namespace(name).delete()
    try:
        forget_switches([path for path in directory.glob("*") if path.is_dir()])
    finally:
        # Switches forget by themselves those whose directories are gone.
        shutil.rmtree(directory, ignore_errors=True)


def _owner_lives(directory: Path) -> bool:
    try:
        pid = int((directory / "owner").read_text())
    except (OSError, ValueError):
        return False
    return Path(f"/proc/{pid}").exists()


def remove_leftovers(labs: Path = LABS) -> list[str]:
    """Remove every lab in `labs` whose owner is gone (killed, or told to keep it); returns their
    names."""
    removed = []
    for directory in sorted(labs.glob("*")):
        if directory.is_dir() and not _owner_lives(directory):
            remove_lab(directory)
            removed.append(directory.name)
    return removed


def existing_namespaces() -> set[str]:
    """The names of all network namespaces of the machine."""
    lines = run("ip", "netns", "list").stdout.splitlines()
    return {line.split()[0] for line in lines if line}
