/* Actions of flows. Checksums are kept right by difference, also those that only the device will
 * complete (the helpers know), and where none covers the change, the kernel's sum over the whole packet
 * (CHECKSUM_COMPLETE) is told. */
#ifndef NL_ACTIONS_H
#define NL_ACTIONS_H

#include "base.h"
#include "parse.h"
#include "upcall.h"
#include "hash.h"
#include "leave.h"

#define RECOMPUTE 1
#define PSEUDO 0x10
#define MANGLED_0 0x20
#define CLONE_INGRESS 1

enum { GO_ON, STOP, RECIRCULATE };

#include "meter.h"

/* Where the transport checksum is, from s->l4; 0 for none. `covers_addresses` for a change in the
 * pseudo header. */
INLINE u32 checksum_offset(struct nl_scratch *s, int covers_addresses)
{
	u32 size = s->l4_size;
	if (!s->l4 || s->key.nw_frag & FRAG_LATER)
		return 0;
	switch (s->proto) {
	case TCP:
		return size >= 20 ? 16 : 0;
	case UDP:
		return size >= 8 ? 6 : 0;
	case ICMPV6:
		return size >= 4 ? 2 : 0;
	case ICMP:
		return size >= 8 && !covers_addresses ? 2 : 0;
	}
	return 0;
}

/* Whether the packet has the header that a SET is about: `what` is the kind of network header, or the
 * protocol of transport. */
INLINE int has_header(struct nl_scratch *s, u32 layer, u32 what, u32 end)
{
	if (layer == NL_LAYER_ETHERNET)
		return !s->bare;
	if (layer == NL_LAYER_NETWORK)
		return s->net == what && (what != NL_NET_IPV4 || s->l4);
	if (!s->l4 || s->key.nw_frag & FRAG_LATER || s->proto != what || s->l4_size < end)
		return 0;
	/* Ports are written where they count as such; flags wherever TCP's header is long enough. */
	if (what == TCP)
		return end > 4 ? s->l4_size >= 20 : s->has_ports;
	return what == UDP ? s->has_ports : what == ICMPV6 && end > 4 ? s->l4_size >= 24 : 1;
}

/* Write the bits of `mask` of the four bytes at `word` in a layer; `how` is a SET's a8. */
GLOBAL int nl_write(struct __sk_buff *skb, u32 how, u32 word, u32 value, u32 mask)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return STOP;
	u32 layer = how & 3, sum = how >> 4;
	u32 start = layer == NL_LAYER_ETHERNET ? 0 : layer == NL_LAYER_NETWORK ? s->l3 : s->l4;
	u32 at = start + word, old, new;
	/* Where the packet came in, the kernel's sum begins behind Ethernet. */
	u64 flags = layer != NL_LAYER_ETHERNET && (sum == NL_SUM_NONE || sum == NL_SUM_PSEUDO) ? RECOMPUTE : 0;

	if (load_bytes(skb, at, &old, 4))
		return GO_ON;
	new = (old & ~mask) | (value & mask);
	if (new == old)
		return GO_ON;
	if (s->is_saving) {
		u32 n = s->n_undo;
		if (n >= NL_MAX_UNDO)
			return STOP;
		s->undo[n].how = how;
		s->undo[n].offset = word;
		s->undo[n].old = old;
		s->n_undo = n + 1;
	}
	s->is_changed = 1;
	if (store_bytes(skb, at, &new, 4, flags))
		return STOP;
	if (sum == NL_SUM_IPV4 || sum == NL_SUM_IPV4_PSEUDO)
		l3_csum_replace(skb, s->l3 + 10, old, new, 4);
	if (sum >= NL_SUM_IPV4_PSEUDO) {
		int is_pseudo = sum != NL_SUM_TRANSPORT;
		u32 offset = checksum_offset(s, is_pseudo);
		u64 how = 4 | (is_pseudo ? PSEUDO : 0) | (s->proto == UDP ? MANGLED_0 : 0);
		if (sum == NL_SUM_PSEUDO && s->is_routed && word >= 24)
			offset = 0;
		if (offset)
			l4_csum_replace(skb, s->l4 + offset, old, new, how);
	}
	return GO_ON;
}

