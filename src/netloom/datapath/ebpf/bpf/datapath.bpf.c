/* The kernel data path: a packet that comes in at a port is parsed, its flow found, the flow's actions
 * run. What has no flow, or a flow that these programs cannot run, goes up to user space.
 *
 * nl_ingress is attached to every port; nl_recirculate goes on after a recirculation (a tail call, for
 * the verifier follows every way through a loop); nl_parse_only is for tests. */
#include "base.h"
#include "parse.h"
#include "lookup.h"
#include "upcall.h"
#include "actions.h"

INLINE u32 port_of(u32 ifindex)
{
	u32 slot = ifindex & (NL_DEVICE_SLOTS - 1), *port;
	struct nl_device *device = map_lookup(&devices, &slot);
	if (device && device->ifindex == ifindex)
		return device->port;
	port = map_lookup(&more_devices, &ifindex);
	return port ? *port : 0xffffffff;
}

INLINE void start_key(struct __sk_buff *skb, struct nl_scratch *s, u32 port)
{
	struct nl_key *key = &s->key;

	clear_options(s);
	if (s->rare_metadata) {
		__builtin_memset(key->tun_ipv6_src, 0, 72);
		__builtin_memset(key->ct_ipv6_src, 0, 48);
		__builtin_memset(&key->ct_nw_src, 0, 16);
		s->rare_metadata = 0;
	}
	__builtin_memset(&key->skb_priority, 0, 28);
	key->skb_priority = htonl(skb->priority);
	key->pkt_mark = htonl(skb->mark);
	key->recirc_id = 0;
	key->in_port = htonl(port);
	s->port = port;
	s->depth = 0;
	s->cut = 0;
	s->connection = 0;
	s->resume = 0;
	s->skip = 0;
	s->is_saving = 0;
}

/* Find the flow of a parsed packet and run it. */
INLINE int forward(struct __sk_buff *skb, struct nl_scratch *s, struct nl_config *c)
{
	switch (parse(skb, s, c->vlan_limit)) {
	case NL_INVALID:
		count(NL_COUNT_DROP_INVALID);
		return NL_DROP;
	case NL_UNPARSED:
		nl_upcall(skb, NL_UPCALL_UNPARSED, 0);
		return NL_DROP;
	}
	if (!nl_find_flow()) {
		nl_upcall(skb, NL_UPCALL_MISS, 0);
		return NL_DROP;
	}
	u32 slot = s->slot;
	struct nl_flow *flow = map_lookup(&flows, &slot);
	if (!flow)
		return NL_DROP;
	/* What user space runs, user space counts. */
	if (flow->n_actions != 1 || *(u8 *)flow->actions != NL_OP_SLOW) {
		count(NL_COUNT_HITS);
		__sync_fetch_and_add(&flow->packets, 1);
		__sync_fetch_and_add(&flow->bytes, skb->len + (skb->vlan_present ? 4 : 0));
		flow->used_ns = coarse_ns();
		u32 flags = s->key.nw_proto == TCP ? ntohs(s->key.tcp_flags) : 0;
		if ((flow->tcp_flags & flags) != flags)
			__sync_fetch_and_or(&flow->tcp_flags, flags);
	}
	return run_actions(skb, s, flow);
}

SEC("tc") int nl_ingress(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	u32 zero = 0;
	struct nl_config *c = map_lookup(&config, &zero);
	if (!s || !c)
		return NL_DROP;
	u32 port = port_of(skb->ifindex);
	if (port == 0xffffffff) {
		count(NL_COUNT_DROP_PORT);
		return NL_DROP;
	}
	start_key(skb, s, port);
	return forward(skb, s, c);
}

SEC("tc") int nl_recirculate(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	u32 zero = 0;
	struct nl_config *c = map_lookup(&config, &zero);
	if (!s || !c)
		return NL_DROP;
	return forward(skb, s, c);
}

/* Leaves the key in the scratch map, and says what the parser said. */
SEC("tc") int nl_parse_only(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	u32 zero = 0;
	struct nl_config *c = map_lookup(&config, &zero);
	if (!s || !c)
		return NL_INVALID;
	start_key(skb, s, port_of(skb->ifindex));
	return parse(skb, s, c->vlan_limit);
}

/* What user space asks of the table of connections. */
SEC("tc") int nl_track(struct __sk_buff *skb)
{
	return nl_answer(skb);
}

char _license[] SEC("license") = "GPL";
