/* New connections: committed here, as userspace/conntrack/tracker.py does it; whatever is special about
 * one (a helper, an address that is hard to find, no room) is left to user space. */
#ifndef NL_CT_OPEN_H
#define NL_CT_OPEN_H

#include "base.h"
#include "checksum.h"
#include "ct_table.h"
#include "hash.h"

#define NO_SCALE -1
#define UNKNOWN_SCALE -2
/* Ports, or addresses, that are tried before user space is asked to find one. */
#define NAT_TRIES 64
#define PORTS_AT_ONCE 65536

enum { OPEN_SLOW, OPEN_NOT_KEPT, OPEN_KEPT };

INLINE u32 scale_down(u32 window, u32 scale)
{
	return (window + (1u << (scale & 15)) - 1) >> (scale & 15);
}

/* Whether the packet's checksums are right, or left to a device; so is what nobody can say here. */
GLOBAL int nl_is_intact(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	u32 l4 = s->l4, size = s->l4_size, proto = s->proto, field, is_ipv6 = s->net == NL_NET_IPV6;
	u16 found;
	int sum, pseudo = 0;

	if (skb->gso_size)
		return 1;
	if (!is_ipv6 && (nl_sum(skb, s->l3, l4) & 0xffff) != 0xffff)
		return 0;
	field = proto == TCP ? 16 : proto == UDP ? 6 : proto == ICMPV6 || proto == ICMP ? 2 : 0;
	if (!field)
		return 1;
	if (load_bytes(skb, l4 + field, &found, 2))
		return 0;
	if (proto == UDP && !found)
		return !is_ipv6;
	if (proto != ICMP) {
		pseudo = nl_sum_pseudo(skb, s->l3 + (is_ipv6 ? 8 : 12), is_ipv6, proto, size);
		if (pseudo < 0)
			return 0;
		if (proto != ICMPV6 && found == (u16)pseudo)
			return 1;
	}
	sum = nl_sum(skb, l4, l4 + size);
	return sum >= 0 && fold((u64)sum + pseudo) == 0xffff;
}

/* The first segment, as both sides know it. */
INLINE void start_tcp(struct nl_scratch *s, struct nl_connection *c)
{
	struct nl_side *side = &s->source;
	u32 flags = s->tcp_flags, window = s->window ? s->window : 1;

	side->state = 2;
	side->low = s->seq;
	side->high = s->seq + s->length + 1 + !!(flags & SYN) + !!(flags & FIN);
	side->scale = flags & SYN ? s->scale : UNKNOWN_SCALE;
	side->window = side->scale > 0 ? scale_down(window, side->scale) : window;
	__builtin_memcpy(c->first, side, sizeof(*side));
	side->state = side->low = 0;
	side->high = side->window = 1;
	side->scale = flags & SYN ? NO_SCALE : UNKNOWN_SCALE;
	__builtin_memcpy(c->second, side, sizeof(*side));
}

INLINE u32 add_words(u32 state, const u32 *words)
{
	for (int i = 0; i < 4; i++)
		state = add_word(state, words[i]);
	return state;
}

/* Where the search for a translation begins: the same for the same connection, as in
 * userspace/conntrack/nat.py. */
INLINE u32 nat_start(struct nl_scratch *s)
{
	struct nl_tuple *t = &s->tuple;

	if (s->nat_flags & NL_NAT_IS_RANDOM)
		return random_u32();
	u32 state = add_words(0, t->src);
	if (!(s->nat_flags & NL_NAT_IS_PERSISTENT)) {
		state = add_words(state, t->dst);
		state = add_word(add_word(add_word(state, t->sport), t->dport), t->proto);
	}
	state = add_words(add_words(state, s->nat_low), s->nat_high);
	return finish(add_word(state, s->nat_ports), t->family);
}

/* Give the reply's side the `step`-th address of the range; 0 if there is none. */
INLINE int choose_address(struct nl_scratch *s, u32 step)
{
	u32 *to = s->nat_flags & NL_NAT_IS_SOURCE ? s->reply.dst : s->reply.src;
	u32 last = s->tuple.family == 4 ? 0 : 3;

	if (!(s->nat_flags & NL_NAT_IS_HAS_ADDRESS))
		return !step;
	if (last && (s->nat_low[0] ^ s->nat_high[0] || s->nat_low[1] ^ s->nat_high[1] ||
		     s->nat_low[2] ^ s->nat_high[2]))
		return 0;
	u32 low = ntohl(last ? s->nat_low[3] : s->nat_low[0]);
	u64 size = (u64)ntohl(last ? s->nat_high[3] : s->nat_high[0]) - low + 1;
	if (step >= size)
		return 0;
	u32 number = htonl(low + (u32)(((u64)s->nat_start + step) % size));
	__builtin_memcpy(to, s->nat_low, 16);
	if (last)
		to[3] = number;
	else
		to[0] = number;
	return 1;
}

/* Give it the `step`-th port that it may have; 0 if there is none. */
INLINE int choose_port(struct nl_scratch *s, u32 step)
{
	u32 low = s->nat_ports & 0xffff, high = s->nat_ports >> 16, port = s->tuple.sport;
	u32 is_source = s->nat_flags & NL_NAT_IS_SOURCE;

	if (low) {
		u32 size = high - low + 1;
		if (high < low || step >= size)
			return 0;
		u32 number = low + (u32)(((u64)s->nat_start + step) % size);
		if (is_source)
			s->reply.dport = number;
		else
			s->reply.sport = number;
		return 1;
	}
	/* The port that it has, then those of its class: privileged ports stay so. */
	low = port < 512 ? 1 : port < 1024 ? 600 : 1024;
	u32 size = (port < 512 ? 511 : port < 1024 ? 1023 : 65535) - low + 1;
	if (step) {
		if (step > size)
			return 0;
		/* As in Python, also for ports below the class's first. */
		port = low + (port - low + step - 1 + (port < low ? size : 0)) % size;
	}
	s->reply.dport = port;
	return 1;
}

