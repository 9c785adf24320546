/* Ingress policing: token buckets of ports, as datapath/userspace/policer.py has them. Nothing looks at
 * them while no port has any (config.n_policers). */
#ifndef NL_POLICER_H
#define NL_POLICER_H

#include "base.h"
#include "meter.h"

/* The bucket after `elapsed` milliseconds. */
INLINE u64 refill(u64 bucket, u64 elapsed, u64 rate, u64 size)
{
	bucket += elapsed * rate;
	return bucket > size ? size : bucket;
}

/* Take a packet's due from both buckets; false if either has too little. */
INLINE int takes(struct nl_policer *policer, u64 bits, u64 packets, u64 now_ms)
{
	u64 elapsed = now_ms > policer->used_ms ? now_ms - policer->used_ms : 0;

	policer->used_ms = now_ms;
	policer->bits = refill(policer->bits, elapsed, policer->kbps, policer->max_bits);
	policer->packets = refill(policer->packets, elapsed, policer->kpps, policer->max_packets);
	if ((policer->kbps && bits > policer->bits) || (policer->kpps && packets > policer->packets)) {
		policer->dropped++;
		return 0;
	}
	if (policer->kbps)
		policer->bits -= bits;
	if (policer->kpps)
		policer->packets -= packets;
	return 1;
}

/* Whether a packet that comes in at `port` is too much. */
GLOBAL int nl_police(struct __sk_buff *skb, u32 port)
{
	struct nl_policer *policer = map_lookup(&policers, &port);
	if (!policer || !(policer->kbps | policer->kpps))
		return 0;
	u64 now_ms = coarse_ns() / NS_PER_MS, bits = 8 * (u64)(skb->len + (skb->vlan_present ? 4 : 0));
	u64 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;

	NO_UNROLL
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!__sync_lock_test_and_set(&policer->lock, 1))
			break;
	}
	int has_room = takes(policer, bits, packets, now_ms);
	__sync_lock_test_and_set(&policer->lock, 0);
	return !has_room;
}

#endif
