"""Run tests of tempest in one process and print, for each, a JSON line [name, outcome, text].

Executed by the Python that has tempest, with its configuration in TEMPEST_CONFIG_DIR; the names of
modules, classes or tests are the arguments. Outcomes are "passed", "skipped", "failed"; `text` is
the reason or the traceback. A class whose preparation fails is one failure in the class's name.
"""

from __future__ import annotations

import json
import os
import sys
import unittest
import warnings
from typing import Any


class Lines(unittest.TestResult):
    """Prints what comes, whatever tests do with `sys.stdout`."""

    def __init__(self) -> None:
        super().__init__()
        self._out = os.fdopen(os.dup(1), "w", buffering=1)

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


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    unittest.defaultTestLoader.loadTestsFromNames(names).run(Lines())


if __name__ == "__main__":
    main(sys.argv[1:])
