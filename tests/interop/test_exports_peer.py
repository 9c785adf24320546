"""What Debian's switch and ours send to collectors of NetFlow, sFlow and IPFIX: the same datagrams
for the same packets and settings, less times and numbers of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.export_decoders import (
    CollectorSocket,
    IpfixReader,
    decode_netflow,
    decode_sflow,
)
from tests.support.peer_pair import PeerPair, peer_pair, stop_time
from tests.support.peer_switch import REAL_TUNNELS, PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

ICMP, TCP, UDP, OTHER = ",icmp(type=8,code=3)", ",tcp(src=%d,dst=80)", ",udp(src=%d,dst=9)", ""
_PROTOCOLS = {ICMP: 1, TCP: 6, UDP: 17, OTHER: 99}
ARP = (
    "in_port(2),eth(src=50:54:00:00:00:07,dst=50:54:00:00:00:05),eth_type(0x8100),"
    "vlan(vid=9,pcp=3),encap(eth_type(0x0806),arp(sip=1.1.1.1,tip=1.1.1.2,op=1))"
)
IPV6 = (
    "in_port(2),eth(src=50:54:00:00:00:07,dst=50:54:00:00:00:05),eth_type(0x86dd),"
    "ipv6(src=fe80::1,dst=fe80::2,label=0x123,proto=17,tclass=0x70,hlimit=128,frag=no),"
    "udp(src=1,dst=2)"
)
LABELLED = (
    "in_port(%d),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x8847),"
    "mpls(label=100,tc=0,ttl=64,bos=1)"
)
#: Numbers of elements of IPFIX: times, the number of the exporter among those of a process.
_TIMES = frozenset({158, 159, 144})
#: Counters of packets that were dropped: in user space Open vSwitch counts each packet whose flow
#: was made for another one.
_DROPS = frozenset({132, 133, 134, 135})


def ip(kind: str, *, port: int = 1, source: int = 1, number: int = 7, mac: str = "07") -> str:
    """A packet for `netdev-dummy/receive`."""
    destination = mac if ":" in mac else f"50:54:00:00:00:{mac}"
    return (
        f"in_port({port}),eth(src=50:54:00:00:00:05,dst={destination}),eth_type(0x0800),"
        f"ipv4(src=192.168.0.{source},dst=192.168.0.2,proto={_PROTOCOLS[kind]},tos=7,ttl=64,"
        f"frag=no){kind % number if '%' in kind else kind}"
    )


def _prepare(switch: PeerSwitch) -> None:
    stop_time(switch)
    switch.run(
        "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
        "fail_mode=secure", "other_config:datapath-id=fedcba9876543210",
        "other_config:hwaddr=aa:55:aa:55:00:00", "--", "set", "interface", "br0",
        "options:ifindex=1002",
        *(word for n in (1, 2, 3) for word in (
            "--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}", "type=dummy",
            f"ofport_request={n}", f"options:ifindex={1002 + n}")),
    )  # fmt: skip


class Exporters:
    """Both switches, each with a collector of its own."""

    def __init__(self, pair: PeerPair) -> None:
        self.pair = pair
        self.collectors = {switch: CollectorSocket() for switch in pair}
        self._readers = {switch: IpfixReader() for switch in pair}

    def configure(self, *words: str) -> None:
        """Words of ovs-vsctl; TARGET is each one's collector."""
        for switch, collector in self.collectors.items():
            switch.run("ovs-vsctl", *(word.replace("TARGET", collector.target) for word in words))

    def export(self, table: str, *columns: str, bridge: str = "br0") -> None:
        self.configure(
            "set", "bridge", bridge, f"{table.lower()}=@x", "--", "--id=@x", "create", table,
            'targets="TARGET"', *columns,
        )  # fmt: skip

    def flow(self, *flows: str, bridge: str = "br0") -> None:
        for switch in self.pair:
            text = "\n".join(flows)
            switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-flows", bridge, "-", stdin=text)

    def packet(self, *packets: str, port: str = "p1") -> None:
        for text in packets:
            self.pair.control("netdev-dummy/receive", port, text)
            # Each answer is a turn of a daemon's main loop, which hands packets on.
            for _ in range(3):
                self.pair.control("version")

    def warp(self, ms: int, step_ms: int = 100) -> None:
        """Let time pass, and what flows have carried become known."""
        self.pair.warp(ms, step_ms)
        self.pair.control("revalidator/wait")

    def agree(self, read: Callable[[PeerSwitch, list[bytes]], list[str]], least: int) -> list[str]:
        """What both have sent, at least so many lines, each time a little later."""
        if not self._has(read, least):
            pytest.fail("too little was sent")
        return self.pair.agree_on(
            lambda switch: read(switch, self.collectors[switch].receive(0.05)),
            each_time=lambda: self.warp(1_000, 500),
        )

    def _has(self, read: Callable[[PeerSwitch, list[bytes]], list[str]], least: int) -> bool:
        def is_there() -> bool:
            self.warp(1_000, 500)
            return all(
                len(read(switch, collector.receive(0.05))) >= least
                for switch, collector in self.collectors.items()
            )

        return wait_until(is_there)

    def forget(self) -> None:
        """Look at what is sent from here on."""
        for collector in self.collectors.values():
            collector.receive(0.2)
            collector.datagrams.clear()

    def ipfix(self, switch: PeerSwitch, datagrams: list[bytes]) -> list[str]:
        """Templates and records, those of one flow in their order."""
        return _ipfix_lines(datagrams, _TIMES | _DROPS)


