/* One packet into several tunnels, or into one and elsewhere.
 *
 * The kernel copies a packet only to send it, so the packet keeps the headers of the tunnel that a copy of
 * it left in. Those of the next tunnel are mostly of the same shape: they are written over them, and
 * segmentation, checksums and the sum of what is inside stay what they were. Others go on when the first
 * have been taken off, as what follows wants to see none. The kernel goes on taking a packet to be
 * segmented for one of a tunnel, and lets no other tunnel's headers in front of it: then user space does
 * the rest. */
#ifndef NL_SPREAD_H
#define NL_SPREAD_H

#include "base.h"
#include "tunnel.h"

/* Take off what was put on last; 0 if the packet cannot be used any more. */
GLOBAL int nl_tunnel_off(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	u32 size = s->pushed_length, type = s->key.dl_type;
	u8 ethernet[ETH_SIZE];

	s->net = s->pushed_shape & SHAPE_IPV6 ? NL_NET_IPV6 : NL_NET_IPV4;
	if (load_bytes(skb, size, ethernet, ETH_SIZE) || take_off(skb, s, size, ethernet))
		return 0;
	tell_type(skb, ethernet);
	s->is_changed = 1;
	nl_reparse(skb);
	if (is_vlan(s->key.dl_type))
		s->is_changed = nl_look_behind_tags(skb, type);
	return 1;
}

/* Put the headers of a template on in place of those of the last one: 0 if that cannot be done, and the
 * packet has none; -1 if it cannot be used any more. */
GLOBAL int nl_tunnel_again(struct __sk_buff *skb, u32 number, u32 port)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_template *t = map_lookup(&templates, &number);
	if (!s || !t)
		return -1;
	u32 length = s->pushed_length;
	int sum = s->pushed_sum;

	if (outgrows(s->pushed_longest + t->length, port) || t->length != length || shape_of(t) != s->pushed_shape)
		return nl_tunnel_off(skb) ? nl_tunnel_push(skb, number, port, 1) : -1;
	copy_template(s, t);
	finish_header(s, t, skb->len - length);
	if (store_header(skb, s, length))
		return -1;
	s->is_changed = 1;
	if (s->pushed_sums) {
		if (!skb->gso_size)
			sum = nl_sum_inner(skb, length, skb->len);
		fill_checksum(skb, t, sum, s->pushed_inside);
	}
	return 1;
}

#endif
