"""How the buckets of a select group share the values of a hash, and what the log says about it.

The log's lines (module ofproto_dpif, level DBG) come when a group is made or modified; nothing of
them is worked out unless somebody wants to read them.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.openflow.text_groups import field_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, TypeVar

    from netloom.ofproto.groups import Group, GroupBucket
    from netloom.openflow.messages_groups import Bucket

    AnyBucket = TypeVar("AnyBucket", Bucket, GroupBucket)

log: Final = get_logger("ofproto_dpif")

#: Hash values that a select group may use, and does use.
MAX_HASH_VALUES: Final = 256
MIN_HASH_VALUES: Final = 16
#: So many values for each bucket, where there is room, even out what rounding takes from some.
VALUES_PER_BUCKET: Final = 4
#: Algorithms of the data path by number: the first is what unknown ones are taken for, the second
#: what is used if nobody asks for any.
ALGORITHMS: Final = ("l4", "sym_l4")
DEFAULT_ALGORITHM: Final = 1


def share_out(buckets: Sequence[AnyBucket]) -> tuple[AnyBucket, ...]:
    """As many hash values as the weights ask for, each given to the bucket whose claim is highest
    (Webster's method of apportionment); () if these are too many or there is no weight."""
    weights = [bucket.weight for bucket in buckets]
    n_values = _values_needed(weights)
    if not 0 < n_values <= MAX_HASH_VALUES:
        return ()
    claims = [float(weight) for weight in weights]
    divisors = [1] * len(weights)
    shares = []
    for _ in range(n_values):
        winner = claims.index(max(claims))
        shares.append(buckets[winner])
        divisors[winner] += 2
        claims[winner] = weights[winner] / divisors[winner]
    return tuple(shares)


def _values_needed(weights: list[int]) -> int:
    """A power of two; 0 if there is no weight."""
    total = sum(weights)
    if not total:
        return 0
    for_the_least = -(-total // min(weight for weight in weights if weight))
    for_all = min(VALUES_PER_BUCKET * len(weights), MAX_HASH_VALUES)
    return 1 << (max(for_the_least, for_all, MIN_HASH_VALUES) - 1).bit_length()


# The log


def log_change(group: Group, buckets: Sequence[Bucket], was_there: bool) -> None:
    """Say how a select group chooses that a group mod with `buckets` has made, and, if it was
    there, what is so modified. Mods that insert or remove buckets have only those of them."""
    log.dbg("Constructing select group %d", group.group_id)
    _log_method(group, buckets)
    if was_there:
        log.dbg("Modifying select group %d", group.group_id)
        _log_method(group, group.buckets)


def _log_method(group: Group, buckets: Sequence[AnyBucket]) -> None:
    if group.selection_method == "hash":
        log.dbg("Selection method specified: hash.")
        if group.fields:
            log.dbg("Hash fields: %s", ",".join(field_words(group.fields)))
        else:
            log.dbg("No hash fields. Falling back to default hash method.")
        return
    if group.selection_method:
        log.dbg("Selection method specified: dp_hash.")
    else:
        log.dbg("No selection method specified. Trying dp_hash.")
    n_values = _log_shares(buckets)
    if not n_values:
        log.dbg("Falling back to default hash method.")
        return
    algorithm = DEFAULT_ALGORITHM
    if group.selection_method:
        algorithm = group.selection_method_param >> 32
        if algorithm >= len(ALGORITHMS):
            log.dbg("Invalid dp_hash algorithm %d. Defaulting to OVS_HASH_ALG_L4", algorithm)
            algorithm = 0
    log.dbg("Use dp_hash with %d hash values using algorithm %d.", n_values, algorithm)


def _log_shares(buckets: Sequence[AnyBucket]) -> int:
    """Returns how many hash values are used; 0 for none."""
    weights = [bucket.weight for bucket in buckets]
    total, n_values = sum(weights), _values_needed(weights)
    if not weights:
        log.dbg("  Don't apply dp_hash method without buckets.")
        return 0
    if not total:
        log.dbg("  Total weight is zero. No active buckets.")
        return 0
    least = min(weight for weight in weights if weight)
    log.dbg("  Minimum weight: %d, total weight: %d", least, total)
    if n_values > MAX_HASH_VALUES:
        log.dbg("  Too many hash values required: %d", n_values)
        return 0
    log.dbg("  Using %d hash values:", n_values)
    shares = share_out(buckets)
    for bucket in buckets:
        hits = sum(1 for each in shares if each is bucket)
        target = n_values * bucket.weight / total
        text = "  Bucket %d: weight=%d, target=%.2f hits=%d"
        log.dbg(text, bucket.bucket_id, bucket.weight, target, hits)
    return n_values
