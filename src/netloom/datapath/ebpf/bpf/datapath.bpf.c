/* The kernel data path: a packet that comes in at a port is parsed, its flow found, the flow's actions
 * run. What has no flow, or a flow that these programs cannot run, goes up to user space.
 *
 * nl_ingress is attached to every port, nl_uplink to devices that only tunnels lead through; nl_recirculate goes on after a recirculation (a tail call, for
 * the verifier follows every way through a loop), nl_found after a lookup that is a program of its own; nl_parse_only is for tests. */
#include "base.h"
#include "parse.h"
#include "lookup.h"
#include "upcall.h"
#include "actions.h"
#include "quick.h"
#include "uplink.h"
#include "outbox.h"
#include "policer.h"

#define NO_PORT 0xffffffff

INLINE u32 port_of(u32 ifindex)
{
	u32 slot = ifindex & (NL_DEVICE_SLOTS - 1), *port;
	struct nl_device *device = map_lookup(&devices, &slot);
	if (device && device->ifindex == ifindex)
		return device->port;
	port = map_lookup(&more_devices, &ifindex);
	return port ? *port : NO_PORT;
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
	s->is_special = 0;
	s->connection = 0;
	s->resume = 0;
	s->skip = 0;
	s->is_saving = 0;
}

/* Count a packet for the flow of s->slot, and run it. */
INLINE int run_found(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 slot = s->slot;
	struct nl_flow *flow = map_lookup(&flows, &slot);
	if (!flow)
		return NL_DROP;
	/* What user space runs, user space counts. */
	if (flow->n_actions != 1 || *(u8 *)flow->actions != NL_OP_SLOW) {
		count_packet(skb, flow, s->key.nw_proto == TCP ? s->key.tcp_flags : 0, coarse_ns());
		if (!s->depth)
			nl_keep_quick(skb);
	}
	return run_actions(skb, s, flow);
}

/* Find the flow of a packet as it is now, and run it. */
INLINE int forward(struct __sk_buff *skb, struct nl_scratch *s)
{
	switch (parse(skb, s, config_now.vlan_limit)) {
	case NL_INVALID:
		count(NL_COUNT_DROP_INVALID);
		return NL_DROP;
	case NL_UNPARSED:
		nl_upcall(skb, NL_UPCALL_UNPARSED, 0);
		return NL_DROP;
	}
	if (!nl_find_cached()) {
		/* It goes on to nl_found; if there is none, here. */
		tail_call(skb, &programs, NL_PROGRAM_LOOKUP);
		if (!find_slowly()) {
			nl_upcall(skb, NL_UPCALL_MISS, 0);
			return NL_DROP;
		}
		nl_keep_flow();
	}
	return run_found(skb, s);
}

/* Whether a flow that was found quickly does nothing but send its packets somewhere: then it is done,
 * and `verdict` says what to tell tc. */
INLINE int is_sent_quickly(struct __sk_buff *skb, struct nl_flow *flow, struct nl_raw *raw, int *verdict)
{
	struct nl_action *first = (struct nl_action *)flow->actions;

	if (flow->n_actions != 1 || first->op != NL_OP_OUTPUT)
		return 0;
	*verdict = leave_by_port(skb, first->a32, raw->destination);
	return *verdict;
}

/* The flow of a packet by its first bytes; 0 if they do not say. If it does nothing but send its packets
 * somewhere that is done, and `verdict` says what to tell tc. */
INLINE struct nl_flow *find_quickly(struct __sk_buff *skb, u32 *slot, int *verdict)
{
	struct nl_raw raw;

	if (!read_raw(skb, &raw))
		return 0;
	struct nl_quick *entry = quick_entry(&raw);
	if (!entry || !is_same_raw(entry, &raw))
		return 0;
	*slot = entry->slot;
	struct nl_flow *flow = map_lookup(&flows, slot);
	if (!flow)
		return 0;
	u64 now_ns = coarse_ns();
	count_packet(skb, flow, raw.all_flags, now_ns);
	if (is_sent_quickly(skb, flow, &raw, verdict))
		return flow;
	struct nl_action *first = (struct nl_action *)flow->actions;
	if (flow->n_actions == 1 && first->op == NL_OP_NORMAL) {
		u32 number = first->a32;
		*verdict = leave_as_decided(skb, entry, number, raw.destination, now_ns);
		if (!*verdict)
			*verdict = switch_quickly(skb, port_of(skb->ifindex), &raw, entry, number);
	}
	return flow;
}

SEC("tc") int nl_ingress(struct __sk_buff *skb)
{
	int verdict = 0;
	u32 slot = 0;

	if (config_now.n_policers && nl_police(skb, port_of(skb->ifindex)))
		return NL_DROP;
	struct nl_flow *flow = find_quickly(skb, &slot, &verdict);

	if (verdict)
		return verdict;
	struct nl_scratch *s = scratch_of_cpu();
	u32 port = port_of(skb->ifindex);
	if (!s)
		return NL_DROP;
	if (port == NO_PORT) {
		count(NL_COUNT_DROP_PORT);
		return NL_DROP;
	}
	start_key(skb, s, port);
	if (!flow)
		return forward(skb, s);
	parse(skb, s, config_now.vlan_limit);
	s->slot = slot;
	return run_actions(skb, s, flow);
}

SEC("tc") int nl_uplink(struct __sk_buff *skb)
{
	struct nl_end end;

	if (!read_end(skb, &end) || !map_lookup(&ends, &end))
		return NL_PASS;
	tail_call(skb, &programs, NL_PROGRAM_INGRESS);
	return NL_DROP;
}

SEC("tc") int nl_recirculate(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	return s ? forward(skb, s) : NL_DROP;
}

/* What the lookup made for the masks goes on with: it has found a flow, or none. */
SEC("tc") int nl_found(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return NL_DROP;
	if (!s->slot) {
		nl_upcall(skb, NL_UPCALL_MISS, 0);
		return NL_DROP;
	}
	nl_keep_flow();
	return run_found(skb, s);
}

/* Leaves the key in the scratch map, and says what the parser said. */
SEC("tc") int nl_parse_only(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return NL_INVALID;
	start_key(skb, s, port_of(skb->ifindex));
	return parse(skb, s, config_now.vlan_limit);
}

/* What user space asks of the table of connections. */
SEC("tc") int nl_track(struct __sk_buff *skb)
{
	return nl_answer(skb);
}

/* Sends what user space has put into its outbox. */
SEC("tc") int nl_deliver(struct __sk_buff *skb)
{
	return nl_send_next(skb);
}

char _license[] SEC("license") = "GPL";
