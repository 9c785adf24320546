/* Meters: token buckets that all CPUs share, as datapath/userspace/meters.py has them. */
#ifndef NL_METER_H
#define NL_METER_H

#include "base.h"
#include "parse.h"

#define NS_PER_MS 1000000
/* How often to ask for a lock that another CPU holds for some nanoseconds. */
#define LOCK_TRIES 256

GLOBAL int nl_write(struct __sk_buff *skb, u32 how, u32 word, u32 value, u32 mask);

/* The TOS with the drop precedence of its class raised (RFC 2597); other code points have none. */
INLINE u32 raise_precedence(u32 tos, u32 levels)
{
	u32 dscp = tos >> 2, class = dscp >> 3, precedence = dscp >> 1 & 3;

	if (class < 1 || class > 4 || !precedence || dscp & 1)
		return tos;
	precedence = precedence + levels > 3 ? 3 : precedence + levels;
	return ((dscp & ~6) | precedence << 1) << 2 | (tos & 3);
}

INLINE int remark(struct __sk_buff *skb, struct nl_scratch *s, u32 levels)
{
	u8 head[2];

	if (load_bytes(skb, s->l3, head, 2))
		return GO_ON;
	if (s->net == NL_NET_IPV4) {
		u32 tos = raise_precedence(head[1], levels);
		return nl_write(skb, NL_LAYER_NETWORK | NL_SUM_IPV4 << 4, 0, tos << 8, 0xff00);
	}
	if (s->net == NL_NET_IPV6) {
		u32 tos = raise_precedence((head[0] & 15) << 4 | head[1] >> 4, levels);
		return nl_write(skb, NL_LAYER_NETWORK, 0, tos >> 4 | (tos & 15) << 12, 0xf00f);
	}
	return GO_ON;
}

/* Count a packet against the bands; returns the level of the band of the highest rate of those that
 * are exceeded, 0 for none. */
INLINE u64 judge(struct nl_meter *meter, u64 n_bytes, u64 now_ms)
{
	u64 elapsed = now_ms > meter->used_ms ? now_ms - meter->used_ms : 0;
	u64 volume = meter->kbps ? 8 * n_bytes : 1000, highest = 0;
	u32 hit = NL_MAX_BANDS;

	meter->used_ms = now_ms;
	meter->packets++;
	meter->bytes += n_bytes;
	NO_UNROLL
	for (u32 i = 0; i < NL_MAX_BANDS; i++) {
		if (i >= meter->n_bands)
			break;
		u64 rate = meter->rate[i], bucket = meter->bucket[i] + elapsed * rate;
		if (bucket > meter->size[i])
			bucket = meter->size[i];
		if (bucket >= volume) {
			bucket -= volume;
		} else if (hit == NL_MAX_BANDS || rate > highest) {
			highest = rate;
			hit = i;
		}
		meter->bucket[i] = bucket;
	}
	if (hit >= NL_MAX_BANDS)
		return 0;
	meter->band_packets[hit]++;
	meter->band_bytes[hit] += n_bytes;
	return meter->level[hit];
}

GLOBAL int nl_meter(struct __sk_buff *skb, u32 number)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_meter *meter = map_lookup(&meters, &number);
	if (!s || !meter || !meter->n_bands)
		return GO_ON;
	u64 now_ms = coarse_ns() / NS_PER_MS;

	NO_UNROLL
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!__sync_lock_test_and_set(&meter->lock, 1))
			break;
	}
	u64 level = judge(meter, skb->len + (skb->vlan_present ? 4 : 0) - s->bare, now_ms);
	__sync_lock_test_and_set(&meter->lock, 0);
	if (level == NL_BAND_DROPS) {
		count(NL_COUNT_DROP_METER);
		return STOP;
	}
	return level ? remark(skb, s, level) : GO_ON;
}

#endif
