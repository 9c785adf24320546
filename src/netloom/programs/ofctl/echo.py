"""probe, ping and benchmark: echo requests."""

from __future__ import annotations

import os
import sys
import time

from netloom.openflow import messages as m
from netloom.openflow.number_text import atoi
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

_HEADER = 8


def _open(context: Context) -> Switch:
    return Switch(context.switch, context.args, context.xids)


def probe(context: Context) -> None:
    switch = _open(context)
    reply = switch.transact(switch.encode(m.EchoRequest(), 0))
    if len(reply) != _HEADER:
        raise Fatal("reply does not match request")
    switch.close()


def ping(context: Context) -> None:
    payload = atoi(context.operands[1]) if len(context.operands) > 1 else 64
    if payload > 0xFFFF - _HEADER:
        raise Fatal(f"payload must be between 0 and {0xFFFF - _HEADER} bytes")
    switch = _open(context)
    for _ in range(10):
        data = os.urandom(payload)
        request = switch.encode(m.EchoRequest(data))
        start = time.monotonic()
        reply = switch.transact(request)
        elapsed_ms = (time.monotonic() - start) * 1000
        if reply[1] != 3 or reply[_HEADER:] != data:
            sys.stdout.write("Reply does not match request.  Request:\n")
        xid = int.from_bytes(reply[4:8], "big")
        size = len(reply) - _HEADER
        sys.stdout.write(
            f"{size} bytes from {context.switch}: xid={xid:08x} time={elapsed_ms:.1f} ms\n"
        )
        if reply[_HEADER:] != data:
            sys.stdout.write(f"    (request was {payload} bytes of payload)\n")
    switch.close()


def benchmark(context: Context) -> None:
    payload, count = atoi(context.operands[1]), atoi(context.operands[2])
    if payload > 0xFFFF - _HEADER:
        raise Fatal(f"payload must be between 0 and {0xFFFF - _HEADER} bytes")
    size = payload + _HEADER
    sys.stdout.write(
        f"Sending {count} packets * {size} bytes (with header) = {count * size} bytes total\n"
    )
    switch = _open(context)
    start = time.monotonic()
    for _ in range(count):
        switch.transact(switch.encode(m.EchoRequest(bytes(payload))))
    duration = time.monotonic() - start
    switch.close()
    if not count:
        sys.stdout.write("Finished in 0.0 ms (-nan packets/s) (-nan bytes/s)\n")
        return
    sys.stdout.write(
        f"Finished in {duration * 1000:.1f} ms ({count / duration:.0f} packets/s) "
        f"({count * size / duration:.0f} bytes/s)\n"
    )
