/* The table of connections, which the programs and user space share.
 *
 * An entry is alive while its serial number is not 0. Whoever takes that to 0, in one atomic step and
 * from the number that he saw, removes the connection: nobody else does, and none that came to the same
 * place meanwhile. Both tuples name place and serial number, so that what is left of a connection that
 * goes is never taken for one that comes. The places that are free are in a ring of their own, as many as
 * there are places: a place that was just left is the last to be taken again.
 *
 * User space changes none of this by itself: it asks nl_track, a program that it runs for the purpose. */
#ifndef NL_CT_TABLE_H
#define NL_CT_TABLE_H

#include "base.h"

#define NS_PER_S 1000000000ull
#define ANY 0
#define ONLY_NEW 1
#define TRIES 8

INLINE struct nl_tracker *the_tracker(void)
{
	u32 zero = 0;
	return map_lookup(&tracker, &zero);
}

INLINE void lock(struct nl_connection *c)
{
	NO_UNROLL
	for (int i = 0; i < 256; i++) {
		if (!__sync_lock_test_and_set(&c->lock, 1))
			break;
	}
}

INLINE void unlock(struct nl_connection *c)
{
	__sync_lock_test_and_set(&c->lock, 0);
}

/* 1 + a free place; 0 if there is none. */
INLINE u32 take_place(struct nl_tracker *t)
{
	NO_UNROLL
	for (int i = 0; i < TRIES; i++) {
		u64 head = *(volatile u64 *)&t->head;
		if (head >= *(volatile u64 *)&t->tail)
			return 0;
		u32 index = head & (NL_MAX_CONNECTIONS - 1);
		u64 *place = map_lookup(&places, &index);
		if (!place || !*place)
			return 0;
		u32 found = *place;
		if (__sync_val_compare_and_swap(&t->head, head, head + 1) == head) {
			*place = 0;
			return found;
		}
	}
	return 0;
}

INLINE void leave_place(struct nl_tracker *t, u32 place)
{
	u32 index = __sync_fetch_and_add(&t->tail, 1) & (NL_MAX_CONNECTIONS - 1);
	u64 *free = map_lookup(&places, &index);
	if (free)
		*(volatile u64 *)free = place + 1;
}

/* Never 0. */
INLINE u32 next_serial(struct nl_tracker *t)
{
	u32 serial = __sync_fetch_and_add(&t->serial, 1) + 1;
	return serial ? serial : __sync_fetch_and_add(&t->serial, 1) + 1;
}

INLINE void fill_from(struct nl_tuple *t, struct nl_connection *c, int is_reply)
{
	__builtin_memcpy(t->src, is_reply ? c->reply_src : c->src, 40);
	t->zone = c->zone;
	t->proto = c->proto;
	t->family = c->family;
}

/* Remove a tuple, unless another connection has it by now. */
INLINE void drop_tuple(struct nl_tuple *t, u32 serial)
{
	struct nl_entry *entry = map_lookup(&tuples, t);
	if (entry && entry->serial == serial)
		map_delete(&tuples, t);
}

/* Remove a connection; 0 if somebody else did, or if it has not expired and only that would be a reason.
 * (One function, for stacks are short.) */
GLOBAL int nl_evict(u32 place, u32 serial, u32 only_expired)
{
	struct nl_connection *c = map_lookup(&connections, &place);
	struct nl_tuple tuple;

	if (!c || !serial || (only_expired && (c->serial != serial || c->expires_ns > coarse_ns())))
		return 0;
	if (__sync_val_compare_and_swap(&c->serial, serial, 0) != serial)
		return 0;
	fill_from(&tuple, c, 0);
	drop_tuple(&tuple, serial);
	fill_from(&tuple, c, 1);
	drop_tuple(&tuple, serial);
	u32 zone_no = c->zone;
	struct nl_zone *zone = map_lookup(&zones, &zone_no);
	if (zone)
		__sync_fetch_and_add(&zone->count, -1);
	struct nl_tracker *t = the_tracker();
	if (!t)
		return 0;
	__sync_fetch_and_add(&t->n_connections, -1);
	c->kind = NL_CONNECTION_FREE;
	leave_place(t, place);
	return 1;
}

/* Whether a tuple is a living connection's. Inline: Linux 6.1 takes no argument for a key. */
INLINE int is_taken(struct nl_tuple *tuple)
{
	struct nl_entry *entry = map_lookup(&tuples, tuple);
	return entry && !nl_evict(entry->place >> 1, entry->serial, 1);
}

