"""Bytes that chance changed: every decoder refuses them or reads them, in a time and in memory
that go with their size. `make fuzz` looks longer, and with atheris."""

from __future__ import annotations

import random
import time
import tracemalloc
from functools import cache

import pytest
from fuzz.targets import SEEDS, TARGETS

N_CHANGED = 4000
#: Seconds of the processor for one input of at most 64 KiB, on a slow machine.
MOST_SECONDS = 4.0
MOST_BYTES = 64 << 20
BYTES = (0, 1, 2, 4, 7, 8, 16, 24, 32, 0x7F, 0x80, 0xFE, 0xFF)


@cache
def seeds(name: str) -> list[bytes]:
    return SEEDS[name]()


def changed(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`data` with some bytes other ones, parts missing, doubled, or of other inputs."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not out:
            return bytes(out)
        at = chance.randrange(len(out))
        what = chance.randrange(7)
        if what < 3:
            out[at] = chance.choice(BYTES)
        elif what == 3:
            out[at] ^= 1 << chance.randrange(8)
        elif what == 4:
            del out[at : at + chance.choice([1, 4, 8, 16])]
        elif what == 5:
            out[at:at] = out[at : at + chance.choice([1, 4, 8, 64])]
        else:
            other = chance.choice(others)
            out[at:] = other[min(at, len(other)) :]
    return bytes(out)


def long_inputs(name: str) -> list[bytes]:
    """Inputs of 64 KiB of what repeats."""
    found = [bytes(0xFFF0), b"\xff" * 0xFFF0, b"[" * 0xFFF0, b'{"a":' * 0x3000, b"," * 0xFFF0]
    for data in seeds(name)[:: max(1, len(seeds(name)) // 12)]:
        tail = data[len(data) // 2 :] or b"\0"
        found.append((data + tail * (0xFFF0 // len(tail)))[:0xFFF0])
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_changed_bytes_are_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    many = seeds(name)
    for _ in range(N_CHANGED if name != "database-file" else N_CHANGED // 4):
        data = changed(chance.choice(many), chance, many)
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"{name}: {data.hex()}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_long_inputs_take_little_time_and_memory(name: str) -> None:
    for data in long_inputs(name):
        start = time.process_time()
        TARGETS[name](data)
        assert time.process_time() - start < MOST_SECONDS, data[:64]
    tracemalloc.start()
    for data in long_inputs(name)[-4:]:
        tracemalloc.reset_peak()
        TARGETS[name](data)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES, data[:64]
    tracemalloc.stop()
