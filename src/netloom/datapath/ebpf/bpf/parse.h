/* From a packet to its key: what flow/extract.py does, for the same packets the same key.
 *
 * A packet that needs more than the loops here allow (many extension headers, many neighbour options)
 * is not guessed at: NL_UNPARSED sends it to user space, whose parser has no such limits. */
#ifndef NL_PARSE_H
#define NL_PARSE_H

#include "base.h"

enum { NL_PARSED, NL_UNPARSED, NL_INVALID };

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_RARP 0x8035
#define ETH_VLAN 0x8100
#define ETH_SVLAN 0x88a8
#define ETH_IPV6 0x86dd
#define ETH_MPLS 0x8847
#define ETH_MPLS_MULTICAST 0x8848
#define ETH_NSH 0x894f
#define ETH_TYPE_MIN 0x600
#define ETH_NONE 0x05ff

#define TCP 6
#define UDP 17
#define SCTP 132
/* No protocol: a place for the context of a service header, where there is one that can be written. */
#define NSH_CONTEXT 0x100
#define ICMP 1
#define IGMP 2
#define ICMPV6 58

#define VLAN_CFI 0x1000
#define FRAG_ANY 1
#define FRAG_LATER 2

/* That a key has room for. */
#define MAX_TAGS 2
#define MAX_EXTENSIONS 6
#define MAX_ND_OPTIONS 6

INLINE int is_vlan(be16 type)
{
	return type == htons(ETH_VLAN) || type == htons(ETH_SVLAN);
}

/* The transport header at s->l4. Its bytes may lie in fragments: they are loaded, not pointed at. */
INLINE int parse_neighbour(struct __sk_buff *skb, struct nl_scratch *s)
{
	struct nl_key *key = &s->key;
	u32 at = s->l4, end = s->l4 + s->l4_size;

	if (load_bytes(skb, at + 4, &key->igmp_group, 4))
		return NL_PARSED;
	s->rare = 1;
	if (s->l4_size < 24)
		return NL_PARSED;
	load_bytes(skb, at + 8, key->nd_target, 16);
	at += 24;
	NO_UNROLL
	for (int i = 0; i <= MAX_ND_OPTIONS; i++) {
		u8 option[8];
		if (at + 8 > end || load_bytes(skb, at, option, 8))
			return NL_PARSED;
		u32 length = option[1] * 8;
		if (!length || at + length > end)
			return NL_PARSED;
		if (i == MAX_ND_OPTIONS)
			return NL_UNPARSED;
		if (length == 8 && (option[0] == 1 || option[0] == 2)) {
			u8 *address = option[0] == 1 ? key->arp_sha : key->arp_tha;
			u32 high = *(u32 *)address;
			u16 low = *(u16 *)(address + 4);
			if (high | low) {
				/* Said twice: neither target nor addresses count. */
				__builtin_memset(key->nd_target, 0, 16);
				__builtin_memset(key->arp_sha, 0, 6);
				__builtin_memset(key->arp_tha, 0, 6);
				return NL_PARSED;
			}
			__builtin_memcpy(address, option + 2, 6);
			if (!key->tcp_flags)
				key->tcp_flags = htons(option[0]);
		}
		at += length;
	}
	return NL_UNPARSED;
}

INLINE int parse_transport(struct __sk_buff *skb, struct nl_scratch *s)
{
	struct nl_key *key = &s->key;
	u32 size = s->l4_size;
	u8 head[20];

	switch (s->proto) {
	case TCP:
		if (size < 20 || load_bytes(skb, s->l4, head, 20))
			break;
		u32 length = (head[12] >> 4) * 4;
		if (length < 20 || length > size)
			break;
		__builtin_memcpy(&key->tp_src, head, 4);
		key->tcp_flags = *(be16 *)(head + 12) & htons(0x0fff);
		s->has_ports = 1;
		break;
	case UDP:
	case SCTP:
		if (size >= (s->proto == UDP ? 8 : 12)) {
			load_bytes(skb, s->l4, &key->tp_src, 4);
			s->has_ports = 1;
		}
		break;
	case ICMP:
	case IGMP:
	case ICMPV6:
		if (size < 8 || load_bytes(skb, s->l4, head, 8))
			break;
		key->tp_src = htons(head[0]);
		key->tp_dst = htons(head[1]);
		if (s->proto == IGMP)
			__builtin_memcpy(&key->igmp_group, head + 4, 4);
		if (s->proto == ICMPV6 && !head[1] && (head[0] == 135 || head[0] == 136))
			return parse_neighbour(skb, s);
		break;
	}
	return NL_PARSED;
}

