"""Run commands of the `openstack` client, given as JSON on standard input, in one process.

Executed by the Python that has the client. Each command is a list of words; the answer is a list of
[exit status, standard output, standard error], as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from openstackclient import shell  # type: ignore[import-not-found]


def main() -> None:
    answers = []
    for words in json.load(sys.stdin):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app = shell.OpenStackShell()
            app.stdout, app.stderr = out, err
            try:
                status = app.run(words)
            except SystemExit as leave:
                status = leave.code
        answers.append([status, out.getvalue(), err.getvalue()])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
