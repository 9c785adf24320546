/* What NORMAL decided about the packets of an entry of the quick cache, so that it need not be asked for
 * each of them: the port that they all go to, as they came.
 *
 * What must hold: it is only used while NORMAL would say the same, and as long as nobody can tell that it
 * was not asked. So it carries the version of what the switch knows, which changes whenever an address
 * moves or goes, or Python changes anything; and it is of one moment of SLICE_BITS, in which the sender's
 * address was seen: in the next one NORMAL is asked again, and keeps the address from ageing. Entries must
 * be of one pair of addresses, so config.raw has to cover both (flowtable.py sees to that where there is a
 * switch). Packets that are flooded, change their tag or go up to user space are never decided in
 * advance. */
#ifndef NL_DECISION_H
#define NL_DECISION_H

#include "base.h"
#include "leave.h"
#include "normal.h"

/* 134 ms. */
#define SLICE_BITS 27
/* The port is above. */
#define DECISION_BITS 52
#define DECISION_MASK ((1ull << DECISION_BITS) - 1)
_Static_assert(NL_MAX_PORTS <= 1 << (64 - DECISION_BITS), "ports");

/* All of a decision that is made at a moment, but the port; never 0. */
INLINE u64 decision_at(struct nl_switch *here, u64 now_ns)
{
	return (version_of(here) & 0xffffffff) << 20 | (now_ns >> SLICE_BITS & 0x7ffff) << 1 | 1;
}

/* Send a packet as it is by a port that has a device; 0 if it has none. */
INLINE int leave_by_port(struct __sk_buff *skb, u32 port, u64 destination)
{
	struct nl_output *output = map_lookup(&outputs, &port);

	if (!output || output->kind != NL_PORT_DEVICE)
		return 0;
	int verdict = leave_by_peer(skb, output, destination);
	if (verdict)
		return verdict;
	return is_too_long(skb, output) ? NL_DROP : redirect(output->ifindex, 0);
}

/* Send a packet of this entry as NORMAL decided for the last one; 0 if it has to be asked. */
INLINE int leave_as_decided(struct __sk_buff *skb, struct nl_quick *entry, u32 number, u64 destination,
			    u64 now_ns)
{
	struct nl_switch *here = map_lookup(&switches, &number);
	u64 decision = entry->decision;

	if (!here || (decision & DECISION_MASK) != decision_at(here, now_ns))
		return 0;
	return leave_by_port(skb, decision >> DECISION_BITS, destination);
}

/* Before NORMAL is asked: the decision without its port, 0 if none can be kept. */
INLINE u64 decision_begun(u32 number)
{
	struct nl_config *c = &config_now;
	struct nl_switch *here = map_lookup(&switches, &number);

	return here && c->raw[0] == ~0ull && (u32)c->raw[1] == ~0u ? decision_at(here, coarse_ns()) : 0;
}

/* NORMAL has dealt with a packet of this entry, whose tag was `tag`. */
INLINE void keep_decision(struct nl_scratch *s, struct nl_quick *entry, u64 decision, u32 tag)
{
	if (s->is_known && s->n_sent == 1 && s->pending && s->tag == tag)
		entry->decision = decision | (u64)s->pending_port << DECISION_BITS;
}

#endif