INLINE int parse_ipv4(struct __sk_buff *skb, struct nl_scratch *s, u32 total)
{
	struct nl_key *key = &s->key;
	u32 size = total - s->l3;
	u8 ip[20];

	if (total < s->l3 + 20 || load_bytes(skb, s->l3, ip, 20))
		return NL_PARSED;
	u32 header = (ip[0] & 15) * 4, length = ntohs(*(be16 *)(ip + 2));
	if (header < 20 || header > length || length > size)
		return NL_PARSED;
	s->net = NL_NET_IPV4;
	s->l4 = s->l3 + header;
	s->l4_size = length - header;
	s->proto = ip[9];
	be16 fragment = *(be16 *)(ip + 6);
	if (fragment & htons(0x3fff))
		key->nw_frag = fragment & htons(0x1fff) ? FRAG_ANY | FRAG_LATER : FRAG_ANY;
	key->nw_ttl = ip[8];
	key->nw_tos = ip[1];
	key->nw_proto = ip[9];
	__builtin_memcpy(&key->nw_src, ip + 12, 8);
	if (key->nw_frag & FRAG_LATER)
		return NL_PARSED;
	return parse_transport(skb, s);
}

INLINE int is_extension(u32 proto)
{
	return proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60;
}

INLINE int parse_ipv6(struct __sk_buff *skb, struct nl_scratch *s, u32 total)
{
	struct nl_key *key = &s->key;
	u8 ip[8], extension[8];

	if (total < s->l3 + 40 || load_bytes(skb, s->l3, ip, 8))
		return NL_PARSED;
	s->net = NL_NET_IPV6;
	u32 payload = ntohs(*(be16 *)(ip + 4)), proto = ip[6], frag = 0;
	if (payload > total - s->l3 - 40 || total - s->l3 - 40 - payload > 0xffff)
		return NL_PARSED;
	s->rare = 1;
	load_bytes(skb, s->l3 + 8, key->ipv6_src, 16);
	load_bytes(skb, s->l3 + 24, key->ipv6_dst, 16);
	u32 at = s->l3 + 40, end = at + payload, is_routed = 0;
	NO_UNROLL
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		if (!is_extension(proto))
			break;
		if (at + 8 > end || load_bytes(skb, at, extension, 8))
			return NL_PARSED;
		u32 kind = proto;
		proto = extension[0];
		if (kind == 44) {
			be16 word = *(be16 *)(extension + 2);
			at += 8;
			if (word) {
				frag = FRAG_ANY;
				if (word & htons(0xfff8)) {
					proto = 44;
					frag = FRAG_ANY | FRAG_LATER;
					goto found;
				}
			}
		} else {
			if (kind == 43 && extension[3])
				is_routed = 1;
			at += kind == 51 ? (extension[1] + 2) * 4 : (extension[1] + 1) * 8;
			if (at > end)
				return NL_PARSED;
		}
	}
	if (is_extension(proto))
		return NL_UNPARSED;
found:
	key->nw_ttl = ip[7];
	key->nw_frag = frag;
	key->nw_tos = ip[0] << 4 | ip[1] >> 4;
	key->nw_proto = proto;
	key->ipv6_label = *(be32 *)ip & htonl(0xfffff);
	s->proto = proto;
	s->l4 = at;
	s->l4_size = end - at;
	s->is_routed = is_routed;
	if (frag & FRAG_LATER)
		return NL_PARSED;
	return parse_transport(skb, s);
}

