/* Connection tracking: userspace/conntrack/tracker.py in the kernel.
 *
 * Here connections are committed, judged and removed: TCP's states and windows, the phases of the other
 * protocols, time limits, limits of zones, translation; and ICMP errors about connections that are not
 * translated. Whatever else there is (a fragment, a helper, SCTP, an error about a translated connection,
 * a checksum that is wrong) leaves the packet as it is and gets SLOW for an answer: user space runs the
 * flow. It reads the same table. */
#ifndef NL_CT_H
#define NL_CT_H

#include "base.h"
#include "parse.h"
#include "ct_tuple.h"
#include "ct_table.h"
#include "ct_open.h"

#define CT_NEW 1
#define CT_EST 2
#define CT_REL 4
#define CT_RPL 8
#define CT_INV 0x10
#define CT_TRK 0x20
#define CT_SNAT 0x40
#define CT_DNAT 0x80

#define MAX_ACK_WINDOW (0xffff + 1500)
#define MAX_SCALE 14

/* States of one side of TCP; those that are compared. */
#define CLOSED 0
#define SYN_SENT 2
#define ESTABLISHED 4
#define CLOSING 7
#define FIN_WAIT_2 9
#define TIME_WAIT 10

enum { VERDICT_SLOW, VERDICT_VALID, VERDICT_VALID_NEW, VERDICT_ROUGH, VERDICT_INVALID, VERDICT_NEW };

GLOBAL int nl_write(struct __sk_buff *skb, u32 how, u32 word, u32 value, u32 mask);

INLINE int is_after(u32 a, u32 b)
{
	return (int)(a - b) > 0;
}

INLINE int reaches(u32 a, u32 b)
{
	return (int)(a - b) >= 0;
}

#define MAX_OPTIONS 12
/* The window scale option; NO_SCALE without one. */
INLINE int read_scale(struct __sk_buff *skb, u32 at, u32 end)
{
	NO_UNROLL
	for (int i = 0; i < MAX_OPTIONS; i++) {
		u8 option[2], scale;
		if (at >= end || load_bytes(skb, at, option, 1) || !option[0])
			break;
		if (option[0] == 1) {
			at++;
			continue;
		}
		if (at + 1 >= end || load_bytes(skb, at, option, 2) || option[1] < 2)
			break;
		if (option[0] == 3 && option[1] == 3 && at + 2 < end) {
			load_bytes(skb, at + 2, &scale, 1);
			return scale > MAX_SCALE ? MAX_SCALE : scale;
		}
		at += option[1];
	}
	return NO_SCALE;
}

/* Read the TCP header; 0 if it is none. */
GLOBAL int nl_read_segment(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	u8 head[20];

	if (!s || s->l4_size < 20 || load_bytes(skb, s->l4, head, 20))
		return 0;
	u32 offset = (head[12] >> 4) * 4;
	if (offset < 20 || offset > s->l4_size)
		return 0;
	s->tcp_flags = head[13];
	s->seq = ntohl(*(be32 *)(head + 4));
	s->ack = ntohl(*(be32 *)(head + 8));
	s->window = ntohs(*(be16 *)(head + 14));
	s->length = s->l4_size - offset;
	s->scale = s->tcp_flags & SYN ? read_scale(skb, s->l4 + 20, s->l4 + offset) : NO_SCALE;
	return 1;
}