INLINE int set_bytes(struct __sk_buff *skb, struct nl_scratch *s, struct nl_action *a)
{
	if (!has_header(s, a->a8 & 3, a->a64 >> 32, a->a16 + 4))
		return GO_ON;
	return nl_write(skb, a->a8, a->a16, a->a64, a->a32);
}

/* From here on, RESTORE will undo what is done to the packet. */
INLINE void save(struct __sk_buff *skb, struct nl_scratch *s)
{
	s->is_saving = 1;
	s->n_undo = 0;
	s->saved_mark = skb->mark;
	s->saved_priority = skb->priority;
	s->saved_hash = s->key.dp_hash;
}

/* The same, if no more is done to it than to put headers in front, and to take them off again: what is
 * written goes with these. */
INLINE void save_front(struct __sk_buff *skb, struct nl_scratch *s)
{
	be16 type = 0;

	load_bytes(skb, 12, &type, 2);
	s->saved_type = type;
	s->is_saving = 0;
}

INLINE void restore(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 n = s->n_undo;
	s->is_saving = 0;
	NO_UNROLL
	for (u32 i = 0; i < NL_MAX_UNDO; i++) {
		if (i >= n)
			break;
		u32 last = n - 1 - i;
		OPAQUE(last);
		last &= NL_MAX_UNDO - 1;
		struct nl_undo *undo = &s->undo[last];
		nl_write(skb, undo->how, undo->offset, undo->old, 0xffffffff);
	}
	skb->mark = s->saved_mark;
	skb->priority = s->saved_priority;
	s->key.pkt_mark = htonl(s->saved_mark);
	s->key.skb_priority = htonl(s->saved_priority);
	s->key.dp_hash = s->saved_hash;
	s->cut = 0;
}

/* The offsets of headers after tags went into or out of the packet's bytes. */
INLINE void move_headers(struct nl_scratch *s, u32 before, u32 after)
{
	s->l3 += after - before;
	if (s->l4)
		s->l4 += after - before;
	s->is_changed = 1;
}

INLINE int push_vlan(struct __sk_buff *skb, struct nl_scratch *s, be16 tpid, u16 tci)
{
	u32 before = skb->len;
	if (vlan_push(skb, tpid, tci & ~VLAN_CFI))
		return STOP;
	move_headers(s, before, skb->len);
	return GO_ON;
}

INLINE int pop_vlan(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 before = skb->len;
	if (vlan_pop(skb))
		return STOP;
	move_headers(s, before, skb->len);
	return GO_ON;
}

INLINE int set_vlan(struct __sk_buff *skb, struct nl_scratch *s, u16 tci, u16 mask)
{
	u16 old = skb->vlan_tci;
	be16 tpid = skb->vlan_proto;

	if (!skb->vlan_present) {
		be16 tag[2];
		if (load_bytes(skb, 12, tag, 4) || !is_vlan(tag[0]))
			return GO_ON;
		tpid = tag[0];
		old = ntohs(tag[1]);
	}
	mask &= ~VLAN_CFI;
	if (pop_vlan(skb, s))
		return STOP;
	u32 before = skb->len;
	if (vlan_push(skb, tpid, (old & ~mask) | (tci & mask)))
		return STOP;
	move_headers(s, before, skb->len);
	return GO_ON;
}

INLINE u32 packet_size(struct __sk_buff *skb)
{
	return skb->len + (skb->vlan_present ? 4 : 0);
}

/* The size of the longest packet that this one will be cut into; its own if it is in one piece. */
INLINE u32 longest_segment(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 size = packet_size(skb), head = s->l4 + skb->gso_size;
	u8 offset = 0x20;

	if (!skb->gso_size || !s->l4)
		return size;
	if (s->proto == TCP)
		load_bytes(skb, s->l4 + 12, &offset, 1);
	head += (offset >> 4) * 4 + (skb->vlan_present ? 4 : 0);
	return head < size ? head : size;
}

