"""A data path as a process of its own: run inside a namespace, it forwards until its input ends.

usage: forwarder.py '{"ports": [["vif1", "system"], ...], "flows": [[FLOW, ACTIONS], ...]}'

Says "ready" when it forwards, and at the end one JSON object with its statistics.
"""

from __future__ import annotations

import json
import select
import sys

from netloom.base.clock import SystemClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.linux.factory import LinuxFactory


def main() -> None:
    setup = json.loads(sys.argv[1])
    factory, clock, counters = LinuxFactory(), SystemClock(), Counters()
    dpif = UserspaceDpif("netdev", "ovs-netdev", clock, counters)
    devices = [factory.open(name, type_, {}) for name, type_ in setup["ports"]]
    for device in devices:
        dpif.port_add(device)
        device.set_admin_up(True)
    for flow, actions in setup["flows"]:
        dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))
    print("ready", flush=True)
    poll = select.epoll()
    for fd in [*dpif.poll_fds(), *factory.poll_fds(), 0]:
        poll.register(fd, select.EPOLLIN)
    alive = True
    while alive:
        alive = all(fd for fd, _ in poll.poll())
        while dpif.run(clock.now_ms()):
            pass
        factory.changes()
        dpif.recv_upcalls(1_000_000)
    totals = {name: counters.counter(name).total for name in [c.name for c in counters.all()]}
    flows = [[flow.stats.packets, flow.stats.bytes] for flow in dpif.flow_dump()]
    ports = [vars_of(dpif.port_stats(port.number)) for port in dpif.ports()]
    stats = {"flows": flows, "drops": totals, "misses": dpif.stats().misses, "ports": ports}
    print(json.dumps(stats), flush=True)
    for device in devices:
        device.close()


def vars_of(stats: object) -> dict[str, int]:
    return {name: getattr(stats, name) for name in type(stats)._fields}  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
