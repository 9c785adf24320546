/* Packets that user space sends, many by one system call: outbox.py puts them into the array `outbox`, and
 * runs nl_deliver as often as there are packets. Each run makes the next of them its own packet, adds its
 * connection to the table if it opens one, and sends copies to its ports. What cannot be done is noted,
 * for user space to do.
 *
 * This runs with packets coming in on the same processor meanwhile, whose scratch map it must not touch. */
#ifndef NL_OUTBOX_H
#define NL_OUTBOX_H

#include "base.h"
#include "ct_table.h"

#define FORGET_HASH 2
/* NET_XMIT_CN, the packet is on its way; -ENETDOWN. */
#define CONGESTED 2
#define IS_DOWN -100

INLINE int open_parcel(struct nl_parcel *p)
{
	struct nl_tracker *t = the_tracker();
	u32 zone_no = p->zone;

	if (!t)
		return 0;
	u32 found = begin(t, zone_no), place = found - 1;
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!found || !c)
		return 0;
	__builtin_memcpy(c, p->connection, sizeof(*c));
	return publish(t, c, place, zone_no);
}

/* Which of the ports did not get the packet. */
INLINE u32 send_parcel(struct __sk_buff *skb, struct nl_parcel *p)
{
	u32 n_ports = p->n_ports, failed = 0, length = p->length;
	u64 less = length - 1;

	OPAQUE(less);
	if (less >= sizeof(p->data))
		return NL_PARCEL_REFUSED;
	if (change_tail(skb, length, 0) || store_bytes(skb, 0, p->data, less + 1, FORGET_HASH))
		return NL_PARCEL_REFUSED;
	NO_UNROLL
	for (u32 i = 0; i < NL_PARCEL_PORTS; i++) {
		if (i >= n_ports)
			break;
		u32 port = p->ports[i];
		struct nl_output *output = map_lookup(&outputs, &port);
		if (!output || output->kind != NL_PORT_DEVICE || (output->most && length > output->most)) {
			failed |= 1 << i;
			continue;
		}
		int result = clone_redirect(skb, output->ifindex, 0);
		/* What a device that is down drops it has counted. */
		if (result && result != CONGESTED && result != IS_DOWN)
			failed |= 1 << i;
	}
	return failed;
}

/* Send the next packet of the outbox. */
GLOBAL int nl_send_next(struct __sk_buff *skb)
{
	u32 number = 0;
	struct nl_parcel *first = map_lookup(&outbox, &number), *p;

	if (!first || first->next >= first->count)
		return 0;
	number = first->next++;
	p = map_lookup(&outbox, &number);
	if (!p)
		return 0;
	u32 failed = p->opens && !open_parcel(p) ? NL_PARCEL_REFUSED : 0;
	if (!failed)
		failed = send_parcel(skb, p);
	p->failed = failed;
	first->n_failed += !!failed;
	return 0;
}

#endif
