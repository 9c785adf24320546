"""The eBPF programs in tests: compiled when the tree's object is older than its sources."""

from __future__ import annotations

import importlib.util
import os
import runpy
from functools import cache
from pathlib import Path

import pytest

from netloom.base.errors import Unsupported
from netloom.datapath.ebpf.loader import OBJECT, load

BUILD = Path(__file__).parent.parent.parent / "tools/build_bpf.py"


@cache
def why_not() -> str:
    """Why the kernel data path cannot run here; "" if it can."""
    if os.geteuid() != 0:
        return "loading eBPF programs needs root"
    tool = runpy.run_path(str(BUILD))
    if not tool["is_current"](OBJECT):
        if importlib.util.find_spec("ziglang") is None:
            return "the eBPF programs are not built, and ziglang is not installed"
        tool["build"](OBJECT)
    try:
        load().close()
    except Unsupported as error:
        return str(error)
    return ""


def require_programs() -> None:
    """Skip the test, with the reason, where the programs cannot be loaded."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
