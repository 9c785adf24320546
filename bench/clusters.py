"""Commits of a cluster of three database servers, and what they cost the one that leads.

A client of the leader keeps a number of transactions in flight, each of which inserts a row. The
database is made anew for each slice, on the disk under the folder for temporary files: a commit
waits for two of the three disks. `python -m bench clusters`.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.support.cluster_site import ClusterSite

from bench.report import Report

SIDES = ("ours", "peer")
IN_FLIGHT = (1, 10, 100)
SLICE_S = 4.0
ROUNDS = 3
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_DECODER = json.JSONDecoder()


class Client:
    """Sends transactions and takes their answers."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._number = 0
        self._text = ""

    def ask(self) -> None:
        self._number += 1
        row = {"name": f"row {self._number}", "n": self._number}
        operation = {"op": "insert", "table": "T", "row": row}
        request = {"method": "transact", "params": ["D", operation], "id": self._number}
        self._socket.sendall(json.dumps(request).encode())

    def answers(self) -> int:
        """How many have come; waits for the first. AssertionError at one that is an error."""
        n = 0
        while not n:
            self._text += self._socket.recv(1 << 16).decode()
            while self._text:
                try:
                    reply, end = _DECODER.raw_decode(self._text)
                except ValueError:
                    break
                self._text = self._text[end:]
                if "method" in reply:
                    continue
                assert reply["error"] is None and "uuid" in reply["result"][0], reply
                n += 1
        return n

    def close(self) -> None:
        self._socket.close()


def _processor_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S


def _slice(site: ClusterSite, in_flight: int) -> tuple[float, float]:
    """Commits a second, and microseconds of the leader's processor time for each."""
    leader = site.leader()
    pid = site.running[leader].pid
    client = Client(site.directory / f"{leader}.sock")
    for _ in range(in_flight):
        client.ask()
    for _ in range(client.answers()):
        client.ask()
    n, before, start = 0, _processor_s(pid), time.monotonic()
    while (elapsed := time.monotonic() - start) < SLICE_S:
        arrived = client.answers()
        n += arrived
        for _ in range(arrived):
            client.ask()
    client.close()
    return n / elapsed, (_processor_s(pid) - before) / n * 1e6


def main() -> None:
    report = Report("A cluster of three database servers")
    for _ in range(ROUNDS):
        for side, kind in enumerate(SIDES):
            for in_flight in IN_FLIGHT:
                with (
                    tempfile.TemporaryDirectory() as directory,
                    closing(ClusterSite(Path(directory), *[kind] * 3)) as site,
                ):
                    site.form()
                    rate, cost = _slice(site, in_flight)
                report.add(f"commits, {in_flight} in flight", "1/s", side, rate)
                report.add(f"leader, {in_flight} in flight", "us", side, cost, lower=True)
    report.print()


if __name__ == "__main__":
    main()
