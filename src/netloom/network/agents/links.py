"""An agent's connections to its switch: the database and the OpenFlow socket of each bridge.

Both are machines (`ovsdb.idl`, `openflow.connection`) on Unix sockets. A connection that ends is
made again; whoever depends on what the other side remembered hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from netloom.base.errors import NetloomError, ProtocolError
from netloom.base.log import get_logger
from netloom.network.agents.flow import COOKIE, Flow, Flows, Key, changes, delete_text
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow.connection import Connection, Received, Refused
from netloom.openflow.flow_encoder import FlowEncoder
from netloom.openflow.flow_text import parse_flow_mod
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import INCOMPLETE, SUCCESS, UNCHANGED, Transaction
from netloom.rpc.fast_json import FastJson
from netloom.rpc.jsonrpc import JsonRpc, Request, format_message

log = get_logger("network_agent")
READ_BYTES = 65536
RETRY_S = 0.3
ANSWER_S = 30.0
#: Messages between two looks at whether the switch keeps up.
DRAIN_EACH = 256
OPENFLOW_14 = 5
ADD, DELETE, DELETE_STRICT = 0, 3, 4
_FLAGS = b.OFPBF_ATOMIC | b.OFPBF_ORDERED
_OPEN, _COMMIT = 0, 4


class SwitchFailed(NetloomError):
    """The switch is not there, or refused what it was asked; try again."""


class DatabaseLink:
    """Keeps a replica of the switch's database in step; `on_change` after each change of it."""

    def __init__(self, path: str, idl: Idl, on_change: Callable[[], None]) -> None:
        self.idl = idl
        self._path = path
        self._on_change = on_change
        self._rpc: JsonRpc | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answered = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        while True:
            with suppress(OSError):
                await self._session()
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        self._rpc, self._writer = JsonRpc(FastJson()), writer
        self.idl.connected()
        try:
            self._push()
            while data := await reader.read(READ_BYTES):
                self._rpc.receive_data(data)
                while (message := self._rpc.next_event()) is not None:
                    self.idl.receive(format_message(message))
                self._push()
                self._answered.set()
                if self.idl.synced:
                    self._on_change()
        except ProtocolError as error:
            log.warn_rl("%s: %s", self._path, error)
        finally:
            self._rpc = self._writer = None
            self.idl.disconnected()
            self._answered.set()
            writer.close()

    def _push(self) -> None:
        if self._rpc is None or self._writer is None:
            return
        for message in self.idl.take_messages():
            self._rpc.send(Request(message["method"], message["params"], message["id"]))
        self._writer.write(self._rpc.data_to_send())

    async def commit(self, transaction: Transaction) -> None:
        """Send the transaction and wait for its end; `SwitchFailed` unless it succeeds."""
        status = transaction.commit()
        self._push()
        async with asyncio.timeout(ANSWER_S):
            while transaction.status == INCOMPLETE:
                self._answered.clear()
                await self._answered.wait()
        status = transaction.status
        if status not in (SUCCESS, UNCHANGED):
            raise SwitchFailed(f"the database: {transaction.error or status}")


class FlowLink:
    """The flows of one bridge: knows what is in, changes the difference, all at once.

    When the connection ends, the switch may have forgotten everything: what is in is unknown then,
    and the next `apply` replaces all.
    """

    def __init__(self, path: str, on_lost: Callable[[], None]) -> None:
        self._path = path
        self._on_lost = on_lost
        self._machine: Connection | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._installed: dict[Key, Flow] | None = None
        self._errors: list[str] = []
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._bundle = 0
        #: How often the bridge was given all of its flows.
        self.n_fills = 0

    async def apply(self, wanted: Flows) -> int:
        """Make the bridge's flows those; how many changes that took."""
        if self._machine is None:
            await self._connect()
        texts: list[tuple[int, str]]
        if self._installed is None:
            # What no agent put there (cookie 0: a bridge's first NORMAL) goes as well.
            texts = [(DELETE, f"cookie={cookie:#x}/-1") for cookie in (COOKIE, 0)]
            new = list(wanted.values())
        else:
            gone, new = changes(self._installed, wanted)
            texts = [(DELETE_STRICT, delete_text(key)) for key in gone]
        texts += [(ADD, flow.add_text()) for flow in new]
        is_fill = self._installed is None
        if texts:
            await self._send(texts)
        self._installed = dict(wanted)
        self.n_fills += is_fill
        return len(texts)

    def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _connect(self) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise SwitchFailed(f"{self._path}: {error.strerror}") from None
        machine = Connection(self._path, (OPENFLOW_14,))
        self._machine, self._writer, self._installed = machine, writer, None
        ready = asyncio.get_running_loop().create_future()
        self._waiting[-1] = ready
        self._task = asyncio.create_task(self._read(machine, reader, writer))
        writer.write(machine.data_to_send())
        async with asyncio.timeout(ANSWER_S):
            await ready

    async def _read(
        self, machine: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        reason = "the connection ended"
        try:
            while data := await reader.read(READ_BYTES):
                machine.receive_data(data)
                while (event := machine.next_event()) is not None:
                    self._take(event)
                writer.write(machine.data_to_send())
        except (OSError, ProtocolError) as error:
            reason = str(error)
        finally:
            writer.close()
            if self._machine is machine:
                self._machine = self._writer = self._installed = None
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(SwitchFailed(f"{self._path}: {reason}"))
                self._waiting.clear()
                self._on_lost()

    def _take(self, event: object) -> None:
        key = -1
        if isinstance(event, (Received, Refused)):
            key = event.xid
            if isinstance(event, Received) and isinstance(event.message, m.Error):
                self._errors.append(event.message.name or f"error {event.message.type}")
        future = self._waiting.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)

    async def _send(self, texts: Sequence[tuple[int, str]]) -> None:
        machine, writer = self._machine, self._writer
        if machine is None or writer is None:
            raise SwitchFailed(f"{self._path}: not connected")
        self._bundle, self._errors = self._bundle + 1, []
        encoder = FlowEncoder(machine.protocol)
        machine.send(b.BundleControl(self._bundle, _OPEN, _FLAGS))
        for count, (command, text) in enumerate(texts, 1):
            xid = machine.new_xid()
            data = encoder.encode(parse_flow_mod(text, command)[0], xid)
            machine.send(b.BundleAdd(self._bundle, _FLAGS, data), xid)
            if count % DRAIN_EACH == 0:
                writer.write(machine.data_to_send())
                await writer.drain()
        done = asyncio.get_running_loop().create_future()
        self._waiting[machine.send(b.BundleControl(self._bundle, _COMMIT, _FLAGS))] = done
        writer.write(machine.data_to_send())
        async with asyncio.timeout(ANSWER_S):
            await done
        if self._errors:
            self._installed = None
            raise SwitchFailed(f"{self._path}: flows refused: {', '.join(self._errors[:3])}")
