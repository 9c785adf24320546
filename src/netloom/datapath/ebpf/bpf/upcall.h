/* Packets to user space, by ring buffers: one for misses, one for flows that user space runs, one for
 * actions that ask for it, so that a flood of misses delays nobody's packet-ins. In each of them a port
 * has a share: what is in there from it and not yet consumed may not exceed shares[port].limit.
 *
 * Reserving wants a constant size, so a record has room for one of four lengths of packet. */
#ifndef NL_UPCALL_H
#define NL_UPCALL_H

#include "base.h"

INLINE int send_up(struct __sk_buff *skb, struct nl_scratch *s, u32 kind, u32 argument, u32 room_no,
		   const u32 room)
{
	struct nl_upcall *up;
	/* The same call with a size that the verifier sees as a constant. */
	if (kind == NL_UPCALL_USERSPACE)
		up = ring_reserve(&ring_userspace, sizeof(*up) + room, 0);
	else if (kind == NL_UPCALL_SLOW)
		up = ring_reserve(&ring_slow, sizeof(*up) + room, 0);
	else
		up = ring_reserve(&ring_miss, sizeof(*up) + room, 0);
	if (!up)
		return -1;
	u32 cut = s->cut ? s->cut + s->bare : 0;
	u64 less = (cut && cut < skb->len ? cut : skb->len) - 1;
	up->kind = kind;
	up->port = s->port;
	/* A tag beside the packet counts, too: what is too much because of it, user space cuts off. */
	up->length = cut ? cut : 0xffffffff;
	up->argument = argument;
	up->gso_size = cut ? 0 : skb->gso_size;
	up->vlan = skb->vlan_present ? 1u << 31 | (ntohs(skb->vlan_proto) == 0x88a8) << 16 | skb->vlan_tci
				     : 0;
	up->room = room_no;
	__builtin_memcpy(up->key, s->words, sizeof(up->key));
	OPAQUE(less);
	if (less >= room) {
		ring_discard(up, 0);
		return -1;
	}
	up->captured = less + 1;
	if (load_bytes(skb, 0, up + 1, less + 1)) {
		ring_discard(up, 0);
		return -1;
	}
	ring_submit(up, 0);
	return 0;
}

/* Bring the packet up as it is now. */
GLOBAL int nl_upcall(struct __sk_buff *skb, u32 kind, u32 argument)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return -1;
	u32 port = s->port, length = skb->len;
	struct nl_share *share = map_lookup(&shares, &port);
	u32 ring = kind == NL_UPCALL_USERSPACE ? 2 : kind == NL_UPCALL_SLOW ? 1 : 0;
	u32 room_no = length <= NL_ROOM_0 ? 0 : length <= NL_ROOM_1 ? 1 : length <= NL_ROOM_2 ? 2 : 3;
	int failed;

	if (!share || !length) {
		count(NL_COUNT_LOST);
		return -1;
	}
	u32 room = room_no == 0 ? NL_ROOM_0 : room_no == 1 ? NL_ROOM_1 : room_no == 2 ? NL_ROOM_2 : NL_ROOM_3;
	room += sizeof(struct nl_upcall);
	if (share->produced[ring] - share->consumed[ring] + room > share->limit)
		goto lost;
	if (room_no == 0)
		failed = send_up(skb, s, kind, argument, 0, NL_ROOM_0);
	else if (room_no == 1)
		failed = send_up(skb, s, kind, argument, 1, NL_ROOM_1);
	else if (room_no == 2)
		failed = send_up(skb, s, kind, argument, 2, NL_ROOM_2);
	else
		failed = send_up(skb, s, kind, argument, 3, NL_ROOM_3);
	if (failed)
		goto lost;
	__sync_fetch_and_add(&share->produced[ring], room);
	count(NL_COUNT_UPCALLS);
	return 0;
lost:
	__sync_fetch_and_add(&share->lost, 1);
	count(NL_COUNT_LOST);
	if (!ring)
		count(NL_COUNT_LOST_MISS);
	return -1;
}

#endif