/* Judge the segment by copies of both sides, which it may change. */
INLINE int judge_segment(struct nl_scratch *s, struct nl_side *src, struct nl_side *dst, int checks)
{
	u32 flags = s->tcp_flags, end, seq = s->seq, ack = s->ack, window = s->window;
	u32 src_scale = 0, dst_scale = 0;
	int knows_ack = 1, skew = 0, verdict;

	if (has_invalid_flags(flags))
		return VERDICT_INVALID;
	if ((flags & (SYN | ACK)) == SYN) {
		if (src->state >= FIN_WAIT_2 && dst->state >= FIN_WAIT_2)
			return VERDICT_NEW;
		if (src->state <= SYN_SENT) {
			src->state = SYN_SENT;
			return VERDICT_VALID_NEW;
		}
	}
	if (!(flags & SYN)) {
		if (src->scale >= 0 && dst->scale >= 0) {
			src_scale = src->scale;
			dst_scale = dst->scale;
		} else if (src->scale == UNKNOWN_SCALE && dst->scale == UNKNOWN_SCALE) {
			src_scale = dst_scale = MAX_SCALE;
		}
	}
	end = seq + s->length + !!(flags & SYN) + !!(flags & FIN);
	if (src->state < SYN_SENT) {
		if (flags & SYN && dst->scale >= 0) {
			src->scale = s->scale;
			if (src->scale >= 0) {
				src_scale = src->scale;
				dst_scale = dst->scale;
				window = scale_down(window, src_scale);
			} else {
				dst->window <<= dst->scale & 15;
				dst->scale = NO_SCALE;
			}
		}
		src->low = seq;
		src->state = SYN_SENT;
		u32 room = dst->window << (dst_scale & 15), high = end + (room ? room : 1);
		if (src->high == 1 || reaches(high, src->high)) {
			src->high = high;
			knows_ack = 0;
		}
		if (window > src->window)
			src->window = window;
	}
	if (!(flags & ACK) || (!ack && flags & RST))
		ack = dst->low;
	if (seq == end)
		seq = end = src->low;
	if (knows_ack)
		skew = dst->low - ack;
	int limit = MAX_ACK_WINDOW << (src_scale & 15), off = s->seq - src->low;
	if (!checks || (reaches(src->high, end) &&
			reaches(seq, src->low - (dst->window << (dst_scale & 15))) &&
			skew >= -MAX_ACK_WINDOW && skew <= limit &&
			(!(flags & RST) || (off >= -1 && off <= 1)))) {
		verdict = VERDICT_VALID;
	} else if ((dst->state < SYN_SENT || src->state >= FIN_WAIT_2 || dst->state >= FIN_WAIT_2) &&
		   reaches(src->high + MAX_ACK_WINDOW, end) && reaches(seq, src->low - MAX_ACK_WINDOW)) {
		verdict = VERDICT_ROUGH;
	} else {
		return VERDICT_INVALID;
	}
	if (window > src->window)
		src->window = window;
	if (is_after(end, src->low))
		src->low = end;
	u32 scaled = window << (src_scale & 15);
	if (reaches(ack + scaled, dst->high))
		dst->high = ack + (scaled ? scaled : 1);
	if (flags & FIN && src->state < CLOSING)
		src->state = CLOSING;
	if (verdict == VERDICT_VALID && flags & ACK) {
		if (dst->state == SYN_SENT)
			dst->state = ESTABLISHED;
		else if (dst->state == CLOSING)
			dst->state = FIN_WAIT_2;
	}
	if (flags & RST)
		src->state = dst->state = TIME_WAIT;
	return verdict;
}

/* Which of a TCP connection's time limits is in force. */
INLINE u32 tcp_limit(u32 a, u32 b)
{
	u32 low = a < b ? a : b, high = a < b ? b : a;

	if (low >= FIN_WAIT_2)
		return NL_LIMIT_TCP_CLOSED;
	if (low >= CLOSING)
		return NL_LIMIT_TCP_FIN_WAIT;
	if (low < ESTABLISHED)
		return NL_LIMIT_TCP_OPENING;
	return high >= CLOSING ? NL_LIMIT_TCP_CLOSING : NL_LIMIT_TCP_ESTABLISHED;
}

INLINE void extend(struct nl_connection *c, u32 limit, u64 now)
{
	c->used_ns = now;
	c->expires_ns = now + NS_PER_S * c->limits[limit & 7];
}

INLINE int update_tcp(struct nl_scratch *s, struct nl_connection *c, int is_reply, int checks, u64 now)
{
	struct nl_side *src = &s->source, *dst = &s->destination;
	int verdict = VERDICT_SLOW;

	lock(c);
	if (c->serial == s->serial) {
		__builtin_memcpy(src, is_reply ? c->second : c->first, sizeof(*src));
		__builtin_memcpy(dst, is_reply ? c->first : c->second, sizeof(*dst));
		verdict = judge_segment(s, src, dst, checks);
	}
	if (verdict == VERDICT_VALID || verdict == VERDICT_VALID_NEW || verdict == VERDICT_ROUGH) {
		__builtin_memcpy(is_reply ? c->second : c->first, src, sizeof(*src));
		__builtin_memcpy(is_reply ? c->first : c->second, dst, sizeof(*dst));
		if (verdict == VERDICT_VALID_NEW)
			extend(c, NL_LIMIT_TCP_OPENING, now);
		else if (verdict == VERDICT_VALID)
			extend(c, tcp_limit(src->state, dst->state), now);
	}
	unlock(c);
	return verdict;
}

