"""ovs-appctl must start fast: what it imports is a budget, and this is the budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"

#: Modules outside the package that ovs-appctl may load, beyond those of a bare interpreter.
ALLOWED = {
    "__future__",
    "_json",
    "_signal",
    "_socket",
    "_struct",
    "struct",
    "errno",
    "fcntl",
    "itertools",
    "select",
    "os",
    "os.path",
    "posixpath",
    "genericpath",
    "stat",
    "_stat",
    "_collections_abc",
}


def loaded(code: str) -> set[str]:
    script = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_appctl_imports_nothing_slow() -> None:
    bare = loaded("pass")
    tool = loaded(
        "from netloom.programs.appctl import main; "
        "from netloom.rpc.json_codec import LightJson; LightJson()"
    )
    outside = {name for name in tool - bare if not name.startswith("netloom")}
    assert outside <= ALLOWED, sorted(outside - ALLOWED)
    assert "netloom.transport.loop" not in tool