def _ipfix_lines(datagrams: list[bytes], masked: frozenset[int]) -> list[str]:
    reader, lines = IpfixReader(), []
    for data in datagrams:
        message = reader.read(data)
        where = f"domain {message['domain']}"
        lines += [f"{where} {number} {fields}" for number, fields in message["templates"].items()]
        for number, record in message["records"]:
            told = [
                f"{enterprise}/{field}={digits}"
                for enterprise, field, digits in record
                if enterprise or field not in masked
            ]
            lines.append(f"{where} {message['sequence']} {number} {' '.join(told)}")
    return lines


def _netflow_records(switch: PeerSwitch, datagrams: list[bytes]) -> list[str]:
    lines = []
    for data in datagrams:
        header = decode_netflow(data)
        engine = (header["engine_type"], header["engine_id"])
        lines += [f"{engine} {record}" for record in header["records"]]
    return sorted(lines)


def _sflow_samples(datagrams: list[bytes]) -> list[dict[str, Any]]:
    decoded = map(decode_sflow, datagrams)
    return [
        sample | {"agent": datagram["agent"], "sub_id": datagram["sub_id"]}
        for datagram in decoded
        for sample in datagram["samples"]
    ]


def _sflow_packets(switch: PeerSwitch, datagrams: list[bytes]) -> list[str]:
    """With the elements in their order on the wire."""
    return [str(sample) for sample in _sflow_samples(datagrams) if sample["form"] == 1]


def _sflow_counters(switch: PeerSwitch, datagrams: list[bytes]) -> list[str]:
    """The first counters of each source, less those of the process and of the data path."""
    found: dict[int, str] = {}
    for sample in _sflow_samples(datagrams):
        if sample["form"] == 2:
            for kind in {2203, 2207} & sample["elements"].keys():
                sample["elements"][kind] = {}
            found.setdefault(sample["source"], str(sample))
    return list(found.values())


@pytest.fixture
def exporters(tmp_path: Path) -> Iterator[Exporters]:
    with peer_pair(tmp_path, _prepare) as pair:
        yield Exporters(pair)


def test_netflow_tells_the_same_of_idle_and_of_active_flows(exporters: Exporters) -> None:
    exporters.flow(
        "priority=0,actions=NORMAL",
        *(f"in_port=2,udp,tp_src={n},actions={actions}" for n, actions in enumerate(
            ("drop", "1,3", "all", "in_port", "local,flood,1", "controller", "1"))),
    )  # fmt: skip
    exporters.export(
        "NetFlow", "active_timeout=5", "engine_id=3", "engine_type=4", "add_id_to_interface=true"
    )
    for n in range(7):
        exporters.packet(ip(UDP, port=2, number=n, source=3), port="p2")
    exporters.packet(ip(ICMP), ip(ICMP), ip(ICMP, mac="ff:ff:ff:ff:ff:ff", source=9))
    exporters.warp(2_000, 500)
    exporters.packet(ARP, IPV6, port="p2")
    for _ in range(8):
        exporters.packet(ip(TCP, number=1))
        exporters.warp(1_000)
    exporters.warp(15_000, 500)
    found = exporters.agree(_netflow_records, 10)
    assert any("'output': 2047" in line for line in found)


