"""What was written down comes in again: the same bytes, in the same order, on the same streams."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from netloom.base.errors import CommandError
from netloom.ovsdb.uuids import UuidSource
from netloom.transport.playback import PlayedStream, PlayedTrack, Player
from netloom.transport.recording import Recorder, file_name
from netloom.transport.sync_stream import Deadline

Heard = list[tuple[str, int, bytes]]


def listen_to(track: PlayedTrack, heard: Heard) -> None:
    track.handle = lambda length, data: heard.append((track.name, length, data))


def play(player: Player) -> None:
    player.run()
    while player.deadline() is not None:
        player.run()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("punix:db.sock", "replay_punix_db_sock"),
        ("unix#17", "replay_unix"),
        ("ptcp:0:127.0.0.1", "replay_ptcp"),
        ("punix:/run/a1/ovsdb-server.3.ctl", "replay_punix_run_a_ovsdb_server_ctl"),
        ("__uuid_generate", "replay__uuid_generate"),
    ],
)
def test_names_of_files_are_open_vswitchs(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_files_have_open_vswitchs_records(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    track = recorder.open("unix#1")
    track.came(b"abc")
    track.sent(7)
    track.came(b"")
    track.failed(errno.ECONNRESET)
    recorder.open("tcp:127.0.0.1:5", errno.ECONNREFUSED)
    records = struct.pack("=iiii3siiiiii", 1, 0, 2, 3, b"abc", -3, 7, 4, 0, 5, -errno.ECONNRESET)
    assert (tmp_path / "replay_unix_0").read_bytes() == records
    refused = struct.pack("=ii", 7, -errno.ECONNREFUSED)
    assert (tmp_path / "replay_tcp_6").read_bytes() == refused


def test_streams_are_heard_in_the_recorded_order(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    one, two = recorder.open("unix#1"), recorder.open("unix#2")
    one.came(b"1")
    two.came(b"2")
    one.sent(5)
    one.came(b"3")
    two.failed(errno.EPIPE)
    one.came(b"")
    player, heard = Player(str(tmp_path)), Heard()
    for name in ("unix#1", "unix#2"):
        listen_to(player.open(name), heard)
    player.run()
    # A turn ends with what goes out.
    assert heard == [("unix#1", 1, b"1"), ("unix#2", 1, b"2")]
    play(player)
    assert heard[2:] == [
        ("unix#1", 1, b"3"),
        ("unix#2", -errno.EPIPE, b""),
        ("unix#1", 0, b""),
    ]


def test_what_came_later_waits_for_a_stream_that_is_not_connected_yet(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    one = recorder.open("unix#1")
    one.came(b"1")
    recorder.open("tcp:127.0.0.1:6640").came(b"hello")
    one.came(b"2")
    player, heard = Player(str(tmp_path)), Heard()
    listen_to(player.open("unix#1"), heard)
    play(player)
    assert heard == [("unix#1", 1, b"1")]
    player.call("tcp:127.0.0.1:6640", lambda: listen_to(player.open("tcp:127.0.0.1:6640"), heard))
    play(player)
    assert heard[1:] == [("tcp:127.0.0.1:6640", 5, b"hello"), ("unix#1", 1, b"2")]


def test_what_was_closed_or_lost_holds_nobody_up(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    one, two = recorder.open("unix#1"), recorder.open("tcp:127.0.0.1:1")
    one.came(b"1")
    two.came(b"2")
    recorder.next_number()
    two.came(b"3")
    player, heard = Player(str(tmp_path)), Heard()
    player.open("unix#1").is_closed = True
    listen_to(player.open("tcp:127.0.0.1:1"), heard)
    play(player)
    assert [data for _, _, data in heard] == [b"2", b"3"]


def test_opening_fails_as_it_did(tmp_path: Path) -> None:
    Recorder(str(tmp_path)).open("ptcp:6640", errno.EADDRINUSE)
    player = Player(str(tmp_path))
    with pytest.raises(OSError, match="Address already in use"):
        player.open("ptcp:6640")
    with pytest.raises(FileNotFoundError):
        player.open("ptcp:6640")
    with pytest.raises(CommandError, match="cannot be read"):
        Player(str(tmp_path / "nowhere"))


def test_record_that_was_cut_short_is_the_end(tmp_path: Path) -> None:
    track = Recorder(str(tmp_path)).open("unix#1")
    track.came(b"whole")
    track.came(b"half")
    path = tmp_path / "replay_unix_0"
    path.write_bytes(path.read_bytes()[:-2])
    player, heard = Player(str(tmp_path)), Heard()
    listen_to(player.open("unix#1"), heard)
    play(player)
    assert heard == [("unix#1", 5, b"whole")]


def test_uuids_are_the_same_again(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    source = UuidSource(recorder.random)
    made = [source() for _ in range(300)]
    again = UuidSource(Player(str(tmp_path)).random)
    assert [again() for _ in range(300)] == made
    # Behind the end there are others.
    assert len({again() for _ in range(600)} - set(made)) == 600


def test_blocking_stream_is_read_from_its_file(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    track = recorder.open("unix:db.sock")
    for data in (b"1", b"2", b"3"):
        track.sent(4)
        track.came(data)
    stream = PlayedStream(Player(str(tmp_path)), "unix:db.sock")
    stream.send(b"anything", Deadline())
    assert stream.receive(Deadline()) == b"1"
    assert [stream.receive_ready() for _ in range(3)] == [b"2", b"3", None]
    assert stream.receive(Deadline()) == b""
    stream.close()
