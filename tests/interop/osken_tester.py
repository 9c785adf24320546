"""Runs os-ken's switch test tool against a switch: `osken_tester.py DIRECTORY VERSION PORT`.

The tool is a controller of two bridges: one is tested, the other sends packets into it and reports
what comes out. It prints a line for each pattern; the program ends with the tool. `INTERVAL` is the
pause between patterns, which this switch needs none of.
"""

from __future__ import annotations

import importlib
import os
import sys

INTERVAL = os.environ.get("OSKEN_INTERVAL", "0")
TARGET_DPID = "0000000000000001"
TESTER_DPID = "0000000000000002"


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
        "interval": INTERVAL,
    }
    words = [f"--test-switch-{name}={value}" for name, value in options.items()]
    words += ["--ofp-listen-host=127.0.0.1", f"--ofp-tcp-listen-port={port}"]
    cfg.CONF(args=words, project="os_ken")
    log.init_log()
    apps = ["os_ken.tests.switch.tester", "os_ken.controller.ofp_handler"]
    manager.AppManager.run_apps(apps)


if __name__ == "__main__":
    main(*sys.argv[1:])