/* A connection that is not TCP's. */
INLINE int update_phase(struct nl_connection *c, int is_reply, u64 now)
{
	int verdict = VERDICT_VALID;

	if (c->kind == NL_CONNECTION_ICMP) {
		if (is_reply)
			c->phase = NL_LIMIT_ICMP_REPLY;
		else if (c->phase == NL_LIMIT_ICMP_FIRST)
			verdict = VERDICT_VALID_NEW;
	} else if (is_reply) {
		c->phase = NL_LIMIT_UDP_MULTIPLE;
	} else if (c->phase != NL_LIMIT_UDP_MULTIPLE) {
		/* New until there is an answer. */
		c->phase = NL_LIMIT_UDP_SINGLE;
		verdict = VERDICT_VALID_NEW;
	}
	extend(c, c->phase, now);
	return verdict;
}

INLINE void clear_tracking(struct nl_scratch *s)
{
	struct nl_key *key = &s->key;

	key->ct_state = 0;
	key->ct_zone = 0;
	key->ct_mark = 0;
	key->ct_nw_proto = 0;
	key->ct_tp_src = key->ct_tp_dst = 0;
	key->ct_nw_src = key->ct_nw_dst = 0;
	if (s->rare_metadata) {
		__builtin_memset(key->ct_ipv6_src, 0, 16);
		__builtin_memset(key->ct_ipv6_dst, 0, 16);
		__builtin_memset(key->ct_label, 0, 16);
	}
}

/* Write to the key the tuple of a connection's first packet: addresses and ports of an nl_tuple or an
 * nl_connection. */
INLINE void say_tuple(struct nl_key *key, const u32 *ends, u32 proto, u32 family)
{
	u32 sport = ends[8], dport = ends[9];

	key->ct_nw_proto = proto;
	if (proto == ICMP || proto == ICMPV6) {
		key->ct_tp_src = htons(sport >> 8 & 0xff);
		key->ct_tp_dst = htons(sport & 0xff);
	} else {
		key->ct_tp_src = htons(sport);
		key->ct_tp_dst = htons(dport);
	}
	if (family == 4) {
		key->ct_nw_src = ends[0];
		key->ct_nw_dst = ends[4];
		__builtin_memset(key->ct_ipv6_src, 0, 32);
	} else {
		__builtin_memcpy(key->ct_ipv6_src, ends, 16);
		__builtin_memcpy(key->ct_ipv6_dst, ends + 4, 16);
	}
}

INLINE void say_state(struct nl_scratch *s, u32 state, u32 zone)
{
	clear_tracking(s);
	s->key.ct_state = htonl(state | CT_TRK);
	s->key.ct_zone = htons(zone);
}

/* Write to the key what is said of a packet of a connection. */
INLINE void say_tracked(struct nl_scratch *s, u32 state, u32 zone, struct nl_connection *c)
{
	struct nl_key *key = &s->key;

	say_state(s, state, zone);
	s->rare_metadata = 1;
	key->ct_mark = htonl(c->mark);
	__builtin_memcpy(key->ct_label, c->label, 16);
	say_tuple(key, c->src, c->proto, c->family);
}

/* Give one side of the packet another address, and both their ports: who cannot have the destination that
 * he is given with his own port has another. */
INLINE void rewrite(struct __sk_buff *skb, struct nl_connection *c, u32 *address, u32 ports, int is_source)
{
	u32 layer = NL_LAYER_NETWORK;

	if (c->family == 4) {
		nl_write(skb, layer | NL_SUM_IPV4_PSEUDO << 4, is_source ? 12 : 16, address[0], ~0u);
	} else {
		NO_UNROLL
		for (u32 i = 0; i < 4; i++)
			nl_write(skb, layer | NL_SUM_PSEUDO << 4, (is_source ? 8 : 24) + 4 * i, address[i], ~0u);
	}
	if (c->kind != NL_CONNECTION_ICMP && (c->proto == TCP || c->proto == UDP))
		nl_write(skb, NL_LAYER_TRANSPORT | NL_SUM_TRANSPORT << 4, 0, ports, ~0u);
}

/* Translate a packet of the connection of s->connection, which is translated; returns the packet's state. A
 * function of its own, for the stack of nl_ct. */
