"""Run commands of the `openstack` client, given as JSON on standard input, in one process.

Executed by the Python that has the client. Each command is a list of words, of which `$id` is the
id of what an earlier one told of last; the answer is a list of [exit status, standard output,
standard error], as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from openstackclient import shell  # type: ignore[import-not-found]


def told_id(out: str) -> str | None:
    """The id in a command's JSON."""
    try:
        told = json.loads(out)
    except ValueError:
        return None
    return told.get("id") if isinstance(told, dict) else None


def main() -> None:
    answers = []
    known = "nothing"
    for command in json.load(sys.stdin):
        words = [known if word == "$id" else word for word in command]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app = shell.OpenStackShell()
            app.stdout, app.stderr = out, err
            try:
                status = app.run(words)
            except SystemExit as leave:
                status = leave.code
        known = told_id(out.getvalue()) or known
        answers.append([status, out.getvalue(), err.getvalue()])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
