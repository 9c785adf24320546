"""Every row of the table of messages, in every version that has it and either direction, with
messages whose bytes have that row's number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.support.message_corpus import PROTOCOLS, XID, Maker

from netloom.openflow.codec import encode_message
from netloom.openflow.message_table import ROWS, head, read_frame
from netloom.openflow.messages import FlowMod, Message


class Case(NamedTuple):
    """A row of the table in one version; of a multipart type, the requests or the replies."""

    name: str
    version: int
    is_reply: bool = False

    @property
    def class_name(self) -> str:
        row = ROWS[self.name]
        return row.reply if self.is_reply else row.request

    def __str__(self) -> str:
        direction = ("-reply" if self.is_reply else "-request") if ROWS[self.name].multipart else ""
        return f"{self.name}-1.{self.version - 1}{direction}"


CASES: tuple[Case, ...] = tuple(
    Case(row.name, version, is_reply)
    for row in ROWS.values()
    for version, number in enumerate(row.numbers, 1)
    if number is not None
    for is_reply in ((False, True) if row.multipart else (False,))
)

#: Rows that other rows of the same version say better: they are read, and never written. Each with
#: a version that writes it, with the same body.
READ_ONLY: dict[Case, int] = {
    **{Case("NXT_FLOW_MOD", version): 1 for version in range(2, 7)},
    **{Case("NXT_FLOW_REMOVED", version): 1 for version in range(2, 7)},
    **{Case("NXT_SET_ASYNC_CONFIG", version): 3 for version in range(4, 7)},
    **{Case("NXT_SET_ASYNC_CONFIG2", version): 4 for version in range(1, 4)},
}


class Sample(NamedTuple):
    """A message, its bytes, and the protocol that they are of."""

    message: Message
    data: bytes
    protocol: int


def written(case: Case, n_seeds: int) -> Iterator[Sample]:
    """Messages for which the encoder chooses the row of `case`."""
    for protocol in PROTOCOLS[case.version]:
        for seed in range(n_seeds):
            message = Maker(seed, case.version, protocol).make(case.class_name)
            data = encode_message(message, XID, protocol)
            frame = read_frame(data)
            if frame.row.name == case.name and frame.reply == case.is_reply:
                yield Sample(message, data, protocol)


def rewritten(case: Case, n_seeds: int) -> Iterator[Sample]:
    """Messages of a row that is only read, with the bodies that another version writes; `message`
    and `protocol` are those of there."""
    for sample in written(Case(case.name, READ_ONLY[case]), n_seeds):
        if isinstance(sample.message, FlowMod) and sample.message.actions:
            # The actions are instructions there.
            continue
        data = head(case.name, case.version) + sample.data[read_frame(sample.data).body :]
        data[2:4] = len(data).to_bytes(2, "big")
        data[4:8] = XID.to_bytes(4, "big")
        yield Sample(sample.message, bytes(data), sample.protocol)


def samples(case: Case, n_seeds: int) -> list[Sample]:
    """Messages with the row's number, whether it is written or only read."""
    return list((rewritten if case in READ_ONLY else written)(case, n_seeds))