#include "ct.h"
#include "tunnel.h"
#include "mpls.h"
#include "normal.h"

/* Have the key say what the packet is now, which may be less than is known of it: behind tags that it was
 * given. Returns whether know_as_before has to be called when the key has been used. */
INLINE u32 key_as_it_is(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 was_changed = s->is_changed;

	if (was_changed) {
		__builtin_memcpy(s->kept, &s->l3, sizeof(s->kept));
		s->kept_type = s->key.dl_type;
		s->kept_frag = s->key.nw_frag;
		nl_reparse(skb);
	}
	return was_changed;
}

INLINE void know_as_before(struct nl_scratch *s)
{
	__builtin_memcpy(&s->l3, s->kept, sizeof(s->kept));
	s->key.dl_type = s->kept_type;
	s->key.nw_frag = s->kept_frag;
	s->is_changed = 1;
}

/* One action that is not an output. */
GLOBAL int nl_act(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !a)
		return STOP;
	int verdict = GO_ON;

	switch (a->op) {
	case NL_OP_SET:
		verdict = set_bytes(skb, s, a);
		break;
	case NL_OP_PUSH_VLAN:
		if (s->bare) {
			count(NL_COUNT_DROP_INVALID);
			return STOP;
		}
		verdict = push_vlan(skb, s, a->a32, a->a16);
		break;
	case NL_OP_POP_VLAN:
		verdict = pop_vlan(skb, s);
		break;
	case NL_OP_SET_VLAN:
		verdict = set_vlan(skb, s, a->a16, a->a32);
		break;
	case NL_OP_CHECK_LENGTH:
		if (longest_segment(skb, s) <= a->a32 + s->bare)
			s->skip = a->a16;
		return GO_ON;
	case NL_OP_SAMPLE:
		if (random_u32() >= a->a32)
			s->skip = a->a16;
		return GO_ON;
	case NL_OP_SAVE:
		save(skb, s);
		if (a->a8)
			save_front(skb, s);
		return GO_ON;
	case NL_OP_RESTORE:
		restore(skb, s);
		return GO_ON;
	case NL_OP_CUT:
		s->cut = a->a32;
		return GO_ON;
	case NL_OP_HASH: {
		u32 was_changed = key_as_it_is(skb, s);
		s->key.dp_hash = htonl(packet_hash(&s->key, a->a8, a->a32));
		if (was_changed)
			know_as_before(s);
		return GO_ON;
	}
	case NL_OP_METER:
		return nl_meter(skb, a->a32);
	case NL_OP_COUNT_DROP:
		count_reason(a->a32);
		return GO_ON;
	case NL_OP_CT_LABEL:
		if (a->a8 & 2)
			s->label_mask[a->a8 & 1] = a->a64;
		else
			s->label[a->a8 & 1] = a->a64;
		return GO_ON;
	case NL_OP_CT_NAT:
		s->nat_flags = a->a8;
		s->nat_ports = a->a32;
		__builtin_memset(s->nat_low, 0, 32);
		return GO_ON;
	case NL_OP_CT_NAT_ADDRESS: {
		u32 *address = a->a8 & 2 ? s->nat_high : s->nat_low;
		if (a->a8 & 1)
			address += 2;
		address[0] = a->a64;
		address[1] = a->a64 >> 32;
		return GO_ON;
	}
	case NL_OP_CT_CLEAR:
		clear_tracking(s);
		return GO_ON;
	case NL_OP_TRUNC:
		/* The kernel cuts no packet within its headers: user space does. */
		if (packet_size(skb) > a->a32 + s->bare &&
		    change_tail(skb, a->a32 + s->bare - (skb->vlan_present ? 4 : 0), 0))
			s->cut = a->a32;
		break;
	case NL_OP_SET_MARK:
		s->key.pkt_mark = htonl((ntohl(s->key.pkt_mark) & ~(u32)a->a64) | a->a32);
		skb->mark = ntohl(s->key.pkt_mark);
		return GO_ON;
	case NL_OP_SET_PRIORITY:
		s->key.skb_priority = htonl((ntohl(s->key.skb_priority) & ~(u32)a->a64) | a->a32);
		skb->priority = ntohl(s->key.skb_priority);
		return GO_ON;
	case NL_OP_SLOW:
		count(NL_COUNT_SLOW);
		nl_upcall(skb, NL_UPCALL_SLOW, s->slot);
		return STOP;
	case NL_OP_RECIRC:
		s->key.recirc_id = htonl(a->a32);
		return RECIRCULATE;
	case NL_OP_DROP:
		count_reason(a->a32);
		return STOP;
	}
	if (verdict == STOP)
		count(NL_COUNT_DROP_ACTION);
	return verdict;
}