INLINE void parse_arp(struct __sk_buff *skb, struct nl_scratch *s, u32 total)
{
	struct nl_key *key = &s->key;
	u8 arp[28];

	if (total < s->l3 + 28 || load_bytes(skb, s->l3, arp, 28))
		return;
	s->net = NL_NET_ARP;
	/* Ethernet and IPv4, with addresses of 6 and 4 bytes. */
	if (*(u32 *)arp != htonl(0x00010800) || *(u16 *)(arp + 4) != htons(0x0604))
		return;
	s->rare = 1;
	if (!arp[6])
		key->nw_proto = arp[7];
	__builtin_memcpy(key->arp_sha, arp + 8, 6);
	__builtin_memcpy(&key->nw_src, arp + 14, 4);
	__builtin_memcpy(key->arp_tha, arp + 18, 6);
	__builtin_memcpy(&key->nw_dst, arp + 24, 4);
}

INLINE void parse_mpls(struct __sk_buff *skb, struct nl_scratch *s, u32 total)
{
	be32 *labels = &s->key.mpls_lse0;
	u32 at = s->l3;

	UNROLL
	for (int i = 0; i < 3; i++) {
		be32 label;
		if (total < at + 4 || load_bytes(skb, at, &label, 4))
			return;
		s->rare = 1;
		s->net = NL_NET_MPLS;
		labels[i] = label;
		if (label & htonl(0x100))
			return;
		at += 4;
	}
}

/* It is found like a transport header. */
INLINE void has_context(struct nl_scratch *s)
{
	s->l4 = s->l3 + 8;
	s->l4_size = 16;
	s->proto = NSH_CONTEXT;
}

INLINE void parse_nsh(struct __sk_buff *skb, struct nl_scratch *s, u32 total)
{
	struct nl_key *key = &s->key;
	u8 nsh[8];

	if (total < s->l3 + 8 || load_bytes(skb, s->l3, nsh, 8))
		return;
	u32 first = nsh[0] << 8 | nsh[1], length = (first & 0x3f) * 4;
	if (first >> 14 || s->l3 + length > total)
		return;
	if (nsh[2] == 1) {
		if (length != 24)
			return;
		load_bytes(skb, s->l3 + 8, &key->nsh_c1, 16);
		has_context(s);
	} else if (nsh[2] == 2 && length < 8) {
		return;
	}
	s->rare = 1;
	s->net = NL_NET_NSH;
	key->nsh_flags = first >> 12 & 3;
	key->nsh_ttl = first >> 6 & 0x3f;
	key->nsh_mdtype = nsh[2];
	key->nsh_np = nsh[3];
	__builtin_memcpy(&key->nsh_path, nsh + 4, 4);
}

/* What is not IPv4 without options, or not in one piece: slower, and checked once. */
GLOBAL int nl_parse_network(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return NL_INVALID;
	u32 total = skb->len;
	s->l3 &= 0xff;
	switch (s->key.dl_type) {
	case htons(ETH_IPV4):
		return parse_ipv4(skb, s, total);
	case htons(ETH_IPV6):
		return parse_ipv6(skb, s, total);
	case htons(ETH_ARP):
	case htons(ETH_RARP):
		parse_arp(skb, s, total);
		break;
	case htons(ETH_MPLS):
	case htons(ETH_MPLS_MULTICAST):
		parse_mpls(skb, s, total);
		break;
	case htons(ETH_NSH):
		parse_nsh(skb, s, total);
		break;
	}
	return NL_PARSED;
}

/* Zero the members that are read from packets; metadata stays. */
INLINE void clear_packet_members(struct nl_scratch *s)
{
	struct nl_key *key = &s->key;

	if (s->rare) {
		__builtin_memset(&key->nsh_flags, 0, 24);
		__builtin_memset(key->nd_target, 0, 48);
		__builtin_memset(&key->mpls_lse0, 0, 48);
		s->rare = 0;
	}
	key->ipv6_label = 0;
	__builtin_memset(&key->igmp_group, 0, 40);
	__builtin_memset(key->dl_src, 0, 16);
	s->l4 = s->l4_size = s->net = s->proto = s->is_routed = s->is_changed = 0;
	s->has_ports = 0;
}

INLINE u16 key_tci(be16 tci)
{
	return tci | htons(VLAN_CFI);
}

/* IPv4 without options or fragments, with all of TCP's or UDP's header in the linear part: true if it
 * was that, and the key has it. */
