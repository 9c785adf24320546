"""The daemons' JSON codec: msgspec, several times as fast as the standard library to use and 20 ms
slower to import. A value may hold `msgspec.Raw`: bytes that are JSON already."""

from __future__ import annotations

from typing import Any

import msgspec

from .json_codec import JsonError, refuse_nulls


class FastJson:
    """A `netloom.rpc.json_codec.Codec`."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder()
        self._encoder = msgspec.json.Encoder()

    def encode(self, value: object) -> bytes:
        return self._encoder.encode(value)

    def decode(self, data: bytes) -> Any:
        refuse_nulls(data)
        try:
            return self._decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise JsonError(data, str(error)) from None
        except RecursionError:
            raise JsonError(data, "nested too deeply") from None
