/* NORMAL: a learning switch with VLANs, as ofproto/translate/normal.py for a bridge that has nothing
 * else. The addresses are in a map that all CPUs share; Python reads them, and lets them age. */
#ifndef NL_NORMAL_H
#define NL_NORMAL_H

#include "base.h"
#include "leave.h"
#include "parse.h"
#include "upcall.h"

/* Times of use are kept no finer, so that packets do not write for nothing. */
#define REFRESH_NS 100000000ull
#define NOEXIST 1
#define VLAN_VID 0x0fff
#define VLAN_PCP 0xe000

/* The device behind a port; 0 if there is none: such an output is counted, or done by user space. */
INLINE u32 device_of(struct __sk_buff *skb, struct nl_scratch *s, u32 port)
{
	struct nl_output *output = map_lookup(&outputs, &port);
	u32 kind = output ? output->kind : NL_PORT_NONE;

	s->pending_port = port;
	if ((kind == NL_PORT_DEVICE || kind == NL_PORT_UPLINK) && !s->cut && !s->bare)
		return is_too_long(skb, output) ? 0 : output->ifindex;
	if (kind != NL_PORT_NONE) {
		count(NL_COUNT_SLOW);
		nl_upcall(skb, NL_UPCALL_USERSPACE, NL_TO_PORT | port);
	} else {
		count(NL_COUNT_DROP_PORT);
	}
	s->cut = 0;
	return 0;
}

/* A copy of the packet leaves by the device of s->pending, if there is one. */
INLINE void send_pending(struct __sk_buff *skb, struct nl_scratch *s)
{
	if (!s->pending)
		return;
	if (clone_redirect(skb, s->pending, 0) < 0)
		count(NL_COUNT_DROP_PORT);
	s->pending = 0;
}

INLINE u64 address_number(const u8 *mac)
{
	return (u64)ntohs(*(be16 *)mac) << 32 | ntohl(*(be32 *)(mac + 2));
}

/* Group addresses that bridges keep to themselves (IEEE 802.1Q, table 8-1), or that only switches speak
 * to one another. */
INLINE int is_reserved(u64 mac)
{
	u64 prefix = mac & ~15ull;

	return prefix == 0x0180c2000000 || prefix == 0x01000cccccc0 || mac == 0x00e02b000000 ||
	       mac == 0x00e02b000004 || mac == 0x00e02b000006 || mac == 0x01000c000000 ||
	       mac == 0x01000ccdcdcd;
}

INLINE int has_vlan(const u64 *set, u32 vlan)
{
	return set[vlan >> 6 & 63] >> (vlan & 63) & 1;
}

INLINE void fill_place(struct nl_place *place, u32 number, u32 vlan, const u8 *mac)
{
	place->switch_no = number;
	place->vlan = vlan;
	__builtin_memcpy(place->mac, mac, 6);
}

/* Where this CPU remembers an address of a VLAN, if it does. */
INLINE struct nl_recent *recent_of(u64 name, u32 number)
{
	u64 hash = (name ^ number) * 0x9e3779b97f4a7c15;
	u32 index = hash >> 40 & (NL_RECENT_ENTRIES - 1);
	return map_lookup(&recent, &index);
}

/* An address may be where it was as long as this stays. */
INLINE u64 version_of(struct nl_switch *here)
{
	return here->version + here->moved;
}

INLINE void remember(struct nl_recent *r, struct nl_switch *here, u64 name, u32 number, u32 port, u64 used_ns)
{
	r->place = name;
	r->switch_no = number;
	r->port = port;
	r->version = version_of(here);
	r->used_ns = used_ns;
}

INLINE void learn_source(struct nl_scratch *s, struct nl_switch *here, u32 number)
{
	struct nl_place place;
	u64 now = coarse_ns(), name = address_number(s->key.dl_src) << 16 | s->vlan;

	if (s->key.dl_src[0] & 1)
		return;
	struct nl_recent *r = recent_of(name, number);
	if (!r || (r->place == name && r->switch_no == number && r->port == s->port &&
		   r->version == version_of(here) && now - r->used_ns < REFRESH_NS))
		return;
	fill_place(&place, number, s->vlan, s->key.dl_src);
	struct nl_address *known = map_lookup(&addresses, &place);
	if (!known) {
		struct nl_address new = {s->port, 0, now};
		if (here->learned - here->removed >= here->max_entries ||
		    map_update(&addresses, &place, &new, NOEXIST))
			__sync_fetch_and_add(&here->refused, 1);
		else
			__sync_fetch_and_add(&here->learned, 1);
		return;
	}
	if (known->is_static) {
		remember(r, here, name, number, known->port, known->port == s->port ? now : 0);
		return;
	}
	if (known->port != s->port) {
		known->port = s->port;
		known->used_ns = now;
		__sync_fetch_and_add(&here->moved, 1);
	} else if (now - known->used_ns > REFRESH_NS) {
		known->used_ns = now;
	}
	remember(r, here, name, number, s->port, known->used_ns);
}