INLINE int parse_plain_ipv4(struct nl_scratch *s, void *ip, void *data_end, u32 size)
{
	struct nl_key *key = &s->key;
	u8 *byte = ip;

	if (ip + 40 > data_end || byte[0] != 0x45 || *(be16 *)(ip + 6) & htons(0x3fff))
		return 0;
	u32 length = ntohs(*(be16 *)(ip + 2));
	if (length < 40 || length > size)
		return 0;
	u32 proto = byte[9];
	if (proto == TCP) {
		u32 header = (byte[32] >> 4) * 4;
		if (header >= 20 && header <= length - 20) {
			__builtin_memcpy(&key->tp_src, ip + 20, 4);
			key->tcp_flags = *(be16 *)(ip + 32) & htons(0x0fff);
			s->has_ports = 1;
		}
	} else if (proto == UDP) {
		__builtin_memcpy(&key->tp_src, ip + 20, 4);
		s->has_ports = 1;
	} else {
		return 0;
	}
	key->nw_ttl = byte[8];
	key->nw_tos = byte[1];
	key->nw_proto = proto;
	__builtin_memcpy(&key->nw_src, ip + 12, 8);
	s->net = NL_NET_IPV4;
	s->proto = proto;
	s->l4 = s->l3 + 20;
	s->l4_size = length - 20;
	return 1;
}

/* Fill the packet's part of the key. */
INLINE int parse(struct __sk_buff *skb, struct nl_scratch *s, u32 vlan_limit)
{
	struct nl_key *key = &s->key;
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	u32 total = skb->len, at = 12, tags = 0;

	clear_packet_members(s);
	if (total < 14)
		return NL_INVALID;
	if (data + 54 > data_end && total > data_end - data) {
		if (pull_data(skb, total < 128 ? total : 128))
			return NL_INVALID;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	if (data + 14 > data_end)
		return NL_INVALID;
	__builtin_memcpy(key->dl_dst, data, 6);
	__builtin_memcpy(key->dl_src, data + 6, 6);
	if (skb->vlan_present && vlan_limit) {
		/* The outer tag, taken out of the packet when it came in. */
		key->vlan_tpid = skb->vlan_proto;
		key->vlan_tci = key_tci(htons(skb->vlan_tci));
		tags = 1;
	}
	if (tags < vlan_limit && is_vlan(*(be16 *)(data + 12)) && data + 18 <= data_end) {
		if (tags) {
			key->vlan1_tpid = *(be16 *)(data + 12);
			key->vlan1_tci = key_tci(*(be16 *)(data + 14));
		} else {
			key->vlan_tpid = *(be16 *)(data + 12);
			key->vlan_tci = key_tci(*(be16 *)(data + 14));
		}
		tags++;
		at = 16;
		if (tags < vlan_limit && is_vlan(*(be16 *)(data + 16)) && data + 22 <= data_end) {
			key->vlan1_tpid = *(be16 *)(data + 16);
			key->vlan1_tci = key_tci(*(be16 *)(data + 18));
			at = 20;
		}
	}
	be16 type;
	if (load_bytes(skb, at, &type, 2))
		return NL_INVALID;
	at += 2;
	if (ntohs(type) < ETH_TYPE_MIN) {
		u8 llc[8];
		type = htons(ETH_NONE);
		if (total >= at + 8 && !load_bytes(skb, at, llc, 8) &&
		    *(u32 *)llc == htonl(0xaaaa0300) && !llc[4] && !llc[5]) {
			at += 8;
			if (ntohs(*(be16 *)(llc + 6)) >= ETH_TYPE_MIN)
				type = *(be16 *)(llc + 6);
		}
	}
	key->dl_type = type;
	s->l3 = at;
	if (type == htons(ETH_IPV4)) {
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
		if (at <= 32 && parse_plain_ipv4(s, data + at, data_end, total - at))
			return NL_PARSED;
	}
	return nl_parse_network(skb);
}

/* Parse again, if the packet was changed since. */
GLOBAL int nl_reparse(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_config *c = &config_now;
	if (!s)
		return NL_INVALID;
	return s->is_changed ? parse(skb, s, c->vlan_limit) : NL_PARSED;
}

#endif
