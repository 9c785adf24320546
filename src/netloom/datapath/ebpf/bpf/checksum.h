/* Checksums over whole packets, for tunnels that have them.
 *
 * What a device is to complete later need not be summed: with its pseudo header it will come to all
 * ones, so what its bytes will come to is the complement of the pseudo header's sum, which stands in its
 * checksum field meanwhile (by which it is known; if that were chance, the sum would be the same). */
#ifndef NL_CHECKSUM_H
#define NL_CHECKSUM_H

#include "base.h"
#include "parse.h"

static s64 (*const csum_diff)(const void *from, u32 from_size, const void *to, u32 to_size,
			      u32 seed) = (void *)28;
static s64 (*const csum_level)(struct __sk_buff *skb, u64 operation) = (void *)135;

/* The helper takes no more at a time. */
#define SUM_BYTES 512
#define MAX_SUM_BYTES 9728

INLINE u32 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of the packet's bytes from `at` to `end`, 17 bits at most; -1 if they are too many. */
GLOBAL int nl_sum(struct __sk_buff *skb, u32 at, u32 end)
{
	struct nl_scratch *s = scratch_of_cpu();
	u64 sum = 0;

	if (!s || end < at || end - at > MAX_SUM_BYTES)
		return -1;
	u8 *room = (u8 *)s->masked;
	NO_UNROLL
	for (int i = 0; i < MAX_SUM_BYTES / SUM_BYTES; i++) {
		if (at + SUM_BYTES > end)
			break;
		if (load_bytes(skb, at, room, SUM_BYTES))
			return -1;
		sum += (u32)csum_diff(0, 0, room, SUM_BYTES, 0);
		at += SUM_BYTES;
	}
	u32 rest = end - at - 1;
	if (at < end) {
		NO_UNROLL
		for (int i = 0; i < SUM_BYTES / 4; i++)
			s->masked[i] = 0;
		OPAQUE(rest);
		rest &= SUM_BYTES - 1;
		if (load_bytes(skb, at, room, rest + 1))
			return -1;
		sum += (u32)csum_diff(0, 0, room, SUM_BYTES, 0);
	}
	return fold(sum);
}

/* The sum of a pseudo header: addresses at `at`. */
GLOBAL int nl_sum_pseudo(struct __sk_buff *skb, u32 at, u32 is_ipv6, u32 proto, u32 length)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return -1;
	u32 *addresses = s->work;

	__builtin_memset(addresses, 0, 32);
	if (is_ipv6 ? load_bytes(skb, at, addresses, 32) : load_bytes(skb, at, addresses, 8))
		return -1;
	u64 sum = htons(proto) + (u64)htonl(length);
	for (int i = 0; i < 8; i++)
		sum += addresses[i];
	return fold(sum);
}

/* The length of TCP's or UDP's header; 0 for anything else. */
INLINE u32 transport_size(struct __sk_buff *skb, struct nl_scratch *s)
{
	u8 offset = 0;

	if (s->proto == UDP)
		return 8;
	if (s->proto == TCP)
		load_bytes(skb, s->l4 + 12, &offset, 1);
	return (offset >> 4) * 4;
}

/* What each segment of a packet that a device is to cut will come to, from its Ethernet header on; -1 if
 * they are not all of one length. It is the same for all of these: a header of IPv4 comes to nothing with
 * its own checksum, and the segment to the complement of its pseudo header. */
GLOBAL int nl_sum_segment(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return -1;
	u32 l3 = s->l3, l4 = s->l4, size = s->l4_size, piece = skb->gso_size, is_ipv6 = s->net == NL_NET_IPV6;
	u32 head = transport_size(skb, s), addresses = l3 + (is_ipv6 ? 8 : 12);
	int network = 0xffff, frame, pseudo;
	be16 said = 0;

	if (!l4 || !head || !piece || s->is_routed || size <= head || (size - head) % piece)
		return -1;
	frame = nl_sum(skb, 0, l3);
	pseudo = nl_sum_pseudo(skb, addresses, is_ipv6, s->proto, head + piece);
	if (is_ipv6) {
		network = nl_sum(skb, l3, l4);
		load_bytes(skb, l3 + 4, &said, 2);
	}
	if (frame < 0 || network < 0 || pseudo < 0)
		return -1;
	u64 sum = (u64)frame + network + (~pseudo & 0xffff);
	if (is_ipv6)
		sum += (u16)~said + htons(ntohs(said) - size + head + piece);
	if (skb->vlan_present)
		sum += (u16)skb->vlan_proto + htons(skb->vlan_tci);
	return fold(sum);
}

/* What the bytes of the packet in a tunnel, from `at` (its Ethernet header) to `end`, come to once
 * devices have completed its checksum. */
GLOBAL int nl_sum_inner(struct __sk_buff *skb, u32 at, u32 end)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return -1;
	u32 l3 = at + 14, l4, proto, length, addresses, field;
	u8 *ip = (u8 *)s->work;
	int pseudo, is_ipv6;
	be16 type, found;

	if (load_bytes(skb, at + 12, &type, 2))
		return -1;
	UNROLL
	for (int i = 0; i < 2; i++) {
		if (!is_vlan(type))
			break;
		if (load_bytes(skb, l3 + 2, &type, 2))
			return -1;
		l3 += 4;
	}
	if (load_bytes(skb, l3, ip, 20))
		return nl_sum(skb, at, end);
	if (type == htons(ETH_IPV4) && ip[0] >> 4 == 4 && !(*(be16 *)(ip + 6) & htons(0x3fff))) {
		l4 = l3 + (ip[0] & 15) * 4;
		length = ntohs(*(be16 *)(ip + 2)) - (l4 - l3);
		proto = ip[9];
		addresses = l3 + 12;
		is_ipv6 = 0;
	} else if (type == htons(ETH_IPV6)) {
		l4 = l3 + 40;
		length = ntohs(*(be16 *)(ip + 4));
		proto = ip[6];
		addresses = l3 + 8;
		is_ipv6 = 1;
	} else {
		return nl_sum(skb, at, end);
	}
	pseudo = nl_sum_pseudo(skb, addresses, is_ipv6, proto, length);
	field = proto == TCP ? 16 : proto == UDP ? 6 : 0;
	if (!field || length < 20 - 12 * (proto == UDP) || l4 + length > end ||
	    load_bytes(skb, l4 + field, &found, 2) || found != pseudo)
		return nl_sum(skb, at, end);
	return nl_sum(skb, at, l4) + (~pseudo & 0xffff) + nl_sum(skb, l4 + length, end);
}

#endif
