/* Labels on and off.
 *
 * No helper of the kernel puts four bytes behind the Ethernet header of whatever packet, or takes them
 * away, and tells the kernel what follows; but tags are as long as labels, and the helpers for tags do
 * both: a tag that is taken out of the packet leaves it with the type behind the tag. So a label is two
 * tags, the inner of them written over; and it goes as a tag that it was written over with. A tag beside
 * the packet is put into it by the first of these, and comes back in the end. */
#ifndef NL_MPLS_H
#define NL_MPLS_H

#include "base.h"
#include "parse.h"
#include "layers.h"

#define LABEL_SIZE 4

/* Nobody would find the headers of what is to be segmented; behind tags in the packet itself labels
 * are rare. */
INLINE int is_out_of_reach(struct __sk_buff *skb, struct nl_scratch *s)
{
	return skb->gso_size || s->l3 != 14;
}

/* Returns 0 if user space has to do it, with the packet as it was. */
GLOBAL int nl_push_label(struct __sk_buff *skb, u32 type, be32 label)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || is_out_of_reach(skb, s))
		return 0;
	u32 is_tagged = skb->vlan_present;
	be16 tpid = skb->vlan_proto, written[3] = {type, label, label >> 16};
	u16 tci = skb->vlan_tci;

	if (!is_tagged && vlan_push(skb, htons(ETH_VLAN), 0))
		return 0;
	if (vlan_push(skb, htons(ETH_VLAN), 0) || vlan_push(skb, htons(ETH_VLAN), 0))
		return 0;
	/* Addresses, a tag, then what was a tag and the type behind it. */
	store_bytes(skb, 16, written, sizeof(written), 0);
	vlan_pop(skb);
	vlan_pop(skb);
	if (is_tagged)
		vlan_push(skb, tpid, tci);
	s->is_changed = 1;
	s->is_shifted++;
	if (s->bare)
		s->key.packet_type = packet_type(type);
	s->net = NL_NET_MPLS;
	s->l4 = s->has_ports = 0;
	return 1;
}

/* What follows is of type `type`, or of that which was noted (save_front) if it is 0. */
GLOBAL int nl_pop_label(struct __sk_buff *skb, u32 type)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	if (s->net != NL_NET_MPLS)
		return 1;
	if (is_out_of_reach(skb, s))
		return 0;
	if (s->bare && type == htons(ETH_TEB))
		return nl_bare_label(skb);
	u32 is_tagged = skb->vlan_present;
	be16 tpid = skb->vlan_proto, tag[2] = {htons(ETH_VLAN), 0}, follows = type ? type : s->saved_type;
	u16 tci = skb->vlan_tci;

	if (store_bytes(skb, 12, tag, sizeof(tag), 0) || store_bytes(skb, 16, &follows, 2, 0))
		return 0;
	if (!is_tagged)
		vlan_push(skb, htons(ETH_VLAN), 0);
	vlan_push(skb, htons(ETH_VLAN), 0);
	vlan_pop(skb);
	vlan_pop(skb);
	vlan_pop(skb);
	if (is_tagged)
		vlan_push(skb, tpid, tci);
	s->is_changed = 1;
	if (s->bare)
		s->key.packet_type = packet_type(follows);
	s->is_shifted -= !!s->is_shifted;
	return 1;
}

#endif