/* The port of the packet's destination; -1 if nobody knows it. */
INLINE u32 find_destination(struct nl_scratch *s, struct nl_switch *here, u32 number, u64 destination)
{
	struct nl_place place;
	u64 name = destination << 16 | s->vlan;
	struct nl_recent *r = recent_of(name, number);

	if (!r)
		return -1;
	if (r->place == name && r->switch_no == number && r->version == version_of(here))
		return r->port;
	fill_place(&place, number, s->vlan, s->key.dl_dst);
	struct nl_address *found = map_lookup(&addresses, &place);
	if (!found)
		return -1;
	u32 port = found->port;
	remember(r, here, name, number, port, 0);
	return port;
}

/* Send the packet to a member, with the tag that it has there; what is pending leaves first. */
GLOBAL int nl_to_member(struct __sk_buff *skb, u32 port, u32 is_flood)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_member *member = map_lookup(&members, &port);
	if (!s || !member)
		return 0;
	u32 flags = member->flags, tci = s->vlan | s->priority;

	if (is_flood && (port == s->port || flags & NL_MEMBER_NO_FLOOD || !has_vlan(member->carries, s->vlan)))
		return 0;
	if (s->is_protected && flags & NL_MEMBER_PROTECTED)
		return 0;
	if (flags & NL_MEMBER_NO_TAGS || (flags & NL_MEMBER_NATIVE_UNTAGGED && s->vlan == member->vlan))
		tci = 0;
	send_pending(skb, s);
	if (tci)
		tci |= VLAN_CFI;
	if (tci != s->tag) {
		if (s->tag && vlan_pop(skb)) {
			count(NL_COUNT_DROP_ACTION);
			return 0;
		}
		if (tci && vlan_push(skb, s->tag_type, tci & ~VLAN_CFI)) {
			s->tag = 0;
			count(NL_COUNT_DROP_ACTION);
			return 0;
		}
		s->tag = tci;
	}
	s->n_sent++;
	s->pending = device_of(skb, s, port);
	return 1;
}

/* Leaves the device that the packet is to be redirected to in s->pending; 0 for none. */
GLOBAL int nl_normal(struct __sk_buff *skb, u32 number)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_switch *here = map_lookup(&switches, &number);
	if (!s || !here)
		return 0;
	u32 port = s->port, tci = ntohs(s->key.vlan_tci), wire = tci & VLAN_CFI ? tci & VLAN_VID : 0;
	struct nl_member *member = map_lookup(&members, &port);
	u64 destination = address_number(s->key.dl_dst);

	s->n_sent = s->pending = s->is_known = 0;
	if (!member || !has_vlan(member->admits, wire) ||
	    (is_reserved(destination) && !(here->flags & NL_SWITCH_FORWARDS_BPDUS)))
		return 0;
	s->vlan = wire ? wire : member->vlan & VLAN_VID;
	s->priority = tci & VLAN_CFI ? tci & VLAN_PCP : 0;
	s->tag = tci;
	s->tag_type = tci ? s->key.vlan_tpid : htons(ETH_VLAN);
	s->is_protected = member->flags & NL_MEMBER_PROTECTED;
	learn_source(s, here, number);
	if (!(s->key.dl_dst[0] & 1)) {
		u32 to = find_destination(s, here, number, destination);
		if (to != (u32)-1) {
			s->is_known = 1;
			if (to != port)
				nl_to_member(skb, to, 0);
			return 0;
		}
	}
	u32 n = here->n_ports;
	NO_UNROLL
	for (u32 i = 0; i < NL_MAX_MEMBERS; i++) {
		if (i >= n)
			break;
		nl_to_member(skb, here->ports[i], 1);
	}
	return 0;
}

#endif
