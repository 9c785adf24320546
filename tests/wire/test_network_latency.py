"""The service's answers do not wait for acknowledgements."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

from tests.support.network_server import network_server

#: How long Linux delays an acknowledgement at least.
DELAYED_MS = 40


def test_answers_on_one_connection_come_without_the_delay_of_acknowledgements(
    tmp_path: Path,
) -> None:
    with network_server(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        client = http.client.HTTPConnection(host, int(port), timeout=60)
        took = []
        for _ in range(15):
            began = time.monotonic()
            client.request("GET", "/v2.0/networks")
            assert client.getresponse().read()
            took.append((time.monotonic() - began) * 1e3)
        client.close()
    # The kernel acknowledges the first packets of a connection at once. A busy machine delays some
    # answers; that delay would be in every one.
    assert min(took[5:]) < DELAYED_MS - 10
