"""Named limits that more than one package shares, each with its reason."""

from __future__ import annotations

#: Bytes of one read from a stream. asyncio's default of 256 KiB costs 16 us a read (a fresh
#: mapping each time); 64 KiB costs 2 us (measured, Python 3.11).
READ_BYTES = 65_536

#: Bytes that may wait to be sent to one peer before it is told to slow down or is cut off: a
#: monitor that stopped reading must not take the daemon's memory with it.
SEND_BACKLOG_BYTES = 64 * 1024 * 1024

#: Nesting of arrays and objects in JSON. OVSDB's own messages need fewer than 10 levels; Open
#: vSwitch's parser refuses more than 1,000.
JSON_DEPTH = 1_000

#: Bytes of one JSON-RPC message: a database of some hundred thousand rows fits in a reply.
JSON_MESSAGE_BYTES = 512 * 1024 * 1024
