/* Tunnels: headers on (from a template that user space made) and off.
 *
 * What these do not know (options of Geneve, group policies, checksums over the whole packet, tags beside
 * the packet of something to be segmented) they refuse, with the packet as it was: user space does it.
 * Headers go on in a way that keeps segmentation and checksums to devices (bpf_skb_adjust_room) where
 * the packet inside is IP, else simply in front. */
#ifndef NL_TUNNEL_H
#define NL_TUNNEL_H

#include "base.h"
#include "hash.h"
#include "parse.h"

#define ROOM_MAC 1
#define FIXED_GSO 1
#define ENCAP_IPV4 2
#define ENCAP_IPV6 4
#define ENCAP_GRE 8
#define ENCAP_UDP 0x10
#define ENCAP_ETHERNET 0x40
#define ENCAP_L2(size) ((u64)(size) << 56)
#define ETH_SIZE 14
#define IPV4_SIZE 20
#define IPV6_SIZE 40
#define GRE_PROTO 47
#define GRE_KEY 0x2000
#define ETH_TEB 0x6558
#define MAX_PACKET 65535

static int (*const change_head)(struct __sk_buff *skb, u32 size, u64 flags) = (void *)43;
static int (*const adjust_room)(struct __sk_buff *skb, int size, u32 mode, u64 flags) = (void *)50;

INLINE u16 ipv4_checksum(const u8 *header)
{
	const u16 *words = (const u16 *)header;
	u32 sum = 0;

	UNROLL
	for (int i = 0; i < IPV4_SIZE / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return ~sum;
}

/* Lengths, source port and checksum of the outer headers in s->header. */
INLINE void finish_header(struct nl_scratch *s, struct nl_template *t, u32 inner)
{
	u8 *header = (u8 *)s->header, *ip = header + ETH_SIZE;
	u32 total = t->length - ETH_SIZE + inner, hash = hash_connection(&s->key);
	u8 *udp = ip + (t->is_ipv6 ? IPV6_SIZE : IPV4_SIZE);

	if (t->is_ipv6) {
		total -= IPV6_SIZE;
		*(be16 *)(ip + 4) = htons(total);
	} else {
		*(be16 *)(ip + 2) = htons(total);
		*(u16 *)(ip + 10) = 0;
		*(u16 *)(ip + 10) = ipv4_checksum(ip);
		total -= IPV4_SIZE;
	}
	if (t->is_udp) {
		u32 room = t->high_port - t->low_port;
		*(be16 *)udp = htons(t->low_port + (u32)((u64)hash * room >> 32));
		*(be16 *)(udp + 4) = htons(total);
	}
}

INLINE int store_header(struct __sk_buff *skb, struct nl_scratch *s, u32 size)
{
	OPAQUE(size);
	if (size < ETH_SIZE || size > NL_TEMPLATE_BYTES)
		return -1;
	return store_bytes(skb, 0, s->header, size, 0);
}

/* The packet's Ethernet header goes behind the outer headers. */
INLINE int push_around_ip(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	u64 flags = FIXED_GSO | ENCAP_ETHERNET | ENCAP_L2(ETH_SIZE);
	u8 ethernet[ETH_SIZE];

	flags |= t->is_ipv6 ? ENCAP_IPV6 : ENCAP_IPV4;
	flags |= t->is_udp ? ENCAP_UDP : ENCAP_GRE;
	if (load_bytes(skb, 0, ethernet, ETH_SIZE) || adjust_room(skb, t->length, ROOM_MAC, flags))
		return 0;
	store_header(skb, s, t->length);
	store_bytes(skb, t->length, ethernet, ETH_SIZE, 0);
	return 1;
}

/* With the tag that was beside the packet put into it. */
INLINE int push_in_front(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	u32 extra = skb->vlan_present ? 4 : 0;
	be16 tag[2] = {skb->vlan_proto, htons(skb->vlan_tci)};
	u8 addresses[12];

	if (load_bytes(skb, 0, addresses, 12) || change_head(skb, t->length + extra, 0))
		return 0;
	store_header(skb, s, t->length);
	if (extra) {
		store_bytes(skb, t->length, addresses, 12, 0);
		store_bytes(skb, t->length + 12, tag, 4, 0);
		vlan_pop(skb);
	}
	return 1;
}

/* Put the headers of a template on; 0 if that cannot be done here. */
GLOBAL int nl_tunnel_push(struct __sk_buff *skb, u32 number)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_template *t = map_lookup(&templates, &number);
	if (!s || !t)
		return 0;
	u32 inner = skb->len + (skb->vlan_present ? 4 : 0);
	int done = 0;

	if (!skb->gso_size && inner + t->length > MAX_PACKET)
		return 0;
	NO_UNROLL
	for (u32 i = 0; i < NL_TEMPLATE_BYTES / 8; i++)
		s->header[i] = t->header[i];
	finish_header(s, t, inner);
	if (!skb->vlan_present && (s->net == NL_NET_IPV4 || s->net == NL_NET_IPV6))
		done = push_around_ip(skb, s, t);
	if (!done && !skb->gso_size)
		done = push_in_front(skb, s, t);
	s->is_changed |= done;
	return done;
}

