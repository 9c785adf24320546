"""Frames over a stream, whole and in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.netdev.frame_stream import LONGEST, FrameStream


def frames_of(stream: FrameStream) -> list[bytes]:
    found = []
    while (frame := stream.next_event()) is not None:
        found.append(frame)
    return found


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_frames_come_back_whole_however_they_are_cut(frames: list[bytes]) -> None:
    sender, whole, pieces = FrameStream(), FrameStream(), FrameStream()
    for frame in frames:
        sender.send(frame)
    data = sender.data_to_send()
    assert sender.data_to_send() == b""
    whole.receive_data(data)
    for at in range(len(data)):
        pieces.receive_data(data[at : at + 1])
    assert frames_of(whole) == frames_of(pieces) == frames


@given(st.binary())
def test_any_bytes_are_frames(data: bytes) -> None:
    stream = FrameStream()
    stream.receive_data(data)
    assert sum(2 + len(frame) for frame in frames_of(stream)) <= len(data)


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    stream = FrameStream()
    stream.send(bytes(LONGEST + 1))
    assert stream.data_to_send() == b""
    assert stream.deadline() is None