GLOBAL u32 nl_translate(struct __sk_buff *skb, u32 state, u32 was_zone, u32 zone)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return state;
	u32 place = s->connection - 1, is_reply = s->is_reply;
	struct nl_connection *c = map_lookup(&connections, &place);

	if (!c)
		return state;
	if (state & (CT_SNAT | CT_DNAT)) {
		if (was_zone == zone)
			return state;
		state &= ~(CT_SNAT | CT_DNAT);
	}
	int is_source = (c->nat == NL_NAT_SOURCE) != is_reply;
	/* What the other direction's packets are addressed to is what this direction's come from. */
	u32 *address = is_reply ? (is_source ? c->dst : c->src) : is_source ? c->reply_dst : c->reply_src;
	u32 sport = is_reply ? c->dport : c->reply_dport, dport = is_reply ? c->sport : c->reply_sport;
	rewrite(skb, c, address, htons(sport) | htons(dport) << 16, is_source);
	return state | (is_source ? CT_SNAT : CT_DNAT);
}

/* Set the bits of mark and label that the action says. */
INLINE void set_mark(struct nl_scratch *s, struct nl_connection *c, struct nl_action *a)
{
	u32 mask = a->a64;

	if (mask)
		c->mark = (c->mark & ~mask) | (a->a32 & mask);
	if (a->a8 & NL_CT_LABEL) {
		for (int i = 0; i < 2; i++)
			c->label[i] = (c->label[i] & ~s->label_mask[i]) | (s->label[i] & s->label_mask[i]);
	}
}

/* Whether the connection is that of s->tuple: what was found may have become another's meanwhile. */
INLINE int is_of_tuple(struct nl_scratch *s, struct nl_connection *c, int is_reply)
{
	u32 *ends = is_reply ? c->reply_src : c->src, *wanted = s->tuple.src, difference = 0;

	UNROLL
	for (int i = 0; i < 10; i++)
		difference |= ends[i] ^ wanted[i];
	return !difference && c->zone == s->tuple.zone && c->proto == s->tuple.proto;
}

/* A packet that cannot be; of TCP it is also said why, if its flags are so or, for `reason`, its place. */
GLOBAL int nl_count_invalid(u32 is_segment, u32 reason)
{
	struct nl_scratch *s = scratch_of_cpu();

	count(NL_COUNT_CT_INVALID);
	if (!s || !is_segment)
		return 0;
	if (has_invalid_flags(s->tcp_flags))
		count(NL_COUNT_CT_FLAGS);
	else if (reason)
		count(NL_COUNT_CT_SEQUENCE);
	return 0;
}

enum { FOUND_SLOW, FOUND_NONE, FOUND };

/* Look for the connection of s->tuple and move it on: to s->connection, and what the packet is to it to
 * *verdict. */
GLOBAL int nl_find_connection(struct nl_action *a, u32 is_related, u32 checks)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !a)
		return FOUND_SLOW;
	struct nl_entry *found = map_lookup(&tuples, &s->tuple);
	u64 now = coarse_ns();

	s->connection = 0;
	if (!found)
		return FOUND_NONE;
	u32 where = found->place, serial = found->serial, place = where >> 1, is_reply = where & 1;
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!c || c->serial != serial)
		return FOUND_SLOW;
	if (c->expires_ns <= now || (a->a8 & NL_CT_FORCE && is_reply)) {
		/* Of one that was translated user space counts that it is known no more. */
		if (is_related ||
		    (ntohl(s->key.ct_state) & (CT_SNAT | CT_DNAT) && !(a->a8 & NL_CT_NAT)))
			return FOUND_SLOW;
		/* It is over, or its initiator may not be who was thought. */
		nl_evict(place, serial, 0);
		return FOUND_NONE;
	}
	if (c->kind < NL_CONNECTION_TCP || !is_of_tuple(s, c, is_reply))
		return FOUND_SLOW;
	s->serial = serial;
	s->is_reply = is_reply;
	s->verdict = VERDICT_VALID;
	if (!is_related) {
		u32 verdict = c->kind == NL_CONNECTION_TCP ? update_tcp(s, c, is_reply, checks, now)
							   : update_phase(c, is_reply, now);
		if (verdict == VERDICT_SLOW)
			return FOUND_SLOW;
		if (verdict == VERDICT_NEW) {
			nl_evict(place, serial, 0);
			return FOUND_NONE;
		}
		if (c->kind == NL_CONNECTION_TCP && !checks)
			count(NL_COUNT_CT_UNCHECKED);
		s->verdict = verdict;
	} else if (c->nat && a->a8 & NL_CT_NAT) {
		return FOUND_SLOW;
	}
	s->connection = place + 1;
	return FOUND;
}