def test_default_engine_is_the_data_paths(exporters: Exporters) -> None:
    exporters.flow("actions=2")
    exporters.export("NetFlow", "active_timeout=1")
    exporters.packet(ip(UDP))
    assert exporters.agree(_netflow_records, 1)[0].startswith("(204, 62)")


def test_sflow_tells_the_same_of_packets_and_counters(exporters: Exporters) -> None:
    exporters.flow(
        "priority=0,actions=NORMAL", "in_port=2,udp,actions=mod_vlan_vid:7,1", "in_port=3,actions=",
        "tcp,in_port=1,actions=2,3",
    )  # fmt: skip
    exporters.export("sFlow", "header=60", "sampling=1", "polling=1", "agent=127.0.0.1")
    exporters.packet(ip(ICMP), ip(TCP))
    exporters.packet(ARP, ip(UDP, port=2), IPV6, port="p2")
    exporters.packet(ip(ICMP, port=3), port="p3")
    exporters.agree(_sflow_packets, 6)
    exporters.agree(_sflow_counters, 5)


def test_sflow_tells_labels_that_are_put_on(exporters: Exporters) -> None:
    exporters.flow(
        "in_port=1,ip,actions=push_mpls:0x8847,set_field:5->mpls_label,push_mpls:0x8847,"
        "set_field:6->mpls_label,2",
        "in_port=2,mpls,actions=pop_mpls:0x8847,1",
        "in_port=3,mpls,actions=set_field:9->mpls_label,1",
    )
    exporters.export("sFlow", "sampling=1", "polling=0", "agent=127.0.0.1")
    exporters.packet(ip(UDP))
    exporters.packet(LABELLED % 2, port="p2")
    exporters.packet(LABELLED % 3, port="p3")
    exporters.agree(_sflow_packets, 3)


def test_ipfix_tells_the_same_of_what_comes_and_leaves(exporters: Exporters) -> None:
    exporters.flow(
        "priority=0,actions=2", "in_port=2,actions=1,3",
        "priority=100,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=2,3",
    )  # fmt: skip
    exporters.export("IPFIX", "sampling=1", "obs_domain_id=7", "obs_point_id=9")
    exporters.packet(ip(ICMP), ip(TCP), ip(TCP), ip(UDP), ip(OTHER))
    exporters.packet(ip(UDP, mac="01:00:5e:00:00:01"), ip(ICMP, mac="ff:ff:ff:ff:ff:ff"))
    exporters.packet(ARP, IPV6, port="p2")
    exporters.agree(exporters.ipfix, 88 + 1 + 20)
    _agree_on_statistics(exporters)


def test_ipfix_counts_dropped_packets(exporters: Exporters) -> None:
    exporters.flow("priority=0,actions=2", "udp,actions=drop")
    exporters.export("IPFIX", "sampling=1")
    for _ in range(3):
        exporters.packet(ip(ICMP), ip(UDP))
    exporters.agree(lambda _, datagrams: _ipfix_lines(datagrams, _TIMES), 88 + 1 + 9)


def test_ipfix_keeps_flows_for_as_long(exporters: Exporters) -> None:
    exporters.flow("actions=2")
    exporters.export(
        "IPFIX", "sampling=1", "cache_active_timeout=100", "cache_max_flows=3", "obs_domain_id=5",
        "other_config:virtual_obs_id=hello",
    )  # fmt: skip
    for number in (1, 2, 3, 4, 5, 1, 1, 2):
        exporters.packet(ip(TCP, number=number), ip(TCP, number=number))
    exporters.agree(exporters.ipfix, 88)
    _agree_on_statistics(exporters)
    exporters.configure("set", "ipfix", ".", "cache_max_flows=1")
    _agree_on_statistics(exporters)
    exporters.configure("clear", "bridge", "br0", "ipfix")
    found = exporters.agree(exporters.ipfix, 88)
    # The reason why flows ended: too many, and told to.
    assert any(" 0/136=05 " in line for line in found)
    assert any(" 0/136=04 " in line for line in found)
    _agree_on_statistics(exporters)