/* The action that brings up a packet with its key as it is now. */
GLOBAL int nl_to_userspace(struct __sk_buff *skb, u32 argument)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return STOP;
	u32 was_changed = key_as_it_is(skb, s);
	nl_upcall(skb, NL_UPCALL_USERSPACE, argument);
	if (was_changed)
		know_as_before(s);
	s->cut = 0;
	return GO_ON;
}

/* Have user space do the rest: the actions of number `rest`, or all of the flow's. */
GLOBAL int nl_leave(struct __sk_buff *skb, u32 rest)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return STOP;
	nl_reparse(skb);
	count(NL_COUNT_SLOW);
	s->cut = 0;
	if (rest) {
		nl_upcall(skb, NL_UPCALL_USERSPACE, NL_TO_ACTIONS | rest);
	} else {
		/* User space finds the flow anew, and counts the packet. */
		u32 slot = s->slot;
		struct nl_flow *flow = map_lookup(&flows, &slot);
		if (flow) {
			__sync_fetch_and_add(&flow->packets, -1);
			__sync_fetch_and_add(&flow->bytes, s->bare - (s64)packet_size(skb));
		}
		nl_upcall(skb, NL_UPCALL_SLOW, s->slot);
	}
	return STOP;
}

/* Look behind more tags than the key has room for, if the packet was of type `type` before it was given
 * these: so it can be tracked, and a label goes where it belongs. Returns whether that was so. User space is told that type, too, by which
 * it knows how deep to look. */
GLOBAL int nl_look_behind_tags(struct __sk_buff *skb, u32 type)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || is_vlan(type))
		return 0;
	parse(skb, s, MAX_TAGS);
	s->key.dl_type = type;
	return 1;
}

#include "spread.h"

/* Headers of a tunnel on, in place of others, or off: 0 if user space has to do it, -1 if nobody can. */
INLINE int push_tunnel(struct __sk_buff *skb, struct nl_action *a)
{
	if (a->a8 & NL_PUSH_ENDS)
		return nl_tunnel_off(skb) ? 1 : -1;
	return a->a8 & NL_PUSH_AGAIN ? nl_tunnel_again(skb, a->a32, a->a16)
				     : nl_tunnel_push(skb, a->a32, a->a16, a->a8 & NL_PUSH_SPREADS);
}