/* What the programs make of a packet that no connection owns; 0 for user space. */
INLINE int track_unknown(struct __sk_buff *skb, struct nl_scratch *s, struct nl_action *a, u32 before,
			 u32 is_related, u32 is_complete)
{
	if (!is_complete || (before & (CT_SNAT | CT_DNAT) && !(a->a8 & NL_CT_NAT)))
		return OPEN_SLOW;
	if (is_related || !s->opens) {
		if (!nl_is_intact(skb))
			return OPEN_SLOW;
		nl_count_invalid(s->proto == TCP && !is_related, 0);
		say_state(s, CT_INV, a->a16);
		return OPEN_NOT_KEPT;
	}
	u32 opened = a->a8 & NL_CT_COMMIT ? nl_open(skb, a) : nl_is_intact(skb) ? OPEN_NOT_KEPT : OPEN_SLOW;
	if (opened == OPEN_NOT_KEPT) {
		say_state(s, CT_NEW, a->a16);
		s->rare_metadata = 1;
		say_tuple(&s->key, s->tuple.src, s->tuple.proto, s->tuple.family);
	}
	return opened;
}

/* The state of a packet whose connection s->verdict says something about. */
INLINE u32 judged(struct nl_scratch *s, u32 state)
{
	switch (s->verdict) {
	case VERDICT_INVALID:
		nl_count_invalid(s->proto == TCP, 1);
		return CT_INV;
	case VERDICT_VALID_NEW:
		return state | CT_NEW;
	}
	return (state & ~CT_NEW) | CT_EST | (s->is_reply ? CT_RPL : 0);
}

/* The `ct` action on a packet whose key is up to date; 0 if user space has to do it, with the packet as
 * it is. */
GLOBAL int nl_ct(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !a)
		return 0;
	u32 before = ntohl(s->key.ct_state), was_zone = ntohs(s->key.ct_zone), zone = a->a16;
	u32 state = before & ~CT_TRK, flags = config_now.ct_flags, is_related = 0;
	int opens = 0, found;

	if (before == CT_INV)
		return 0;
	if (was_zone != zone)
		/* What was said in another zone means nothing here. */
		before = state = 0;
	if (before & CT_INV)
		return 0;
	if (before && was_zone == zone && s->connection && !(a->a8 & (NL_CT_FORCE | NL_CT_ANEW))) {
		/* Tracked here in an earlier pass: not counted against its connection again. */
		s->is_reply = !!(before & CT_RPL);
	} else {
		/* One that was translated here is found otherwise. */
		if (before & (CT_SNAT | CT_DNAT))
			return 0;
		if (a->a8 & NL_CT_ANEW)
			/* What was said of its addresses before they were changed. */
			state = 0;
		if (!fill_tuple(skb, s, &s->tuple, zone, &opens)) {
			is_related = nl_fill_quoted(skb, zone);
			if (!is_related)
				return 0;
		} else if (s->proto == TCP && !nl_read_segment(skb)) {
			return 0;
		}
		s->opens = opens;
		found = nl_find_connection(a, is_related, flags & NL_CT_CHECKS_SEQUENCE);
		if (found == FOUND_SLOW)
			return 0;
		if (found == FOUND) {
			state = is_related ? state | CT_REL | (s->is_reply ? CT_RPL : 0) : judged(s, state);
		} else {
			found = track_unknown(skb, s, a, before, is_related, flags & NL_CT_COMPLETE);
			if (found != OPEN_KEPT)
				return found;
			s->is_reply = 0;
			state = CT_NEW;
		}
	}
	u32 place = s->connection - 1;
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!c || c->serial != s->serial || c->kind < NL_CONNECTION_TCP)
		return 0;
	if (a->a8 & NL_CT_NAT && c->nat)
		state = nl_translate(skb, state, was_zone, zone);
	set_mark(s, c, a);
	say_tracked(s, state, zone, c);
	if (is_related)
		s->connection = 0;
	return 1;
}

#endif
