/* Connection tracking: userspace/conntrack/tracker.py for connections that are committed already.
 *
 * User space commits connections and keeps them; for each there is an entry here, found under the tuples
 * of both directions. As long as a packet only moves a connection on, it is judged here: TCP's states and
 * windows, the phases of the other protocols, time limits, translation; and ICMP errors about connections
 * that are not translated. Whatever else there is (a packet that commits, a fragment, a packet that
 * contradicts its connection, an entry that says so) leaves the packet as it is and gets SLOW for an answer: user space runs the flow. It sees the
 * entries' state before it judges, and writes back what it changed. */
#ifndef NL_CT_H
#define NL_CT_H

#include "base.h"
#include "parse.h"
#include "ct_tuple.h"

#define CT_NEW 1
#define CT_EST 2
#define CT_REL 4
#define CT_RPL 8
#define CT_INV 0x10
#define CT_TRK 0x20
#define CT_SNAT 0x40
#define CT_DNAT 0x80

#define NS_PER_S 1000000000ull
#define MAX_ACK_WINDOW (0xffff + 1500)
#define MAX_SCALE 14
#define NO_SCALE -1
#define UNKNOWN_SCALE -2

/* States of one side of TCP; those that are compared. */
#define CLOSED 0
#define SYN_SENT 2
#define ESTABLISHED 4
#define CLOSING 7
#define FIN_WAIT_2 9
#define TIME_WAIT 10

enum { VERDICT_SLOW, VERDICT_VALID, VERDICT_VALID_NEW, VERDICT_ROUGH };

GLOBAL int nl_write(struct __sk_buff *skb, u32 how, u32 word, u32 value, u32 mask);

/* What a TCP header says. */
struct segment {
	u32 flags;
	u32 seq;
	u32 ack;
	u32 window;
	u32 length;
	int scale;
};

INLINE int is_after(u32 a, u32 b)
{
	return (int)(a - b) > 0;
}

INLINE int reaches(u32 a, u32 b)
{
	return (int)(a - b) >= 0;
}

