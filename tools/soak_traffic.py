"""What goes on while a soak changes everything: one TCP connection whose two ends compare what they
say, and a listener in each machine that knows whom it must never hear.

The programs run in the machines' namespaces and tell by files: a number that grows with every block
that came back as it was sent, and the addresses of frames that should have gone elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from netloom.lab.namespace import VirtualMachine

#: How long the connection may stand still: changes interrupt it, and TCP waits ever longer before
#: it tries again.
PATIENCE_S = 40.0
_ECHO = """
import socket, sys
listener = socket.create_server((sys.argv[1], 7000))
while True:
    peer, _ = listener.accept()
    while block := peer.recv(65536):
        peer.sendall(block)
"""
_TALK = """
import random, socket, sys, time
rng, path, n = random.Random(1), sys.argv[2], 0
while True:
    try:
        peer = socket.create_connection((sys.argv[1], 7000), 5)
        break
    except OSError:
        time.sleep(0.2)
peer.settimeout(None)
while True:
    block, back = rng.randbytes(rng.choice((10, 1000, 30000))), b""
    peer.sendall(block)
    while len(back) < len(block):
        part = peer.recv(65536)
        if not part:
            raise SystemExit("the connection was closed")
        back += part
    if back != block:
        raise SystemExit("something else came back")
    n += 1
    with open(path, "w") as file:
        file.write(str(n))
    time.sleep(0.01)
"""
_LISTEN = """
import socket, sys
foreign = {bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[2:]}
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as ear:
    ear.bind(("eth0", 3))
    while True:
        frame, (_, _, kind, *_) = ear.recvfrom(100)
        if kind != 4 and frame[6:12] in foreign:
            with open(sys.argv[1], "a") as file:
                file.write(frame.hex() + "\\n")
"""


class Traffic:
    """Between the first two of `groups[0]`; no machine of a group may hear one of another."""

    def __init__(self, directory: Path, groups: list[list[VirtualMachine]]) -> None:
        self._count_file = directory / "count"
        self._foreign: dict[str, Path] = {}
        self._processes: list[subprocess.Popen[str]] = []
        self._count, self._moved_at = 0, time.monotonic()
        for group in groups:
            others = [mac_of(vm) for other in groups if other is not group for vm in other]
            for vm in group:
                self._foreign[vm.label] = path = directory / f"foreign-{vm.label}"
                self._start(vm, _LISTEN, str(path), *others)
        near, far = groups[0][:2]
        self._start(far, _ECHO, far.ip_address)
        self._talker = self._start(near, _TALK, far.ip_address, str(self._count_file))

    def _start(self, vm: VirtualMachine, program: str, *words: str) -> subprocess.Popen[str]:
        inside = ("nsenter", f"--net=/run/netns/{vm.name}", sys.executable, "-c", program)
        process = subprocess.Popen((*inside, *words), text=True, stderr=subprocess.PIPE)
        self._processes.append(process)
        return process

    def trouble(self) -> str:
        """What is wrong by now; empty if nothing is."""
        for label, path in self._foreign.items():
            if path.exists():
                return f"{label} got what is not for it: {path.read_text().splitlines()[0]}"
        if self._talker.poll() is not None:
            assert self._talker.stderr is not None
            return f"the conversation ended: {self._talker.stderr.read().strip()}"
        text = self._count_file.read_text() if self._count_file.exists() else ""
        now, count = time.monotonic(), int(text or self._count)
        if count != self._count:
            self._count, self._moved_at = count, now
        if now - self._moved_at > PATIENCE_S:
            return f"the conversation stands still after {count} blocks"
        return ""

    @property
    def n_blocks(self) -> int:
        """Blocks that came back."""
        return self._count

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def mac_of(vm: VirtualMachine) -> str:
    """The address of the machine's device."""
    return vm.run("cat", "/sys/class/net/eth0/address").stdout.strip()
