/* How a packet leaves for a device, as the last thing that is done to it.
 *
 * Behind a pair of veth devices whose other end is another namespace's, the packet is handed to that end
 * at once (bpf_redirect_peer), which spares it a queue and a turn of the receiving processor. That must
 * look the same from there: it is done only for packets that the end would take for its own (the pair
 * decides by the address whose packet it is), that are not longer than it takes, and that carry no mark
 * or priority, which the pair would forget. The type that the kernel keeps beside the packet must be the
 * packet's, for nobody looks again: out of a tunnel comes a packet with the tunnel's. Where something
 * looks at, shapes or changes what leaves the near end, user space says that there is no shortcut
 * (shortcuts.py). */
#ifndef NL_LEAVE_H
#define NL_LEAVE_H

#include "base.h"
#include "parse.h"

#define MAC_BITS 0xffffffffffffull
#define PACKET_HOST 0

/* Whether the packet is longer than the port's device takes, whose MTU is about what is behind Ethernet's
 * header and a tag: then it goes nowhere, and is counted. What a device is to segment is not. */
INLINE int is_too_long(struct __sk_buff *skb, struct nl_output *output)
{
	u32 length = skb->len, most = output->most;

	if (length <= most || skb->gso_size || !most)
		return 0;
	/* Perhaps it takes more by now, and user space has not seen that yet. */
	u32 mtu = 0;
	check_mtu(skb, output->ifindex, &mtu, 0, 0);
	if (mtu + 14 > most)
		output->most = most = mtu + 14;
	if (length <= most)
		return 0;
	if (length <= most + 4 && !skb->vlan_present && is_vlan(skb->protocol))
		return 0;
	__sync_fetch_and_add(&output->too_long, 1);
	return 1;
}

/* The shortcut; 0 if the packet is to go the usual way. `destination` is in the low 48 bits. */
INLINE int leave_by_peer(struct __sk_buff *skb, struct nl_output *output, u64 destination)
{
	u64 peer = output->peer_mac;

	if (!peer || peer != (destination & MAC_BITS) || skb->mark | skb->priority ||
	    (skb->len > output->longest && !skb->gso_size))
		return 0;
	u32 ifindex = output->ifindex;
	__sync_fetch_and_add(&output->packets, 1);
	__sync_fetch_and_add(&output->bytes, skb->len);
	change_type(skb, PACKET_HOST);
	return redirect_peer(ifindex, 0);
}

/* By the port of s->pending. */
INLINE int leave(struct __sk_buff *skb, struct nl_scratch *s)
{
	u32 port = s->pending_port;
	struct nl_output *output = map_lookup(&outputs, &port);
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (output && output->ifindex == s->pending && data + 14 <= data_end &&
	    *(be16 *)(data + 12) == (be16)skb->protocol) {
		int verdict = leave_by_peer(skb, output, *(u64 *)data);
		if (verdict)
			return verdict;
	}
	return redirect(s->pending, 0);
}

#endif
