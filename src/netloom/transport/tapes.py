"""The options `--record[=DIR]` and `--replay[=DIR]`, and streams of tools that do what they say.

They stand apart from what carries them out, which few runs need and tools would load for nothing.
"""

from __future__ import annotations

import errno

from netloom.base.getopt import OPTIONAL, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .playback import PlayedStream, Player
    from .recording import Recorder, Track
    from .sync_stream import Deadline, Stream
    from .sync_tls import TlsStream

TAPE_OPTIONS = (Option("record", OPTIONAL), Option("replay", OPTIONAL))

TAPE_HELP = """\
Replay options:
  --record[=DIR]            turn on writing replay files
  --replay[=DIR]            run from replay files
"""


class Tapes:
    """What the options ask for: at most one of a recorder and a player."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.player: Player | None = None

    def apply(self, option: str, value: str | None) -> bool:
        """Take one option of `TAPE_OPTIONS`; False if it is none of them. Raises `CommandError` if
        there is nothing to be played."""
        if option == "record":
            from .recording import Recorder, directory_of

            self.recorder, self.player = Recorder(directory_of(value)), None
            return True
        if option == "replay":
            from .playback import Player
            from .recording import directory_of

            self.recorder, self.player = None, Player(directory_of(value))
            return True
        return False

    @property
    def read_random(self) -> Callable[[int], bytes] | None:
        """Where random bytes for UUIDs come from; None for the system."""
        tape = self.recorder or self.player
        return tape.random if tape is not None else None

    def connect(
        self, name: str, make: Callable[[], Stream | TlsStream]
    ) -> Stream | TlsStream | RecordedStream | PlayedStream:
        """The stream `name`, which `make` connects if it is not recorded already; raises
        `OSError`."""
        if self.player is not None:
            from .playback import PlayedStream

            return PlayedStream(self.player, name)
        if self.recorder is None:
            return make()
        try:
            stream = make()
        except OSError as error:
            self.recorder.open(name, error.errno or errno.EPROTO)
            raise
        return RecordedStream(stream, self.recorder.open(name))


class RecordedStream:
    """A blocking stream whose input is written down."""

    def __init__(self, stream: Stream | TlsStream, track: Track) -> None:
        self.name = stream.name
        self._stream = stream
        self._track = track

    def fileno(self) -> int:
        return self._stream.fileno()

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As a stream's."""
        self._stream.send(data, deadline)
        self._track.sent(len(data))

    def receive(self, deadline: Deadline) -> bytes:
        """As a stream's."""
        return self._noted(lambda: self._stream.receive(deadline)) or b""

    def receive_ready(self) -> bytes | None:
        """As a stream's."""
        return self._noted(self._stream.receive_ready)

    def _noted(self, receive: Callable[[], bytes | None]) -> bytes | None:
        try:
            data = receive()
        except OSError as error:
            self._track.failed(error.errno or errno.EPROTO)
            raise
        if data is not None:
            self._track.came(data)
        return data

    def close(self) -> None:
        self._stream.close()
        self._track.close()
