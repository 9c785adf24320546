"""Every message of the table in every version that has it, sent to Debian's running switch and to
ours: both answer the same, also to such as only switches send, and to what chance made wrong.

Answers are compared as bytes. Where they cannot be the same (`VARYING`) their text is, less what
differs from run to run or by docs/reference/differences.md.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.controller_line import CLOSED, ControllerLine
from tests.support.field_corpus import LATE
from tests.support.message_cases import CASES, samples
from tests.support.message_corpus import PROTOCOLS, XID
from tests.support.message_mutations import mutate
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import PeerSwitch

from netloom.base.errors import ProtocolError
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g
from netloom.openflow import messages_meters as t
from netloom.openflow import messages_monitor as w
from netloom.openflow import messages_nx as n
from netloom.openflow import messages_tables as mt
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import MORE, is_multipart_type, read_headers
from netloom.openflow.message_text import Style, format_message

pytestmark = pytest.mark.interop

VERSIONS = range(1, 7)
N_SEEDS = 12
#: Of each message, how often it is made wrong.
N_WRONG = 8
BRIDGE = (
    "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure",
    "other-config:datapath-id=fedcba9876543210", "other-config:hwaddr=aa:55:aa:55:00:00",
    "protocols=" + ",".join(f"OpenFlow1{minor}" for minor in range(6)),
    *(word for number in (1, 2, 3) for word in (
        "--", "add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}",
        "type=dummy", f"ofport_request={number}")),
)  # fmt: skip
FLOWS = """\
table=0,priority=5,ip,nw_src=10.0.0.0/8,idle_timeout=60,send_flow_rem,actions=mod_nw_dst:1.2.3.4,1
table=0,priority=9,dl_vlan=7,cookie=0x33,actions=strip_vlan,NORMAL
table=0,in_port=2,tcp,tp_dst=80,importance=3,actions=set_field:5->reg0,resubmit(,1)
table=1,reg0=5,hard_timeout=900,check_overlap,actions=CONTROLLER:64,LOCAL
table=1,tun_metadata0=5,actions=group:2
table=2,cookie=5,actions=write_metadata:5/0xff,goto_table:3
table=3,udp6,actions=meter:1,learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:in_port)
"""
GROUPS = (
    "group_id=1,type=all,bucket=1,bucket=2",
    "group_id=2,type=select,selection_method=hash,fields(ip_src),bucket=weight:5,1,bucket=weight:3,2",
    "group_id=3,type=ff,bucket=watch_port:1,1,bucket=watch_port:2,2",
    "group_id=4,type=indirect,bucket=3",
)
FRAME = (
    "ffffffffffff0000000000010800"
    + "45000028000040004006000a0a000001010203041000005000"
    + "00" * 30
)
#: What is not asked, by the text of it: where Debian's is told to do what it cannot, or where it is
#: known to do something else (docs/reference/differences.md).
NOT_ASKED = (
    # Has it look for ever for the place of no bucket.
    r"GROUP_MOD.*\n INSERT_BUCKET (?!.*bucket=)",
    # Bands that it does not know.
    r"dscp_remark",
    # It takes these flags for whether flows are evicted.
    r"TABLE_MOD.*eviction=\*\*\*error\*\*\*", r"TABLE_MOD.*eviction=on",
    # It answers to any unknown type.
    r"BUNDLE_CONTROL.*\n bundle_id=\S+ type= ",
    # What came with 3.2.
    r"CT_FLUSH.*(mark=|labels=|BPC_BAD_LEN)",
)  # fmt: skip
#: What differs from run to run, or between the releases, in answers.
MASKS = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"duration[=:]?[\d.]+s?", "DURATION"),
        (r"addr:aa:55:aa:55:00:\w\w", "MAC"),
        (r"Software: 3\.[17]\.0", "SOFTWARE"),
        (r"band_types: drop dscp_remark", "band_types: drop"),
    )
)
#: Answers that have such in them, or whose entries are in the order of a hash table.
VARYING = {
    "FeaturesReply", "DescReply", "PortDescReply", "PortStatus", "MeterFeaturesReply",
    "FlowStatsReply", "GroupStatsReply", "GroupDescReply", "MeterStatsReply",
    "MeterConfigReply", "PortStatsReply", "QueueStatsReply", "FlowMonitorReply", "FlowRemoved",
}  # fmt: skip


#: Names of registers that Debian's has not.
_REGISTERS = re.compile(rf"'(?:{'|'.join(sorted(LATE))})',? ?")


def prepare(switch: PeerSwitch) -> None:
    switch.control("time/stop")
    switch.run("ovs-vsctl", *BRIDGE)
    ofctl = ("ovs-ofctl", "-O", "OpenFlow15")
    for group in GROUPS:
        switch.run(*ofctl, "add-group", "br0", group)
    switch.run(*ofctl, "add-meter", "br0", "meter=1,kbps,stats,bands=type=drop rate=5")
    switch.run(*ofctl, "add-tlv-map", "br0", "{class=0xffff,type=1,len=4}->tun_metadata0")
    switch.run(*ofctl, "add-flows", "br0", "-", stdin=FLOWS)
    switch.control("netdev-dummy/receive", "p1", FRAME)
    switch.control("netdev-dummy/receive", "p2", FRAME)


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def kind_of(data: bytes) -> str:
    """The class of a message; of one that is none of the table "" ."""
    try:
        frame = read_headers(data)
    except (OpenFlowError, ProtocolError):
        return ""
    return frame.row.reply if frame.reply else frame.row.request


def is_asked(data: bytes) -> bool:
    """May the message be put to both?"""
    is_part = is_multipart_type(data[0], data[1]) and len(data) > 11 and data[11] & MORE
    text = format_message(data, Style(3))
    if is_part or LATE & set(re.split(r"\W+", text)):
        return False
    return not any(re.search(pattern, text) for pattern in NOT_ASKED) and not _has_odd_command(data)


def _has_odd_command(data: bytes) -> bool:
    """Is it to do to a monitor what there is not? Debian's does not mind."""
    try:
        message, _ = decode_message(data)
    except (OpenFlowError, ProtocolError):
        return False
    return isinstance(message, w.FlowMonitorRequest) and any(
        each.command > w.OFPFMC_DELETE for each in message.requests
    )