/* An action that user space has to do in some cases. */
INLINE int run_or_leave(struct __sk_buff *skb, struct nl_scratch *s, struct nl_action *a)
{
	u32 rest = s->resume, op = a->op;
	int done = 0;

	s->resume = 0;
	if (op == NL_OP_RESUME_AT) {
		s->resume = a->a32;
		return GO_ON;
	}
	if (op == NL_OP_RESUME)
		return nl_leave(skb, a->a32);
	if (op == NL_OP_TUNNEL_PUSH) {
		done = push_tunnel(skb, a);
		if (done < 0) {
			count(NL_COUNT_DROP_ACTION);
			return STOP;
		}
		if (done && a->a8 & NL_PUSH_GOES_ON)
			nl_forget(skb, a->a64);
	} else if (op >= NL_OP_LAYER_DATA) {
		done = nl_change_layer(skb, a);
		if (done == DROPPED)
			return STOP;
	} else {
		be16 type = s->key.dl_type;
		s->is_hidden = 0;
		if (s->is_changed) {
			nl_reparse(skb);
			if (op != NL_OP_TUNNEL_POP && is_vlan(s->key.dl_type))
				s->is_hidden = nl_look_behind_tags(skb, type);
		}
		switch (op) {
		case NL_OP_CT:
			done = nl_ct(skb, a);
			/* What comes next sees no more of it than ever. */
			s->is_changed |= done & s->is_hidden;
			break;
		case NL_OP_TUNNEL_POP:
			done = nl_tunnel_pop(skb, a->a16, a->a32);
			break;
		case NL_OP_PUSH_MPLS:
			done = nl_push_label(skb, a->a16, a->a32);
			break;
		case NL_OP_POP_MPLS:
			done = nl_pop_label(skb, a->a16);
			/* What was behind the label can be written from now on. */
			nl_reparse(skb);
			break;
		}
	}
	if (!done)
		return nl_leave(skb, rest);
	return op == NL_OP_TUNNEL_POP ? RECIRCULATE : GO_ON;
}

/* One action, whichever it is. What is to leave by s->pending does so first. */
GLOBAL int nl_step(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !a)
		return STOP;
	u32 op = a->op;

	if (op == NL_OP_SKIP) {
		s->skip = a->a16;
		return GO_ON;
	}
	send_pending(skb, s);
	if (op == NL_OP_OUTPUT) {
		s->pending = device_of(skb, s, a->a32);
		return GO_ON;
	}
	if (op == NL_OP_NORMAL) {
		nl_normal(skb, a->a32);
		if (!s->n_sent)
			count(NL_COUNT_DROP_REASON);
		return GO_ON;
	}
	if (op >= NL_OP_CT)
		return run_or_leave(skb, s, a);
	return op == NL_OP_USERSPACE ? nl_to_userspace(skb, a->a32) : nl_act(skb, a);
}

/* Run the actions of s->slot; returns what to tell tc. All that a step leaves to the next is in the
 * scratch map: so the verifier finds one state behind each, not one for every way to it. */
INLINE int run_actions(struct __sk_buff *skb, struct nl_scratch *s, struct nl_flow *flow)
{
	int verdict = GO_ON;

	if (!flow->n_actions) {
		count(NL_COUNT_DROP_REASON);
		return NL_DROP;
	}
	struct nl_action *first = (struct nl_action *)flow->actions;
	if (flow->n_actions == 1 && first->op == NL_OP_OUTPUT && !s->is_special) {
		/* The most common of flows, without a call. */
		u32 port = first->a32;
		struct nl_output *output = map_lookup(&outputs, &port);
		if (output && output->kind == NL_PORT_DEVICE) {
			if (is_too_long(skb, output))
				return NL_DROP;
			s->pending = output->ifindex;
			s->pending_port = port;
			return leave(skb, s);
		}
	}
	s->pending = 0;
	if (s->bare && first->op != NL_OP_SLOW)
		__sync_fetch_and_add(&flow->bytes, -(s64)s->bare);
	NO_UNROLL
	for (u64 part = 0; part < NL_MAX_CHAIN; part++) {
		u32 n = flow->n_actions, next = flow->next;
		NO_UNROLL
		for (u32 i = 0; i < NL_SLOT_ACTIONS; i++) {
			if (i >= n)
				break;
			if (s->skip) {
				s->skip--;
				continue;
			}
			verdict = nl_step(skb, (struct nl_action *)flow->actions + i);
			if (verdict != GO_ON)
				goto done;
		}
		if (!next)
			break;
		flow = map_lookup(&flows, &next);
		if (!flow)
			break;
	}
done:
	s->skip = 0;
	if (s->pending)
		return leave(skb, s);
	if (verdict == RECIRCULATE) {
		if (s->depth < NL_MAX_RECIRCULATIONS) {
			s->depth++;
			tail_call(skb, &programs, NL_PROGRAM_RECIRCULATE);
		}
		count(NL_COUNT_DROP_RECIRCULATION);
	}
	return NL_DROP;
}

#endif