def test_collector_sets_are_told_the_same(exporters: Exporters) -> None:
    exporters.configure(
        "--", "--id=@b", "get", "Bridge", "br0",
        *(word for n in (2, 1, 7) for word in (
            "--", f"--id=@i{n}", "create", "IPFIX", 'targets="TARGET"', "--", "create",
            "Flow_Sample_Collector_Set", f"id={n}", "bridge=@b", f"ipfix=@i{n}")),
    )  # fmt: skip
    common = "sample(probability=65535,collector_set_id"
    exporters.flow(
        f"udp,actions={common}=1,obs_domain_id=3,obs_point_id=4),2",
        f"tcp,actions={common}=2,obs_domain_id=3,obs_point_id=5,sampling_port=2,ingress),2",
        f"icmp,actions={common}=7,obs_domain_id=8,egress),{common}=8),mod_nw_ttl:9,"
        f"{common}=7,obs_domain_id=8,sampling_port=2),2",
        f"in_port=3,ip,actions={common}=1,sampling_port=77),2",
    )
    exporters.packet(ip(UDP), ip(TCP), ip(ICMP), ip(ICMP))
    exporters.agree(lambda *seen: sorted(exporters.ipfix(*seen)), 3 * 89 + 5)
    # Of two sets in one place of its hash table the peer has any first.
    exporters.pair.agree_on(lambda switch: sorted(_told(switch, "dump-ipfix-flow").splitlines()))
    _agree_on_statistics(exporters)


def test_samples_stand_where_the_peer_has_them(exporters: Exporters) -> None:
    """What data paths are told to do, of bridges that are patched to one another."""
    exporters.configure(
        "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=dummy", "fail_mode=secure",
        "--", "add-port", "br0", "pa", "--", "set", "interface", "pa", "type=patch",
        "options:peer=pb", "ofport_request=8", "--", "add-port", "br1", "pb", "--", "set",
        "interface", "pb", "type=patch", "options:peer=pa", "ofport_request=9",
    )  # fmt: skip
    exporters.flow("actions=in_port", bridge="br1")
    exporters.export("sFlow", "sampling=1", "agent=127.0.0.1")
    exporters.export("NetFlow")
    exporters.export("IPFIX", "sampling=3")
    exporters.export("IPFIX", "sampling=2", "other_config:enable-input-sampling=true",
                     bridge="br1")  # fmt: skip
    for actions in (
        "drop", "2", "8", "8,2", "1,2", "in_port", "controller", "clone(2),3", "ct(table=1)",
        "output(port=2,max_len=64)", "resubmit(,1)", "push_mpls:0x8847,set_field:5->mpls_label,2",
        "sample(probability=7,collector_set_id=3,sampling_port=2),2",
        "sample(probability=7,collector_set_id=3,sampling_port=1,egress),2",
        "sample(probability=7,collector_set_id=3,sampling_port=77),2",
    ):  # fmt: skip
        exporters.flow(f"udp,in_port=1,actions={actions}", "table=1,actions=2")
        for packet in ("udp,in_port=1", "udp,in_port=1,dl_vlan=5,dl_vlan_pcp=2"):
            exporters.pair.agree("ofproto/trace", "br0", packet)
    for switch in exporters.pair:
        switch.run("ovs-ofctl", "-O", "OpenFlow13", "add-meter", "br0",
                   "meter=slowpath,pktps,bands=type=drop,rate=2")  # fmt: skip
    assert "meter(0)" in exporters.pair.agree("ofproto/trace", "br0", "udp,in_port=1")


