/* What comes in at a device of the host that is no bridge's, but that tunnels lead through: the packets
 * that are some tunnel's are ours, all others the host's, which never knows that we looked.
 *
 * Ours is what is sent to this machine, in one piece, to an address and UDP port (or protocol) where
 * user space says that a tunnel listens (map `ends`). Pieces are left to the host, which puts them together
 * for sockets of ours (reassembled.py). */
#ifndef NL_UPLINK_H
#define NL_UPLINK_H

#include "base.h"
#include "parse.h"

#define UPLINK_L3 14
#define UPLINK_GRE 47
#define UPLINK_FRAGMENT 0x3fff

/* The end of a tunnel that a packet may be for; false if it is for none. */
INLINE int read_end(struct __sk_buff *skb, struct nl_end *end)
{
	u8 head[40];
	u32 l4;

	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return 0;
	__builtin_memset(end, 0, sizeof(*end));
	if (skb->protocol == htons(ETH_IPV4)) {
		if (load_bytes(skb, UPLINK_L3, head, 20) || *(be16 *)(head + 6) & htons(UPLINK_FRAGMENT))
			return 0;
		end->proto = head[9];
		end->address[2] = htonl(0xffff);
		__builtin_memcpy(&end->address[3], head + 16, 4);
		l4 = UPLINK_L3 + 4 * (head[0] & 15);
	} else if (skb->protocol == htons(ETH_IPV6)) {
		if (load_bytes(skb, UPLINK_L3, head, 40))
			return 0;
		end->proto = head[6];
		__builtin_memcpy(end->address, head + 24, 16);
		l4 = UPLINK_L3 + 40;
	} else {
		return 0;
	}
	if (end->proto == UDP)
		return !load_bytes(skb, l4 + 2, &end->port, 2);
	return end->proto == UPLINK_GRE;
}

#endif
