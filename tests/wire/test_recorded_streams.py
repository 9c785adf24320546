"""What came in over sockets comes in again without any."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.wire.test_streams import Client, EchoServer, run_until

from netloom.rpc.jsonrpc import Reply
from netloom.transport.driver import EOF
from netloom.transport.loop import MainLoop
from netloom.transport.playback import Player
from netloom.transport.recording import Recorder


class Life:
    """A server that talks to itself, and to one who refuses, and finds a place taken."""

    def __init__(self, loop: MainLoop, folder: Path) -> None:
        self.loop = loop
        self.server = EchoServer(loop, f"punix:{folder}/s")
        with pytest.raises(OSError) as caught:
            EchoServer(loop, f"punix:{folder}")
        self.error = caught.value.errno
        self.client = Client(loop, f"unix:{folder}/s")
        self.refused = Client(loop, f"unix:{folder}/nobody")

    def live(self) -> None:
        run_until(self.loop, lambda: self.client.events and self.refused.kept.last_error)

    def heard(self) -> list[object]:
        return [
            self.error,
            self.client.events,
            self.client.losses,
            self.server.closed,
            self.refused.kept.last_error,
        ]


def test_streams_say_again_what_they_said(tmp_path: Path) -> None:
    tapes, folder = tmp_path / "tapes", tmp_path / "run"
    tapes.mkdir()
    folder.mkdir()
    loop = MainLoop(recorder=Recorder(str(tapes)))
    life = Life(loop, folder)
    life.live()
    life.server.connections[0].abort()
    run_until(loop, lambda: life.client.losses)
    assert life.heard() == [
        errno.EADDRINUSE,
        [Reply(["unix#1", 1], 0)],
        [EOF],
        [0],
        errno.ENOENT,
    ]
    loop.close()
    assert not list(folder.glob("*.sock"))
    (folder / "s").unlink(missing_ok=True)
    again = MainLoop(player=Player(str(tapes)))
    played = Life(again, folder)
    played.live()
    run_until(again, lambda: played.client.losses)
    assert not (folder / "s").exists()
    # Its own end of the first connection is not closed this time: nobody asked for that.
    assert played.heard() == [*life.heard()[:3], [], errno.ENOENT]
    again.close()