def test_targets_that_cannot_be_are_said_the_same(tmp_path: Path) -> None:
    with peer_pair(tmp_path, _prepare, REAL_TUNNELS) as pair:
        exporters = Exporters(pair)
        for table, target in (
            ("NetFlow", "127.0.0.1"), ("IPFIX", "1.2.3.4:99999"), ("sFlow", "1.2.3.4:99999"),
        ):  # fmt: skip
            column = table.lower()
            exporters.configure("set", "bridge", "br0", f"{column}=@x", "--", "--id=@x", "create",
                                table, f'targets="{target}"')  # fmt: skip
            exporters.configure("clear", "bridge", "br0", column)
        for agent in ((), ("agent=nodevice",), ("agent=127.0.0.1",)):
            exporters.export("sFlow", *agent)
        exporters.export("NetFlow", "add_id_to_interface=true", "engine_id=200")
        modules = ("socket_util", "collectors", "sflow", "ipfix")

        def logged(switch: PeerSwitch) -> list[str]:
            lines = (switch.directory / "1.err").read_text().splitlines()
            told = (line.split("|", 2)[2] for line in lines if line.count("|") >= 4)
            found = [line for line in told if line.split("|")[0] in modules or "NetFlow" in line]
            # Debian's switch says some things again whenever it looks at the configuration.
            return list(dict.fromkeys(found))

        assert "choose an engine id less than 128" in pair.agree_on(logged)[-1]


def _told(switch: PeerSwitch, command: str) -> str:
    done = switch.run("ovs-ofctl", command, "br0", check=False)
    return done.stdout + done.stderr


def _agree_on_statistics(exporters: Exporters) -> str:
    return exporters.pair.agree_on(lambda switch: _told(switch, "dump-ipfix-bridge"))


@pytest.fixture
def tunnels(tmp_path: Path) -> Iterator[Exporters]:
    """Tunnels on a bridge of their own, above br0."""
    with peer_pair(tmp_path, _prepare, REAL_TUNNELS) as pair:
        found = Exporters(pair)
        found.configure(
            "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy",
            "fail_mode=secure", "--", "add-port", "br-int", "v1", "--", "set", "interface", "v1",
            "type=dummy", "ofport_request=1", "options:ifindex=3001",
            *(word for number, (kind, key) in enumerate(
                (("gre", "123"), ("vxlan", "flow"), ("geneve", "7")), 5) for word in (
                "--", "add-port", "br-int", kind, "--", "set", "interface", kind, f"type={kind}",
                "options:remote_ip=1.1.2.92", f"options:key={key}", f"ofport_request={number}")),
        )  # fmt: skip
        pair.control("netdev-dummy/ip4addr", "br0", "1.1.2.88/24")
        pair.control("ovs/route/add", "1.1.2.92/24", "br0")
        pair.control("tnl/neigh/set", "br0", "1.1.2.92", "f8:bc:12:44:34:b6")
        found.flow("actions=normal")
        yield found


#: A datagram of VXLAN with key 77, and GRE with key 123, for br0.
_OUTER = "aa55aa550000f8bc124434b60800"
_INNER = "50540000000750540000000508004500001c000000004011f9d2c0a80001c0a800020001000200080000"
_VXLAN = (
    "4504004e00010000401173e50101025c0101025815b312b5003a00000800000000004d00" + _INNER
)  # fmt: skip
_GRE = "4504004600010000402f73cf0101025c01010258200065580000007b" + _INNER


def test_packets_of_tunnels_are_told_the_same(tunnels: Exporters) -> None:
    tunnels.flow(
        *(f"in_port=1,udp,tp_src={n},actions=set_tunnel:{300 + n},{n}" for n in (5, 6, 7)),
        *(f"in_port={n},actions=1" for n in (5, 6, 7)),
        bridge="br-int",
    )
    tunnels.export("sFlow", "sampling=1", "polling=0", "agent=127.0.0.1", bridge="br-int")
    packets = [ip(UDP, number=n) for n in (5, 6, 7)]
    tunnels.packet(*packets, port="v1")
    tunnels.packet(_OUTER + _VXLAN, _OUTER + _GRE)
    tunnels.agree(_sflow_packets, 5)
    tunnels.configure("clear", "bridge", "br-int", "sflow")
    tunnels.forget()
    tunnels.export("IPFIX", "sampling=1", bridge="br-int")
    tunnels.packet(*packets, port="v1")
    tunnels.packet(_OUTER + _VXLAN, _OUTER + _GRE)
    found = tunnels.agree(tunnels.ipfix, 88 + 1 + 7)
    # The tunnel's type and key.
    assert any("6876/891=01 6876/892=00004d" in line for line in found)
    assert any("6876/891=02 6876/892=0000007b" in line for line in found)
