"""Labs leave nothing behind, however they end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.peers import wait_until

from netloom.lab.lab import Lab, existing_namespaces, remove_leftovers
from netloom.lab.switch import Switch

pytestmark = pytest.mark.root

#: Makes a lab with a running switch, says its name, and waits to be killed.
HOLDER = """
import sys
from pathlib import Path
from netloom.lab.lab import Lab
with Lab("killed", labs=Path(sys.argv[1])) as lab:
    lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    lab.add_switch().start()
    print(lab.name, flush=True)
    input()
"""


def test_a_lab_that_ends_is_gone() -> None:
    with Lab("ends") as lab:
        lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        switch = lab.add_switch()
        switch.start()
        assert f"{lab.name}-vm1" in existing_namespaces()
        assert switch.pid("ovs-vswitchd") is not None
    assert switch.pid("ovs-vswitchd") is None
    assert not [name for name in existing_namespaces() if name.startswith(lab.name)]
    assert not lab.directory.exists()


def test_a_lab_that_fails_is_gone_too() -> None:
    with pytest.raises(ZeroDivisionError), Lab("fails") as lab:
        lab.add_switch().start()
        raise ZeroDivisionError
    assert not [name for name in existing_namespaces() if name.startswith(lab.name)]
    assert not lab.directory.exists()


def test_what_a_killed_lab_left_is_cleaned_up_and_living_labs_are_left_alone(
    tmp_path: Path,
) -> None:
    with Lab("lives", labs=tmp_path) as living:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        name = holder.stdout.readline().strip()
        daemon = Switch(tmp_path / name / "switch").pid("ovsdb-server")
        assert daemon is not None
        assert name not in remove_leftovers(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert name in remove_leftovers(tmp_path)
        assert wait_until(lambda: Switch(tmp_path / name / "switch").pid("ovsdb-server") is None)
        assert not [n for n in existing_namespaces() if n.startswith(name)]
        assert living.host.name in existing_namespaces()