/* Read the header of the tunnel at s->l4: its length from there, 0 for one that is not plain. */
INLINE u32 read_tunnel(struct __sk_buff *skb, struct nl_scratch *s, u32 type, u32 *id, u32 *flags)
{
	u8 head[16];

	if (s->proto == GRE_PROTO && type == NL_TUNNEL_GRE) {
		if (load_bytes(skb, s->l4, head, 8) || *(be16 *)(head + 2) != htons(ETH_TEB))
			return 0;
		if (*(be16 *)head == htons(GRE_KEY)) {
			*id = ntohl(*(be32 *)(head + 4));
			*flags = NL_TUNNEL_HAS_KEY;
			return 8;
		}
		return *(be16 *)head ? 0 : 4;
	}
	if (s->proto != UDP || load_bytes(skb, s->l4, head, 16) || *(u16 *)(head + 6))
		return 0;
	*flags = NL_TUNNEL_HAS_KEY;
	*id = ntohl(*(be32 *)(head + 12)) >> 8;
	if (type == NL_TUNNEL_VXLAN)
		return *(be32 *)(head + 8) == htonl(0x08000000) && !head[15] ? 16 : 0;
	if (type == NL_TUNNEL_GENEVE)
		return *(be32 *)(head + 8) == htonl(ETH_TEB) ? 16 : 0;
	return 0;
}

/* Take the headers off, for the tunnels at `port`; 0 if that cannot be done here. */
GLOBAL int nl_tunnel_pop(struct __sk_buff *skb, u32 type, u32 port)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	struct nl_key *key = &s->key;
	u32 id = 0, flags = 0, at = s->l4, size, end = s->l4 + s->l4_size;
	u8 ip[IPV4_SIZE], ethernet[ETH_SIZE];

	if (skb->vlan_present || s->l3 != ETH_SIZE || key->nw_frag || (end != skb->len && !skb->gso_size))
		return 0;
	if (s->net == NL_NET_IPV4) {
		if (at != ETH_SIZE + IPV4_SIZE || load_bytes(skb, ETH_SIZE, ip, IPV4_SIZE) || ipv4_checksum(ip))
			return 0;
	} else if (s->net != NL_NET_IPV6 || at != ETH_SIZE + IPV6_SIZE) {
		return 0;
	}
	size = read_tunnel(skb, s, type, &id, &flags);
	at += size;
	if (!size || at > 200 || load_bytes(skb, at, ethernet, ETH_SIZE))
		return 0;
	u32 src = key->nw_src, dst = key->nw_dst, ports = key->tp_src | (u32)key->tp_dst << 16;
	if (adjust_room(skb, -(int)at, ROOM_MAC, FIXED_GSO) ||
	    store_bytes(skb, 0, ethernet, ETH_SIZE, 0))
		return 0;
	skb->mark = 0;
	clear_tracking(s);
	s->connection = 0;
	if (s->rare_metadata)
		__builtin_memset(key, 0, 72);
	s->rare_metadata = 1;
	key->tun_id = __builtin_bswap64(id);
	if (s->net == NL_NET_IPV6) {
		__builtin_memcpy(key->tun_ipv6_src, key->ipv6_src, 16);
		__builtin_memcpy(key->tun_ipv6_dst, key->ipv6_dst, 16);
	} else {
		key->tun_src = src;
		key->tun_dst = dst;
	}
	key->tun_flags = htons(flags);
	key->tun_tos = key->nw_tos;
	key->tun_ttl = key->nw_ttl;
	if (s->proto == UDP) {
		key->tun_tp_src = ports;
		key->tun_tp_dst = ports >> 16;
	}
	key->pkt_mark = key->dp_hash = key->recirc_id = key->skb_priority = 0;
	key->in_port = htonl(port);
	return 1;
}

#endif