def shown(answers: list[bytes], question: str) -> list[str]:
    """What is compared of the answers to a message of the class `question`."""
    texts = []
    for data in answers:
        kind = kind_of(data)
        if data != CLOSED and data[1] == 1 and question == "FlowMonitorRequest":
            # Debian's quotes the middle of the request, whatever lies there.
            texts.append("error")
        elif kind == "TableFeaturesReply":
            # As these differ in length, others of them are in one part of the reply.
            reply, _ = decode_message(data)
            texts += [_REGISTERS.sub("", repr(table)) for table in reply.tables]
        elif kind not in VARYING:
            texts.append(data.hex())
        else:
            text = format_message(data, Style(3))
            for pattern, word in MASKS:
                text = pattern.sub(word, text)
            texts.append("".join(sorted(text.splitlines(keepends=True))))
    return texts


def _texts(answers: list[bytes]) -> str:
    return "".join(format_message(one, Style(3)) for one in answers)


class Comparison:
    """Puts the same to both switches in one version, and keeps what they answer otherwise."""

    def __init__(self, pair: PeerPair, version: int) -> None:
        self._lines = [ControllerLine(each.directory / "br0.mgmt", version) for each in pair]
        self.differences: list[str] = []
        #: Classes of the messages sent, and of the answers.
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def ask(self, data: bytes) -> None:
        kind = kind_of(data)
        answers = [line.ask(data) for line in self._lines]
        theirs, ours = (shown(one, kind) for one in answers)
        self.asked[kind] += 1
        self.answered.update(kind_of(answer) for answer in answers[1])
        if kind == "CtFlush" and not theirs and "OFPBPC_BAD_TYPE" in _texts(answers[1]):
            return  # Later releases refuse properties that they do not know.
        if theirs != ours:
            texts = [_texts(side) for side in answers]
            question = format_message(data, Style(3))
            self.differences.append(f"{data.hex()}\n{question}theirs: {texts[0]}ours: {texts[1]}")

    def close(self) -> None:
        for line in self._lines:
            line.close()


def everything(version: int) -> Iterator[bytes]:
    """Requests for all that there is."""
    nx = version == 1
    requests: list[m.Message] = [
        m.FeaturesRequest(), m.GetConfigRequest(), m.DescRequest(), m.TableStatsRequest(),
        m.PortStatsRequest(), m.PortDescRequest(), m.QueueStatsRequest(),
        m.FlowStatsRequest(nx=nx), m.AggregateRequest(nx=nx), m.FlowStatsRequest(table_id=0, nx=nx),
        g.GroupStatsRequest(), g.GroupDescRequest(), g.GroupFeaturesRequest(),
        n.TlvTableRequest(), n.IpfixStatsRequest(False), n.IpfixStatsRequest(True),
        # In tables without instructions, which Debian's lists among actions in 1.1 and 1.2.
        w.FlowMonitorRequest(tuple(
            w.MonitorRequest(number, w.OFPFMF_INITIAL | w.OFPFMF_INSTRUCTIONS | w.OFPFMF_ADD,
                             table_id=number) for number in (0, 1))),
    ]  # fmt: skip
    if version >= 4:
        requests += [
            m.TableFeaturesRequest(), m.GetAsyncRequest(), t.MeterStatsRequest(),
            t.MeterConfigRequest(), t.MeterFeaturesRequest(),
        ]  # fmt: skip
    if version >= 5:
        requests.append(mt.TableDescRequest())
    for request in requests:
        yield encode_message(request, XID, PROTOCOLS[version][-1])


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_for_everything_have_equal_answers(switches: PeerPair, version: int) -> None:
    comparison = Comparison(switches, version)
    for data in everything(version):
        comparison.ask(data)
    comparison.close()
    assert comparison.differences == []
    # There is nobody to count IPFIX for: these two are errors.
    wanted = {kind.replace("Request", "Reply") for kind in comparison.asked}
    assert wanted - set(comparison.answered) <= {"IpfixStatsReply"}
    assert comparison.answered["Error"] == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_has_the_same_answer(switches: PeerPair, version: int) -> None:
    silent = []
    for case in (case for case in CASES if case.version == version):
        comparison = Comparison(switches, version)
        for sample in samples(case, N_SEEDS):
            if is_asked(sample.data):
                comparison.ask(sample.data)
        comparison.close()
        assert comparison.differences == [], case
        if not comparison.asked:
            silent.append(case.name)
    assert silent == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_wrong_message_has_the_same_answer(switches: PeerPair, version: int) -> None:
    """Messages in which chance changed something."""
    chance = random.Random(version)
    asked = answered = 0
    for case in (case for case in CASES if case.version == version):
        comparison = Comparison(switches, version)
        for sample in samples(case, N_SEEDS // 2):
            # Their values are masks as well to Debian's, which finds nothing wrong with them.
            if not is_asked(sample.data) or re.search("erspan|gtpu", repr(sample.message)):
                continue
            for _ in range(N_WRONG):
                data = mutate(sample.data, chance)
                if is_asked(data):
                    comparison.ask(data)
        comparison.close()
        assert comparison.differences == [], case
        asked += comparison.asked.total()
        answered += comparison.answered["Error"]
    assert asked > 1000
    assert asked > answered > asked // 3
