"""Run tests of tempest in one process and print, for each, a JSON line [name, outcome, text].

Executed by the Python that has tempest, with its configuration in TEMPEST_CONFIG_DIR; the names of
modules, classes or tests are the arguments. Outcomes are "passed", "skipped", "failed"; `text` is
the reason or the traceback. A class whose preparation fails is one failure in the class's name.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import unittest
import warnings
from typing import Any


class Lines(unittest.TestResult):
    """Prints what comes, whatever tests do with `sys.stdout`."""

    def __init__(self) -> None:
        super().__init__()
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def _say(self, test: Any, outcome: str, text: str = "") -> None:
        name = test.id().partition("[")[0]
        self._out.write(json.dumps([name, outcome, text]) + "\n")

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._say(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._say(test, "skipped", reason)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._say(test, "failed", self.errors.pop()[1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._say(test, "failed", self.failures.pop()[1])


def _run_clients_here() -> None:
    """The tests of the `openstack` client start it some hundred times: run it in this process."""
    from openstackclient import shell  # type: ignore[import-not-found]
    from openstackclient.tests.functional import base  # type: ignore[import-not-found]

    def execute(cmd: str, *, fail_ok: bool = False) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app = shell.OpenStackShell()
            app.stdout, app.stderr = out, err
            try:
                status = app.run(shlex.split(cmd)[1:])
            except SystemExit as leave:
                status = leave.code
        if status and not fail_ok:
            found = (status, cmd, out.getvalue(), err.getvalue())
            raise base.exceptions.CommandFailed(*found)
        return out.getvalue()

    base.execute = execute


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    if any(name.startswith("openstackclient.") for name in names):
        _run_clients_here()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(Lines())


if __name__ == "__main__":
    main(sys.argv[1:])
