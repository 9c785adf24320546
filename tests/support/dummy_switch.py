"""Our own daemons with dummy devices, without root, in a short private run directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.switches import own_tools

from netloom.lab.commands import Result
from netloom.lab.switch import Switch


class DummySwitch(Switch):
    """A running switch whose data path is `dummy`."""

    def vsctl(self, *argv: str) -> str:
        return self.run("ovs-vsctl", "--timeout=30", *argv).stdout

    def appctl(self, *argv: str) -> str:
        return self.run("ovs-appctl", "--timeout=30", *argv).stdout

    def ofctl(self, *argv: str, check: bool = True) -> Result:
        return self.run("ovs-ofctl", "--timeout=30", *argv, check=check)


@contextmanager
def dummy_switch(*options: str) -> Iterator[DummySwitch]:
    """The switch with bridge br0 and dummy ports p1 and p2."""
    # Not below pytest's directory: a socket's path must be short.
    directory = Path(tempfile.mkdtemp(prefix="nl"))
    tools = own_tools(directory / "bin")
    switch = DummySwitch(directory / "s", None, tools, ("--enable-dummy", *options))
    try:
        switch.start()
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
        for port in ("p1", "p2"):
            switch.vsctl("add-port", "br0", port, "--", "set", "interface", port, "type=dummy")
        yield switch
    finally:
        switch.stop()
        shutil.rmtree(directory, ignore_errors=True)