/* A place for a connection, counted; 0 if there is none. */
INLINE u32 begin(struct nl_tracker *t, u32 zone_no)
{
	u32 found = take_place(t);
	struct nl_zone *zone = map_lookup(&zones, &zone_no);

	if (!found)
		return 0;
	__sync_fetch_and_add(&t->n_connections, 1);
	if (zone)
		__sync_fetch_and_add(&zone->count, 1);
	return found;
}

/* Undo `begin`. */
INLINE void give_up(struct nl_tracker *t, struct nl_connection *c, u32 place, u32 zone_no)
{
	struct nl_zone *zone = map_lookup(&zones, &zone_no);

	c->serial = 0;
	c->kind = NL_CONNECTION_FREE;
	__sync_fetch_and_add(&t->n_connections, -1);
	if (zone)
		__sync_fetch_and_add(&zone->count, -1);
	leave_place(t, place);
}

/* Have both tuples of a connection name it; 0 if another has the first. */
INLINE int enter(struct nl_connection *c, struct nl_entry *entry)
{
	struct nl_tuple tuple;

	fill_from(&tuple, c, 0);
	if (is_taken(&tuple) || map_update(&tuples, &tuple, entry, ONLY_NEW))
		return 0;
	fill_from(&tuple, c, 1);
	entry->place |= 1;
	is_taken(&tuple);
	/* As in user space: who comes last has it. */
	if (map_update(&tuples, &tuple, entry, ANY)) {
		fill_from(&tuple, c, 0);
		map_delete(&tuples, &tuple);
		return 0;
	}
	return 1;
}

/* What user space asks for. */

#define CONNECTION_AT sizeof(struct nl_request)

/* Have the connection at `place`, whose members are written, found by its tuples; 0 if another has the
 * first of them: then the place is free again. */
INLINE int publish(struct nl_tracker *t, struct nl_connection *c, u32 place, u32 zone_no)
{
	struct nl_entry entry = { .place = place << 1, .serial = next_serial(t) };

	c->serial = entry.serial;
	if (enter(c, &entry))
		return 1;
	give_up(t, c, place, zone_no);
	return 0;
}

INLINE int add_asked(struct __sk_buff *skb, struct nl_tracker *t, struct nl_request *r)
{
	u32 found = begin(t, r->zone), place = found - 1;

	if (!found)
		return 0;
	struct nl_connection *c = map_lookup(&connections, &place);
	if (!c)
		return 0;
	if (load_bytes(skb, CONNECTION_AT, c, sizeof(*c))) {
		give_up(t, c, place, r->zone);
		return 0;
	}
	return publish(t, c, place, r->zone) ? found : 0;
}

INLINE int update_asked(struct __sk_buff *skb, struct nl_request *r)
{
	u32 place = r->place, kind = 0;
	struct nl_connection *c = map_lookup(&connections, &place);
	u32 from = __builtin_offsetof(struct nl_connection, phase);

	if (!c || c->serial != r->serial)
		return 0;
	lock(c);
	if (c->serial == r->serial) {
		load_bytes(skb, CONNECTION_AT + __builtin_offsetof(struct nl_connection, kind), &kind, 4);
		c->kind = kind;
		load_bytes(skb, CONNECTION_AT + from, &c->phase,
			   __builtin_offsetof(struct nl_connection, src) - __builtin_offsetof(struct nl_connection, phase));
	}
	unlock(c);
	return 1;
}

INLINE int sweep_asked(struct nl_tracker *t, struct nl_request *r)
{
	u64 now = coarse_ns() - NL_SWEEP_MARGIN_NS;

	NO_UNROLL
	for (int i = 0; i < NL_SWEPT_AT_ONCE; i++) {
		u32 place = t->cursor++ & (NL_MAX_CONNECTIONS - 1);
		struct nl_connection *c = map_lookup(&connections, &place);
		if (!c)
			break;
		u32 serial = *(volatile u32 *)&c->serial;
		if (!serial)
			continue;
		if (r->kind == NL_REQUEST_SWEEP ? (s64)(c->expires_ns - now) > 0
						: r->zone != NL_ALL_ZONES && r->zone != c->zone)
			continue;
		t->n_swept += nl_evict(place, serial, 0);
	}
	return 0;
}

/* Do what the packet asks; what is answered is for who asked. */
GLOBAL int nl_answer(struct __sk_buff *skb)
{
	struct nl_tracker *t = the_tracker();
	struct nl_request r;

	if (!t || load_bytes(skb, 0, &r, sizeof(r)))
		return 0;
	switch (r.kind) {
	case NL_REQUEST_ADD:
		return add_asked(skb, t, &r);
	case NL_REQUEST_UPDATE:
		return update_asked(skb, &r);
	case NL_REQUEST_REMOVE:
		return nl_evict(r.place, r.serial, 0);
	}
	return sweep_asked(t, &r);
}

#endif
