"""`ovs-ofctl add-flows` waits for the answer to each flow, whatever else the switch says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.base.log import vlog
from netloom.openflow.connection import Xids
from netloom.programs.ofctl import main
from netloom.programs.ofctl.options import Fatal, parse_arguments
from netloom.programs.ofctl.switch import Switch

BARRIER, ECHO_REQUEST, ECHO_REPLY, ERROR, FLOW_MOD = 20, 2, 3, 1, 14
#: Given a barrier and how many came before it: pieces to send, None to hang up.
Answer = Callable[[bytes, int], list[bytes] | None]


def reply_to(barrier: bytes) -> bytes:
    return b"\4\x15\0\x08" + barrier[4:8]


def message(kind: int, xid: bytes, body: bytes = b"") -> bytes:
    return bytes((4, kind)) + (8 + len(body)).to_bytes(2, "big") + xid + body


class OddSwitch:
    """Speaks OpenFlow 1.3 to one client after another; `answer` says how barriers are answered."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.answer = answer
        self.flow_mods = 0
        self.echoes = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        client.sendall(bytes((4, 0, 0, 8, 0, 0, 0, 1)))
        buffer, barriers = b"", 0
        while data := client.recv(65_536):
            buffer += data
            while len(buffer) >= 8 and len(buffer) >= (size := int.from_bytes(buffer[2:4], "big")):
                one, buffer = buffer[:size], buffer[size:]
                self.flow_mods += one[1] == FLOW_MOD
                self.echoes += one[1] == ECHO_REPLY
                if one[1] != BARRIER:
                    continue
                pieces = self.answer(one, barriers)
                barriers += 1
                if pieces is None:
                    return
                for piece in pieces:
                    client.sendall(piece)


@pytest.fixture
def add_flows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[Answer], tuple[int, str, OddSwitch]]]:
    flows = tmp_path / "flows"
    lines = [f"tcp,nw_dst=10.0.0.{number},actions=output:2\n" for number in range(100)]
    flows.write_text("".join(lines))
    switches = []

    def run(answer: Answer) -> tuple[int, str, OddSwitch]:
        switch = OddSwitch(tmp_path / "switch", answer)
        switches.append(switch)
        argv = ["ovs-ofctl", "-O", "OpenFlow13", "--no-names", "add-flows"]
        status = main([*argv, f"unix:{switch.path}", str(flows)])
        return status, capsys.readouterr().err, switch

    yield run
    for switch in switches:
        switch.close()


def test_all_flows_are_added(add_flows) -> None:
    status, errors, switch = add_flows(lambda barrier, number: [reply_to(barrier)])
    assert (status, errors, switch.flow_mods) == (0, "", 100)


def test_answers_may_come_in_pieces_and_with_other_messages(add_flows) -> None:
    def answer(barrier: bytes, number: int) -> list[bytes]:
        reply = reply_to(barrier)
        packet_in = message(10, bytes(4), bytes(40))
        choices = (
            [reply], [reply[:3], reply[3:]], [packet_in, reply], [packet_in + reply],
            [reply + packet_in], [message(22, bytes(4)), reply],
        )  # fmt: skip
        return choices[number % len(choices)]

    status, errors, switch = add_flows(answer)
    assert (status, errors, switch.flow_mods) == (0, "", 100)


@pytest.mark.parametrize("together", [False, True])
def test_no_flow_follows_one_that_is_refused(add_flows, together: bool) -> None:
    def answer(barrier: bytes, number: int) -> list[bytes]:
        if number != 50:
            return [reply_to(barrier)]
        before = (int.from_bytes(barrier[4:8], "big") - 1).to_bytes(4, "big")
        refusal = message(ERROR, before, b"\0\5\0\1" + bytes(8))
        return [refusal + reply_to(barrier)] if together else [refusal, reply_to(barrier)]

    status, errors, switch = add_flows(answer)
    assert status == 1
    assert errors.startswith("OFPT_ERROR (OF1.3) (xid=0x")
    assert "OFPFMFC_TABLE_FULL" in errors
    assert switch.flow_mods == 51


def test_a_switch_that_hangs_up_is_named(add_flows) -> None:
    status, errors, switch = add_flows(
        lambda barrier, number: [reply_to(barrier)] if number < 7 else None
    )
    assert (status, switch.flow_mods) == (1, 8)
    assert errors == "ovs-ofctl: OpenFlow receive failed (End of file)\n"


def test_another_answer_than_that_to_a_barrier_ends_it(add_flows) -> None:
    status, errors, _ = add_flows(lambda barrier, number: [message(25, barrier[4:8], bytes(16))])
    assert (status, errors) == (1, "ovs-ofctl: unexpected reply to barrier request\n")


@pytest.mark.parametrize("refused", [False, True])
def test_what_is_wrong_with_a_flow_is_said_before_what_is_wrong_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: bool
) -> None:
    def answer(barrier: bytes, number: int) -> list[bytes]:
        before = (int.from_bytes(barrier[4:8], "big") - 1).to_bytes(4, "big")
        refusal = message(ERROR, before, b"\0\5\0\1" + bytes(8))
        return [refusal, reply_to(barrier)] if refused else [reply_to(barrier)]

    def requests(switch: Switch) -> Iterator[bytes]:
        yield message(FLOW_MOD, switch.connection.new_xid().to_bytes(4, "big"), bytes(48))
        raise Fatal("no bytes for the second")

    odd = OddSwitch(tmp_path / "switch", answer)
    args = parse_arguments(["ovs-ofctl", "-O", "OpenFlow13", "probe", "x"], vlog)
    switch = Switch(f"unix:{odd.path}", args, Xids())
    with pytest.raises(Fatal) as raised:
        switch.must_change_each(requests(switch))
    switch.close()
    odd.close()
    assert odd.flow_mods == 1
    assert str(raised.value) == ("" if refused else "no bytes for the second")
    assert ("OFPFMFC_TABLE_FULL" in capsys.readouterr().err) == refused
