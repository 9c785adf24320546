/* The way of most packets: IPv4 with TCP or UDP, no tag in its bytes, no options, seen before. Its first
 * bytes, as far as any flow looks at them (config.raw), are compared with those of an earlier packet
 * that went through parser and lookup; if they are the same, so is the flow.
 *
 * What must hold: all that the key has of such a packet is in the bytes compared, or the same for all of
 * them. Of the metadata that is the port (by its device); packets with a mark or a priority go the long
 * way. An entry says by itself that its packets are of this kind, for type, version, header length,
 * fragment and protocol are always compared; lengths are not, and are checked each time. */
#ifndef NL_QUICK_H
#define NL_QUICK_H

#include "base.h"
#include "parse.h"
#include "actions.h"
#include "decision.h"

#define QUICK_BYTES 42
#define TAGGED (1ull << 63)
/* One packet in so many takes the place of another flow's: where there are more flows than entries, it
 * is better to keep some than to change all the time. */
#define KEEP_ONE_IN 8

struct nl_raw {
	u64 words[4];
	/* Ports, flags of TCP above; device, tag above. */
	u64 ports;
	u64 origin;
	/* Not compared: the first 8 bytes as they are, and all flags. */
	u64 destination;
	u32 all_flags;
	/* Of what was wanted when this was read. */
	u32 generation;
};

INLINE u32 generation_now(void)
{
	return *(volatile u32 *)&config_now.generation;
}

/* What is compared of a packet; false if it is not of the kind. */
INLINE int read_raw(struct __sk_buff *skb, struct nl_raw *raw)
{
	struct nl_config *c = &config_now;
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	raw->generation = generation_now();
	if (!raw->generation || data + QUICK_BYTES > data_end || skb->mark | skb->priority)
		return 0;
	u8 *byte = data;
	u32 length = ntohs(*(be16 *)(data + 16)), least = 28;

	if (byte[23] == TCP) {
		if (data + 54 > data_end)
			return 0;
		u32 header = byte[46] >> 4;
		if (header < 5)
			return 0;
		least = 20 + 4 * header;
		raw->all_flags = *(be16 *)(data + 46) & htons(0x0fff);
	} else if (byte[23] == UDP) {
		raw->all_flags = 0;
	} else {
		return 0;
	}
	if (length < least || length + 14 > skb->len)
		return 0;
	raw->origin = skb->ifindex;
	if (skb->vlan_present) {
		if (skb->vlan_proto != htons(ETH_VLAN) || !c->vlan_limit)
			return 0;
		raw->origin |= TAGGED | (u64)skb->vlan_tci << 32;
	}
	raw->destination = *(u64 *)data;
	raw->words[0] = raw->destination & c->raw[0];
	raw->words[1] = *(u64 *)(data + 8) & c->raw[1];
	raw->words[2] = *(u64 *)(data + 16) & c->raw[2];
	raw->words[3] = *(u64 *)(data + 26) & c->raw[3];
	raw->ports = (*(u32 *)(data + 34) & c->raw_ports) | (u64)(raw->all_flags & c->raw_tcp_flags) << 32;
	return 1;
}

INLINE struct nl_quick *quick_entry(struct nl_raw *raw)
{
	u64 hash = (raw->words[3] ^ raw->ports) * 0x9e3779b97f4a7c15;
	hash ^= hash >> 32;
	hash += raw->words[0] + raw->words[1] + raw->words[2] + raw->origin + raw->ports;
	hash *= 0xbf58476d1ce4e5b9;
	u32 index = hash >> 40 & (NL_QUICK_ENTRIES - 1);
	return map_lookup(&quick, &index);
}

INLINE int is_same_raw(struct nl_quick *entry, struct nl_raw *raw)
{
	return entry->words[3] == raw->words[3] && entry->ports == raw->ports &&
	       entry->words[0] == raw->words[0] && entry->words[1] == raw->words[1] &&
	       entry->words[2] == raw->words[2] && entry->generation == raw->generation && generation_now() == raw->generation &&
	       entry->origin == raw->origin;
}

/* Count a packet for its flow. */
INLINE void count_packet(struct __sk_buff *skb, struct nl_flow *flow, u32 tcp_flags, u64 now_ns)
{
	u32 flags = ntohs(tcp_flags);

	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, skb->len + (skb->vlan_present ? 4 : 0));
	flow->used_ns = now_ns;
	if ((flow->tcp_flags & flags) != flags)
		__sync_fetch_and_or(&flow->tcp_flags, flags);
}

/* Have the next packets like this one, which is parsed and not changed, find the flow of s->slot. */
GLOBAL int nl_keep_quick(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_raw raw;

	/* What is wanted may have changed since the flow was looked for. */
	if (!s || s->l3 != 14 || s->l4 != 34 || s->net != NL_NET_IPV4 || s->key.nw_frag ||
	    !read_raw(skb, &raw) || raw.generation != s->generation)
		return 0;
	struct nl_quick *entry = quick_entry(&raw);
	if (!entry || (entry->generation == s->generation && random_u32() % KEEP_ONE_IN))
		return 0;
	entry->generation = 0;
	for (int i = 0; i < 4; i++)
		entry->words[i] = raw.words[i];
	entry->ports = raw.ports;
	entry->origin = raw.origin;
	entry->slot = s->slot;
	entry->decision = 0;
	if (generation_now() == s->generation)
		entry->generation = s->generation;
	return 0;
}

/* NORMAL needs little of the key. */
INLINE int switch_quickly(struct __sk_buff *skb, u32 port, struct nl_raw *raw, struct nl_quick *entry,
			  u32 number)
{
	struct nl_scratch *s = scratch_of_cpu();
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (!s || data + 14 > data_end)
		return NL_DROP;
	__builtin_memcpy(s->key.dl_dst, data, 6);
	__builtin_memcpy(s->key.dl_src, data + 6, 6);
	s->key.vlan_tpid = raw->origin & TAGGED ? htons(ETH_VLAN) : 0;
	s->key.vlan_tci = raw->origin & TAGGED ? key_tci(htons(raw->origin >> 32)) : 0;
	s->port = port;
	s->is_special = 0;
	u32 tag = ntohs(s->key.vlan_tci);
	u64 decision = decision_begun(number);
	nl_normal(skb, number);
	if (decision)
		keep_decision(s, entry, decision, tag);
	if (!s->n_sent)
		count(NL_COUNT_DROP_REASON);
	return s->pending ? leave(skb, s) : NL_DROP;
}

#endif
