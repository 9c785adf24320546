"""Running groups: which buckets, and each on a copy of the packet.

All buckets of `all` and `indirect`, the first that lives of fast failover, one of `select`, by
weight. How a select group chooses follows from its selection method, as in Open vSwitch:

* "hash" with fields: a hash of these fields of the packet.
* "dp_hash", and the default where the weights allow it: the data path hashes the packet, which
  comes back with `dp_hash` in its key. The hash values (a power of two) are shared out to the
  buckets by Webster's method, so that the mask of the flow is a few bits of the hash and all
  connections together need no more flows than that.
* else: a symmetric hash of the packet; the bucket with the highest weighted score wins, so a
  bucket that goes away moves nobody else's connections (highest random weight).

A bucket that watches a port or a group lives while one of these does.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow import hashes
from netloom.flow.fields import FIELD, SLOT
from netloom.flow.ports import format_port
from netloom.ofproto.groups import Group, GroupBucket
from netloom.ofproto.selection import ALGORITHMS, DEFAULT_ALGORITHM, share_out
from netloom.ofproto.translate.action_set import execution_order
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.fields import has_field
from netloom.ofproto.translate.freeze import trigger_freeze
from netloom.ofproto.translate.output import is_alive
from netloom.ofproto.translate.tables import may_go_deeper
from netloom.openflow import actions as a
from netloom.openflow import messages_groups as g
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("ofproto_dpif_xlate")

_DP_HASH: Final = SLOT["dp_hash"]
_SYMMETRIC_L4: Final = 1
#: Groups that watch groups, in a row.
MAX_LIVENESS_DEPTH: Final = 128


def group(context: Context, action: a.Group) -> bool:
    """True (nothing of this list follows) if there is no such group."""
    if not may_go_deeper(context):
        return False
    found = context.bridge.groups.get(action.group_id)
    if found is None:
        context.warn(f"output to nonexistent group {action.group_id}")
        return True
    is_last = context.is_last
    if found.type in (g.OFPGT_ALL, g.OFPGT_INDIRECT):
        context.credits.append(found)
        for bucket in found.buckets:
            _run_bucket(context, bucket, is_last and bucket is found.buckets[-1])
        return False
    chosen = _first_alive(context, found) if found.type == g.OFPGT_FF else _select(context, found)
    if chosen is None:
        if context.freeze is None:
            context.detail("no live bucket")
    else:
        context.detail(f"using bucket {chosen.bucket_id}")
        context.credits.append(found)
        _run_bucket(context, chosen, is_last)
    return False


def _run_bucket(context: Context, bucket: GroupBucket, is_last: bool) -> None:
    """Run a bucket; the packet is as before afterwards, and so is what follows."""
    if context.recorder is not None:
        context.recorder.enter("bucket", f"bucket {bucket.bucket_id}")
    saved = (context.key, context.was_mpls, context.in_bucket)
    context.is_last, context.in_bucket = is_last, True
    context.depth += 1
    context.credits.append(bucket)
    context.walk.run_actions(context, execution_order(list(bucket.actions)))
    context.depth -= 1
    if context.freeze is not None:
        context.walk.finish_freezing(context)
    context.key, context.was_mpls, context.in_bucket = saved
    context.done = False
    context.error = ""
    context.end()


# Liveness


def is_bucket_alive(context: Context, bucket: GroupBucket, depth: int = 0) -> bool:
    """Does something live that the bucket watches, if it watches anything?"""
    port, watched = bucket.watch_port, bucket.watch_group
    if port == OFPP_ANY and watched == OFPG_ANY:
        return True
    if depth >= MAX_LIVENESS_DEPTH:
        log.warn_rl("bucket chaining exceeded %d links", MAX_LIVENESS_DEPTH)
        return False
    if port != OFPP_ANY and is_alive(context, port):
        return True
    found = context.bridge.groups.get(watched) if watched != OFPG_ANY else None
    return found is not None and _first_alive(context, found, depth + 1) is not None


def _tell_dead(context: Context, bucket: GroupBucket) -> None:
    if context.recorder is None:
        return
    due = []
    if bucket.watch_port != OFPP_ANY:
        due.append(f"port {format_port(bucket.watch_port)}")
    if bucket.watch_group != OFPG_ANY:
        # Open vSwitch calls it a port, too.
        due.append(f"port {bucket.watch_group}")
    context.detail(f"bucket {bucket.bucket_id}: not live due to {' and '.join(due)}")


def _first_alive(context: Context, group: Group, depth: int = 0) -> GroupBucket | None:
    for bucket in group.buckets:
        if is_bucket_alive(context, bucket, depth):
            return bucket
        _tell_dead(context, bucket)
    return None


# Selection


def _select(context: Context, group: Group) -> GroupBucket | None:
    if context.was_mpls:
        # Below the label there may be what the hash needs.
        trigger_freeze(context)
        return None
    if group.selection_method == "hash" and group.fields:
        return _best(context, group, _hash_fields(context, group))
    if group.selection_method != "hash":
        shares = _shares(group)
        if shares:
            return _by_dp_hash(context, group, shares)
    context.mask |= hashes.hashed_bits(context.key, _SYMMETRIC_L4)
    return _best(context, group, hashes.hash_symmetric_l4(context.key, 0))


def _hash_fields(context: Context, group: Group) -> int:
    basis = hashes.hash_quad(group.selection_method_param)
    for name, mask in sorted(group.fields, key=lambda pair: FIELD[pair[0]].id):
        field = FIELD[name]
        if not has_field(context, field):
            continue
        value = field.get(context.key) & mask
        basis = hashes.hash_bytes(value.to_bytes(field.n_bytes, "big"), basis)
        context.mask |= mask << field.shift & field.mask
    return basis


def _best(context: Context, group: Group, basis: int) -> GroupBucket | None:
    best, best_score = None, 0
    for bucket in group.buckets:
        if not bucket.weight or not is_bucket_alive(context, bucket):
            _tell_dead(context, bucket)
            continue
        score = (hashes.hash_pair(bucket.bucket_id, basis) & 0xFFFF) * bucket.weight
        if score >= best_score:
            best, best_score = bucket, score
        if context.recorder is not None:
            context.detail(f"bucket {bucket.bucket_id}: score {score}")
    return best


def _by_dp_hash(
    context: Context, group: Group, shares: tuple[GroupBucket, ...]
) -> GroupBucket | None:
    value = _DP_HASH.get(context.key)
    if not value:
        # No packet hashes to 0: it has not been hashed yet.
        algorithm, basis = ALGORITHMS[DEFAULT_ALGORITHM], 0
        if group.selection_method:
            number = group.selection_method_param >> 32
            algorithm = ALGORITHMS[number if number < len(ALGORITHMS) else 0]
            basis = group.selection_method_param & 0xFFFFFFFF
        trigger_freeze(context, hash_wanted=(algorithm, basis))
        context.detail("selection method in use: dp_hash, recirculating")
        return None
    ones = len(shares) - 1
    context.mask |= ones << _DP_HASH.shift
    for step in range(len(shares)):
        bucket = shares[value + step & ones]
        if is_bucket_alive(context, bucket):
            return bucket
        _tell_dead(context, bucket)
    return None


def _shares(group: Group) -> tuple[GroupBucket, ...]:
    """Hash value -> bucket, () if that cannot be done; worked out once."""
    if group.hash_shares is None:
        group.hash_shares = share_out(group.buckets)
    return group.hash_shares