/* Find a tuple for answers that is nobody's, and take it: s->reply. */
GLOBAL int nl_take_reply(u32 translates)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	struct nl_tuple *t = &s->tuple, *reply = &s->reply;
	u32 has_ports = t->proto == TCP || t->proto == UDP;

	__builtin_memcpy(reply->src, t->dst, 16);
	__builtin_memcpy(reply->dst, t->src, 16);
	reply->sport = t->dport;
	reply->dport = t->sport;
	reply->zone = t->zone;
	reply->proto = t->proto;
	reply->family = t->family;
	s->entry.place |= 1;
	if (!translates)
		return !is_taken(reply) && !map_update(&tuples, reply, &s->entry, ONLY_NEW);
	s->nat_start = nat_start(s);
	if (has_ports && !choose_address(s, 0))
		return 0;
	NO_UNROLL
	for (u32 step = 0; step < NAT_TRIES; step++) {
		if (has_ports ? !choose_port(s, step) : !choose_address(s, step))
			return 0;
		if (!is_taken(reply) && !map_update(&tuples, reply, &s->entry, ONLY_NEW))
			return 1;
	}
	return 0;
}

/* Whether the limits admit one more connection. */
INLINE int has_room(struct nl_tracker *t, u32 zone_no)
{
	struct nl_zone *zone = map_lookup(&zones, &zone_no);
	if (!zone)
		return 0;
	u32 limit = zone->has_limit ? zone->limit : t->default_limit;
	if (limit && zone->count >= limit) {
		count(NL_COUNT_CT_ZONE_FULL);
		return 0;
	}
	if (t->n_connections >= t->max_connections) {
		count(NL_COUNT_CT_FULL);
		return 0;
	}
	return 1;
}

INLINE void fill_connection(struct nl_scratch *s, struct nl_connection *c, u32 policy_no, u64 now)
{
	struct nl_policy *policy = map_lookup(&policies, &policy_no);
	struct nl_tuple *t = &s->tuple;
	u32 is_icmp = t->proto == ICMP || t->proto == ICMPV6;

	__builtin_memcpy(c->src, t->src, 40);
	__builtin_memcpy(c->reply_src, s->reply.src, 40);
	c->zone = t->zone;
	c->proto = t->proto;
	c->family = t->family;
	c->phase = c->mark = 0;
	c->label[0] = c->label[1] = 0;
	if (policy)
		__builtin_memcpy(c->limits, t->proto == TCP ? policy->tcp : is_icmp ? policy->icmp : policy->udp,
				 sizeof(c->limits));
	if (t->proto == TCP)
		start_tcp(s, c);
	c->used_ns = now;
	c->expires_ns = now + NS_PER_S * c->limits[0];
}

/* Commit the connection of s->tuple. If it is kept, its place is in s->connection. */
GLOBAL int nl_open(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_tracker *t = the_tracker();
	if (!s || !a || !t)
		return OPEN_SLOW;
	struct nl_tuple *tuple = &s->tuple;
	u32 zone = tuple->zone, flags = a->a8, translates = flags & NL_CT_TRANSLATES;

	if (flags & NL_CT_HELPED || !nl_is_intact(skb))
		return OPEN_SLOW;
	if (!has_room(t, zone))
		return OPEN_NOT_KEPT;
	u32 found = begin(t, zone), place = found - 1;
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!found || !c)
		return OPEN_SLOW;
	u32 serial = next_serial(t);
	s->entry.serial = serial;
	s->entry.place = place << 1;
	/* Whoever finds the tuples before all is done has to wait for user space. */
	lock(c);
	c->kind = NL_CONNECTION_SLOW;
	fill_connection(s, c, a->a64 >> 32, coarse_ns());
	c->serial = serial;
	if (map_update(&tuples, tuple, &s->entry, ONLY_NEW)) {
		if (__sync_val_compare_and_swap(&c->serial, serial, 0) == serial)
			give_up(t, c, place, zone);
		unlock(c);
		return OPEN_SLOW;
	}
	if (!nl_take_reply(translates)) {
		drop_tuple(tuple, serial);
		if (__sync_val_compare_and_swap(&c->serial, serial, 0) == serial)
			give_up(t, c, place, zone);
		unlock(c);
		return OPEN_SLOW;
	}
	__builtin_memcpy(c->reply_src, s->reply.src, 40);
	c->nat = !translates ? NL_NAT_NONE : s->nat_flags & NL_NAT_IS_SOURCE ? NL_NAT_SOURCE : NL_NAT_DESTINATION;
	*(volatile u32 *)&c->kind = tuple->proto == TCP ? NL_CONNECTION_TCP
				    : tuple->proto == ICMP || tuple->proto == ICMPV6 ? NL_CONNECTION_ICMP
										   : NL_CONNECTION_UDP;
	if (*(volatile u32 *)&c->serial != serial) {
		/* Evicted meanwhile, when not all of its tuples were there to be dropped. */
		drop_tuple(tuple, serial);
		drop_tuple(&s->reply, serial);
		c->kind = NL_CONNECTION_FREE;
		unlock(c);
		return OPEN_SLOW;
	}
	unlock(c);
	s->connection = found;
	s->serial = serial;
	count(NL_COUNT_CT_OPENED);
	return OPEN_KEPT;
}

#endif
