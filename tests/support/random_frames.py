"""Random worlds with the frames that come in."""

from __future__ import annotations

import random

from random_packets import Packets
from tests.support.random_world import World


def world_of(seed: int, n_traces: int = 25, n_frames: int = 25) -> list[str]:
    """All lines of a world."""
    world = World(seed)
    lines = world.lines(n_traces)
    packets = Packets(world.rng)
    received: list[str] = []
    while len(received) < n_frames:
        device = world.rng.choice(world.devices)
        received += [f"receive {device} {frame.hex()}" for frame in packets.some()]
    # Traces before any frame, between frames and after them are three things.
    if random.Random(seed).random() < 0.5:
        return lines + received
    steps = [line for line in lines if line.startswith(("trace ", "packet-out "))]
    world.rng.shuffle(mixed := steps + received)
    return [line for line in lines if line not in set(steps)] + mixed
