"""An os-ken application that tries what a controller does, and prints what came back as JSON.

`osken_controller.py VERSION PORT`: VERSION is the wire version. It ends when all has been tried.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def make_application(version: int) -> Any:
    """The application's class; os-ken must be imported after its hub was chosen."""
    base = importlib.import_module("os_ken.base.app_manager")
    events = importlib.import_module("os_ken.controller.ofp_event")
    handler = importlib.import_module("os_ken.controller.handler")
    hub = importlib.import_module("os_ken.lib.hub")

    class Tries(base.OSKenApp):  # type: ignore[misc,name-defined]
        """Sends one thing after the other; each answer is noted under its class."""

        OFP_VERSIONS = (version,)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.seen: dict[str, Any] = {"errors": []}
            self.barriers = 0

        @handler.set_ev_cls(events.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
        def features(self, event: Any) -> None:
            self.seen["version"] = event.msg.version
            self.seen["dpid"] = event.msg.datapath_id
            hub.spawn_after(0.1, _send_all, event.msg.datapath)

    answers = {
        "EventOFPErrorMsg": _error,
        "EventOFPPacketIn": _packet_in,
        "EventOFPFlowRemoved": _removed,
        # OpenFlow 1.5 calls what flows and meters are their descriptions.
        "EventOFPFlowStatsReply": _flows,
        "EventOFPFlowDescStatsReply": _flows,
        "EventOFPMeterConfigStatsReply": _meters,
        "EventOFPMeterDescStatsReply": _meters,
        "EventOFPGroupDescStatsReply": _groups,
        "EventOFPPortDescStatsReply": _ports,
        "EventOFPRoleReply": _role,
        "EventOFPBarrierReply": _barrier,
    }
    for name, answer in answers.items():
        if hasattr(events, name):
            listen = handler.set_ev_cls(getattr(events, name), handler.MAIN_DISPATCHER)
            setattr(Tries, name, listen(answer))
    return Tries


def _error(app: Any, event: Any) -> None:
    found = [event.msg.type, event.msg.code]
    if app.barriers:
        app.seen["refused"] = found
    else:
        app.seen["errors"].append(found)


def _packet_in(app: Any, event: Any) -> None:
    app.seen["packet_in"] = bytes(event.msg.data).hex()


def _removed(app: Any, event: Any) -> None:
    app.seen["removed"] = [event.msg.priority, event.msg.reason]


def _flows(app: Any, event: Any) -> None:
    app.seen["flows"] = sorted(flow.priority for flow in event.msg.body)


def _groups(app: Any, event: Any) -> None:
    app.seen["groups"] = [(group.group_id, len(group.buckets)) for group in event.msg.body]


def _meters(app: Any, event: Any) -> None:
    app.seen["meters"] = [meter.meter_id for meter in event.msg.body]


def _ports(app: Any, event: Any) -> None:
    app.seen["ports"] = sorted(port.name.decode().rstrip("\0") for port in event.msg.body)


def _role(app: Any, event: Any) -> None:
    app.seen["role"] = [event.msg.role, event.msg.generation_id]


def _barrier(app: Any, event: Any) -> None:
    app.barriers += 1
    datapath = event.msg.datapath
    ofp, parser = datapath.ofproto, datapath.ofproto_parser
    if app.barriers == 1:
        datapath.send_msg(parser.OFPRoleRequest(datapath, ofp.OFPCR_ROLE_MASTER, generation_id=7))
        # A generation id that is older is stale.
        datapath.send_msg(parser.OFPRoleRequest(datapath, ofp.OFPCR_ROLE_SLAVE, generation_id=6))
        datapath.send_msg(parser.OFPBarrierRequest(datapath))
        return
    print(json.dumps(app.seen), flush=True)
    os._exit(0)


def _send_all(datapath: Any) -> None:
    ofp, parser = datapath.ofproto, datapath.ofproto_parser
    output = parser.OFPActionOutput(ofp.OFPP_CONTROLLER, 0xFFFF)
    apply = parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, [output])
    bucket = parser.OFPBucket(actions=[parser.OFPActionOutput(2)])
    drop = parser.OFPMeterBandDrop(100, 10)
    for priority in (1, 2):
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath, priority=priority, match=parser.OFPMatch(in_port=priority),
                instructions=[apply], flags=ofp.OFPFF_SEND_FLOW_REM,
            )
        )  # fmt: skip
    datapath.send_msg(
        parser.OFPGroupMod(datapath, ofp.OFPGC_ADD, ofp.OFPGT_INDIRECT, 7, buckets=[bucket])
    )
    datapath.send_msg(parser.OFPMeterMod(datapath, ofp.OFPMC_ADD, ofp.OFPMF_KBPS, 5, [drop]))
    datapath.send_msg(
        parser.OFPFlowMod(
            datapath, command=ofp.OFPFC_DELETE_STRICT, priority=2,
            match=parser.OFPMatch(in_port=2), out_port=ofp.OFPP_ANY, out_group=ofp.OFPG_ANY,
        )
    )  # fmt: skip
    _ask(datapath, ofp, parser)


def _ask(datapath: Any, ofp: Any, parser: Any) -> None:
    if ofp.OFP_VERSION < 6:
        datapath.send_msg(parser.OFPFlowStatsRequest(datapath))
        datapath.send_msg(parser.OFPMeterConfigStatsRequest(datapath, 0, ofp.OFPM_ALL))
    else:
        datapath.send_msg(parser.OFPFlowDescStatsRequest(datapath))
        datapath.send_msg(parser.OFPMeterDescStatsRequest(datapath, 0, ofp.OFPM_ALL))
    datapath.send_msg(parser.OFPGroupDescStatsRequest(datapath, 0))
    datapath.send_msg(parser.OFPPortDescStatsRequest(datapath, 0))
    where: dict[str, Any] = {"in_port": ofp.OFPP_CONTROLLER}
    if ofp.OFP_VERSION >= 6:
        where = {"match": parser.OFPMatch(in_port=ofp.OFPP_CONTROLLER)}
    datapath.send_msg(
        parser.OFPPacketOut(
            datapath, buffer_id=ofp.OFP_NO_BUFFER, data=bytes(range(64)),
            actions=[parser.OFPActionOutput(ofp.OFPP_CONTROLLER, 0xFFFF)], **where,
        )
    )  # fmt: skip
    datapath.send_msg(parser.OFPBarrierRequest(datapath))


def main(version: str, port: str) -> None:
    """Listen on the port until the switch has answered everything."""
    os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet")
    hub = importlib.import_module("os_ken.lib.hub")
    hub.patch(thread=False)
    cfg = importlib.import_module("os_ken.cfg")
    importlib.import_module("os_ken.flags")
    importlib.import_module("os_ken.log")
    manager = importlib.import_module("os_ken.base.app_manager")
    importlib.import_module("os_ken.controller.controller")
    words = ["--ofp-listen-host=127.0.0.1", f"--ofp-tcp-listen-port={port}"]
    cfg.CONF(args=words, project="os_ken")
    protocol = importlib.import_module("os_ken.ofproto.ofproto_protocol")
    protocol.set_app_supported_versions([int(version)])
    running = manager.AppManager.get_instance()
    handlers = importlib.import_module("os_ken.controller.ofp_handler")
    applications = [make_application(int(version)), handlers.OFPHandler]
    services = [running.instantiate(application) for application in applications]
    threads = [service.start() for service in services]
    hub.joinall([thread for thread in threads if thread is not None])


if __name__ == "__main__":
    main(*sys.argv[1:])