INLINE u32 scale_down(u32 window, u32 scale)
{
	return (window + (1u << (scale & 15)) - 1) >> (scale & 15);
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

/* Judge a segment by copies of both sides, which it may change. */
INLINE int judge_segment(struct nl_side *src, struct nl_side *dst, struct segment *g, int checks)
{
	u32 flags = g->flags, end, seq = g->seq, ack = g->ack, window = g->window;
	u32 src_scale = 0, dst_scale = 0;
	int knows_ack = 1, skew = 0, verdict;

	if (has_invalid_flags(flags))
		return VERDICT_SLOW;
	if ((flags & (SYN | ACK)) == SYN) {
		if (src->state >= FIN_WAIT_2 && dst->state >= FIN_WAIT_2)
			return VERDICT_SLOW;
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
	end = seq + g->length + !!(flags & SYN) + !!(flags & FIN);
	if (src->state < SYN_SENT) {
		if (flags & SYN && dst->scale >= 0) {
			src->scale = g->scale;
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
	int limit = MAX_ACK_WINDOW << (src_scale & 15), off = g->seq - src->low;
	if (!checks || (reaches(src->high, end) &&
			reaches(seq, src->low - (dst->window << (dst_scale & 15))) &&
			skew >= -MAX_ACK_WINDOW && skew <= limit &&
			(!(flags & RST) || (off >= -1 && off <= 1)))) {
		verdict = VERDICT_VALID;
	} else if ((dst->state < SYN_SENT || src->state >= FIN_WAIT_2 || dst->state >= FIN_WAIT_2) &&
		   reaches(src->high + MAX_ACK_WINDOW, end) && reaches(seq, src->low - MAX_ACK_WINDOW)) {
		verdict = VERDICT_ROUGH;
	} else {
		return VERDICT_SLOW;
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

INLINE int update_tcp(struct __sk_buff *skb, struct nl_scratch *s, struct nl_connection *c, int is_reply,
		      int checks, u64 now)
{
	u8 head[20];
	struct segment g;
	int verdict;

	if (s->l4_size < 20 || load_bytes(skb, s->l4, head, 20))
		return VERDICT_SLOW;
	u32 offset = (head[12] >> 4) * 4;
	if (offset < 20 || offset > s->l4_size)
		return VERDICT_SLOW;
	g.flags = head[13];
	g.seq = ntohl(*(be32 *)(head + 4));
	g.ack = ntohl(*(be32 *)(head + 8));
	g.window = ntohs(*(be16 *)(head + 14));
	g.length = s->l4_size - offset;
	g.scale = g.flags & SYN ? read_scale(skb, s->l4 + 20, s->l4 + offset) : NO_SCALE;
	NO_UNROLL
	for (int i = 0; i < 256; i++) {
		if (!__sync_lock_test_and_set(&c->lock, 1))
			break;
	}
	struct nl_side *src = &s->source, *dst = &s->destination;
	__builtin_memcpy(src, is_reply ? c->second : c->first, sizeof(*src));
	__builtin_memcpy(dst, is_reply ? c->first : c->second, sizeof(*dst));
	verdict = judge_segment(src, dst, &g, checks);
	if (verdict != VERDICT_SLOW) {
		__builtin_memcpy(is_reply ? c->second : c->first, src, sizeof(*src));
		__builtin_memcpy(is_reply ? c->first : c->second, dst, sizeof(*dst));
		if (verdict == VERDICT_VALID_NEW)
			extend(c, NL_LIMIT_TCP_OPENING, now);
		else if (verdict == VERDICT_VALID)
			extend(c, tcp_limit(src->state, dst->state), now);
	}
	__sync_lock_test_and_set(&c->lock, 0);
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
	} else if (c->phase == NL_LIMIT_UDP_FIRST) {
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

/* Write to the key what is said of the packet. */
INLINE void say_tracked(struct nl_scratch *s, u32 state, u32 zone, struct nl_connection *c)
{
	struct nl_key *key = &s->key;

	clear_tracking(s);
	key->ct_state = htonl(state | CT_TRK);
	key->ct_zone = htons(zone);
	if (!c)
		return;
	s->rare_metadata = 1;
	key->ct_mark = htonl(c->mark);
	__builtin_memcpy(key->ct_label, c->label, 16);
	key->ct_nw_proto = c->proto;
	if (c->kind == NL_CONNECTION_ICMP) {
		key->ct_tp_src = htons(c->sport >> 8 & 0xff);
		key->ct_tp_dst = htons(c->sport & 0xff);
	} else {
		key->ct_tp_src = htons(c->sport);
		key->ct_tp_dst = htons(c->dport);
	}
	if (c->family == 4) {
		key->ct_nw_src = c->src[0];
		key->ct_nw_dst = c->dst[0];
		__builtin_memset(key->ct_ipv6_src, 0, 32);
	} else {
		__builtin_memcpy(key->ct_ipv6_src, c->src, 16);
		__builtin_memcpy(key->ct_ipv6_dst, c->dst, 16);
	}
}

/* Give one side of the packet another address and port. */
INLINE void rewrite(struct __sk_buff *skb, struct nl_connection *c, u32 *address, u32 port, int is_source)
{
	u32 layer = NL_LAYER_NETWORK;

	if (c->family == 4) {
		nl_write(skb, layer | NL_SUM_IPV4_PSEUDO << 4, is_source ? 12 : 16, address[0], ~0u);
	} else {
		NO_UNROLL
		for (u32 i = 0; i < 4; i++)
			nl_write(skb, layer | NL_SUM_PSEUDO << 4, (is_source ? 8 : 24) + 4 * i, address[i], ~0u);
	}
	if (c->kind != NL_CONNECTION_ICMP && (c->proto == TCP || c->proto == UDP)) {
		u32 be = htons(port);
		nl_write(skb, NL_LAYER_TRANSPORT | NL_SUM_TRANSPORT << 4, 0, is_source ? be : be << 16,
			 is_source ? 0xffff : 0xffff0000);
	}
}

INLINE u32 translate(struct __sk_buff *skb, struct nl_connection *c, u32 state, u32 was_zone,
		     u32 zone, int is_reply)
{
	if (!c->nat)
		return state;
	if (state & (CT_SNAT | CT_DNAT)) {
		if (was_zone == zone)
			return state;
		state &= ~(CT_SNAT | CT_DNAT);
	}
	int is_source = (c->nat == NL_NAT_SOURCE) != is_reply;
	/* What the other direction's packets are addressed to is what this direction's come from. */
	u32 *address = is_reply ? (is_source ? c->dst : c->src) : is_source ? c->reply_dst : c->reply_src;
	u32 port = is_reply ? (is_source ? c->dport : c->sport)
			    : is_source ? c->reply_dport : c->reply_sport;
	rewrite(skb, c, address, port, is_source);
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

/* The `ct` action on a packet whose key is up to date; 0 if user space has to do it, with the packet as
 * it is. */
GLOBAL int nl_ct(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	u32 zero = 0;
	struct nl_config *config_now = map_lookup(&config, &zero);
	if (!s || !a || !config_now)
		return 0;
	u32 before = ntohl(s->key.ct_state), was_zone = ntohs(s->key.ct_zone), zone = a->a16;
	u32 state = before & ~CT_TRK, flags = config_now->ct_flags, place;
	int is_reply = 0, opens = 0, verdict = VERDICT_VALID, is_known = 0, is_related = 0;
	u64 now = coarse_ns();

	if (before & CT_INV)
		return 0;
	if (before && was_zone == zone && s->connection) {
		/* Tracked here in an earlier pass: not counted against its connection again. */
		if (a->a8 & NL_CT_FORCE)
			return 0;
		place = s->connection - 1;
		is_reply = !!(before & CT_RPL);
		is_known = 1;
	} else {
		if (!fill_tuple(skb, s, &s->tuple, zone, &opens)) {
			is_related = nl_fill_quoted(skb, zone);
			if (!is_related)
				return 0;
		}
		u32 *found = map_lookup(&tuples, &s->tuple);
		if (!found) {
			if (is_related || !opens || !(flags & NL_CT_COMPLETE) || a->a8 & NL_CT_COMMIT ||
			    before & (CT_SNAT | CT_DNAT))
				return 0;
			say_tracked(s, CT_NEW, zone, 0);
			s->connection = 0;
			return 1;
		}
		place = *found >> 1;
		is_reply = *found & 1;
	}
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!c || c->kind < NL_CONNECTION_TCP || c->expires_ns <= now)
		return 0;
	if (is_related) {
		if (a->a8 & NL_CT_FORCE || (c->nat && a->a8 & NL_CT_NAT))
			return 0;
		state |= CT_REL | (is_reply ? CT_RPL : 0);
	} else if (!is_known) {
		if (a->a8 & NL_CT_FORCE && is_reply)
			return 0;
		verdict = c->kind == NL_CONNECTION_TCP
				  ? update_tcp(skb, s, c, is_reply, flags & NL_CT_CHECKS_SEQUENCE, now)
				  : update_phase(c, is_reply, now);
		if (verdict == VERDICT_SLOW)
			return 0;
		if (verdict == VERDICT_VALID_NEW)
			state |= CT_NEW;
		else
			state = (state & ~CT_NEW) | CT_EST | (is_reply ? CT_RPL : 0);
	}
	if (a->a8 & NL_CT_NAT)
		state = translate(skb, c, state, was_zone, zone, is_reply);
	set_mark(s, c, a);
	say_tracked(s, state, zone, c);
	s->connection = is_related ? 0 : place + 1;
	return 1;
}

#endif
