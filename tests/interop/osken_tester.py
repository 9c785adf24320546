"""Runs os-ken's switch test tool against a switch: `osken_tester.py DIRECTORY VERSION PORT`.

The tool is a controller of two bridges: one is tested, the other sends packets into it and reports
what comes out. It prints a line for each pattern; the program ends with the tool. The environment
variable OSKEN_PAUSE is the pause, in seconds, between flow mods and packets, which a switch whose
barriers hold for its caches needs none of; OSKEN_WAIT how long to wait for a packet.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

PAUSE_S = float(os.environ.get("OSKEN_PAUSE", "0"))
WAIT_S = float(os.environ.get("OSKEN_WAIT", "3"))
TARGET_DPID = "0000000000000001"
TESTER_DPID = "0000000000000002"


def _hurry(tester: Any, hub: Any) -> None:
    """Wait as told instead of as long as a slow switch may need."""
    tester.INTERVAL = max(PAUSE_S, 0.01)
    tester.WAIT_TIMER = WAIT_S
    send = tester.OfTester._one_time_packet_send

    def send_after_pause(self: Any, packet: Any) -> Any:
        if PAUSE_S:
            hub.sleep(PAUSE_S)
        return send(self, packet)

    tester.OfTester._one_time_packet_send = send_after_pause


def main(directory: str, version: str, port: str) -> None:
    """Run the patterns in `directory` with OpenFlow `version` ("openflow13")."""
    os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet")
    hub = importlib.import_module("os_ken.lib.hub")
    hub.patch(thread=False)
    cfg = importlib.import_module("os_ken.cfg")
    importlib.import_module("os_ken.flags")
    log = importlib.import_module("os_ken.log")
    manager = importlib.import_module("os_ken.base.app_manager")
    importlib.import_module("os_ken.controller.controller")
    options = {
        "dir": directory,
        "target": TARGET_DPID,
        "tester": TESTER_DPID,
        "target-version": version,
        "tester-version": version,
        "interval": "0",
    }
    words = [f"--test-switch-{name}={value}" for name, value in options.items()]
    words += ["--ofp-listen-host=127.0.0.1", f"--ofp-tcp-listen-port={port}"]
    cfg.CONF(args=words, project="os_ken")
    log.init_log()
    _hurry(importlib.import_module("os_ken.tests.switch.tester"), hub)
    apps = ["os_ken.tests.switch.tester", "os_ken.controller.ofp_handler"]
    manager.AppManager.run_apps(apps)


if __name__ == "__main__":
    main(*sys.argv[1:])
