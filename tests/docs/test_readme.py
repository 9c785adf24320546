"""The lab that the README has people type, typed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.support.peers import wait_until

from netloom.lab.lab import Lab
from netloom.lab.switch import own_programs

README = Path(__file__).parents[2] / "README.md"
END = (
    "ovs-appctl exit --cleanup; ovs-appctl -t ovsdb-server exit; ip netns del vm1; ip netns del vm2"
)


def typed_lab() -> list[str]:
    """The indented lines below the heading."""
    below = README.read_text().partition("## Ten lines to type")[2]
    lines = []
    for line in below.splitlines():
        if line.startswith("    "):
            lines.append(line.strip())
        elif lines and line:
            break
    return lines


def test_the_end_of_the_lab_is_in_the_readme() -> None:
    assert f"`{END}`" in README.read_text()


@pytest.mark.root
def test_the_lab_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    with Lab("readme") as lab:
        commands = [line for line in typed_lab() if not line.startswith("pip ")]
        script = "\n".join(["set -x", *commands, "echo ping: $?", END])
        for name in ("vm1", "vm2"):
            script = script.replace(f" {name}", f" {lab.name}-{name}")
        script = script.replace("netns vm$n", f"netns {lab.name}-vm$n")
        script = script.replace("-n vm$n", f"-n {lab.name}-vm$n")
        script = script.replace("/run/my-switch", str(tmp_path))
        with (lab.directory / "namespaces").open("a") as names:
            names.write(f"{lab.name}-vm1\n{lab.name}-vm2\n")
        path = os.pathsep.join((*own_programs().path, os.environ["PATH"]))
        done = lab.host.run("env", f"PATH={path}", "sh", "-c", f"{{ {script}\n}} 2>&1", check=False)
    own = f"*{tmp_path.parent.name}@2F{tmp_path.name}"
    pins = Path("/sys/fs/bpf/netloom")
    assert wait_until(lambda: not list(pins.glob(own))), "nothing is left"
    said = done.stdout
    print(said, file=sys.stderr)
    assert said.count("3 packets transmitted, 3 received") == 1, "untagged, they reach each other"
    assert said.count("3 packets transmitted, 0 received") == 1, "with one tag, they do not"
    assert "actions=NORMAL" in said
    assert " port  VLAN  MAC                Age" in said
    assert "Datapath actions:" in said
