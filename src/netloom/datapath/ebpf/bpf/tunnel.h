/* Tunnels: headers on (from a template that user space made) and off.
 *
 * What these do not know (group policies, sequence numbers) they refuse, with the packet as it was: user
 * space does it.
 * Headers go on in a way that keeps segmentation and checksums to devices (bpf_skb_adjust_room) where
 * the packet inside is IP, with its tags behind them, else simply in front.
 *
 * Checksums of tunnels cover the whole packet. Of what a device is still to cut they cover each segment,
 * and nobody but the one who cuts could fill them in, for no helper says that they are wanted. But he
 * copies the headers, and segments of one length all have the same checksum (checksum.h): it goes on
 * once, if the last segment is as long as the others. If not, the packet goes without one over IPv4,
 * where UDP's is optional (RFC 768) and both VXLAN and Geneve allow to leave it out; others of TCP, which
 * does not care where it is cut, get a few segments more that are all of one length, if there is such a
 * number (nl_even_out). What then is left is user space's, which cuts it. */
#ifndef NL_TUNNEL_H
#define NL_TUNNEL_H

#include "base.h"
#include "checksum.h"
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
/* With two tags. */
#define MAX_ETH_SIZE 22
#define IPV4_SIZE 20
#define IPV6_SIZE 40
#define GRE_PROTO 47
#define GRE_KEY 0x2000
#define GRE_CHECKSUM 0x8000
#define GENEVE_OAM 0x80
/* VXLAN that says what is in it. */
#define GPE_FLAGS 0x0c
#define ETH_TEB 0x6558
#define MAX_PACKET 65535
/* That the helper puts in or takes out. */
#define MAX_ROOM 0xfff
#define MAX_MORE_SEGMENTS 64
#define MAX_OUTER (ETH_SIZE + IPV6_SIZE + 16 + NL_OPTION_WORDS * 8)

static int (*const change_head)(struct __sk_buff *skb, u32 size, u64 flags) = (void *)43;
GLOBAL int nl_bare_push(struct __sk_buff *skb, u32 number, u32 port);

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
	if (t->has_checksum)
		*(u16 *)(udp + (t->is_udp ? 6 : 4)) = 0;
	if (t->is_udp) {
		u32 room = t->high_port - t->low_port;
		*(be16 *)udp = htons(t->low_port + (u32)((u64)hash * room >> 32));
		*(be16 *)(udp + 4) = htons(total);
	}
}

/* Headers of one shape may take each other's place. */
#define SHAPE_IPV6 1
#define SHAPE_UDP 2
#define SHAPE_CHECKSUM 4

INLINE u32 shape_of(struct nl_template *t)
{
	return (t->is_ipv6 ? SHAPE_IPV6 : 0) | (t->is_udp ? SHAPE_UDP : 0) |
	       (t->has_checksum ? SHAPE_CHECKSUM : 0);
}

INLINE void copy_template(struct nl_scratch *s, struct nl_template *t)
{
	NO_UNROLL
	for (u32 i = 0; i < NL_TEMPLATE_BYTES / 8; i++) {
		if (i * 8 >= t->length)
			break;
		s->header[i] = t->header[i];
	}
}

INLINE int store_header(struct __sk_buff *skb, struct nl_scratch *s, u32 size)
{
	OPAQUE(size);
	if (size < ETH_SIZE || size > NL_TEMPLATE_BYTES)
		return -1;
	return store_bytes(skb, 0, s->header, size, 0);
}

/* Take the packet's tags off, behind its addresses in `head`, and return where its type is there: the tag
 * beside the packet, and one in it, which goes beside it meanwhile. */
INLINE u32 take_tags(struct __sk_buff *skb, be16 *head)
{
	u32 n = 6;

	UNROLL
	for (int i = 0; i < 2; i++) {
		if (!skb->vlan_present)
			break;
		head[n] = skb->vlan_proto;
		head[n + 1] = htons(skb->vlan_tci);
		n += 2;
		vlan_pop(skb);
	}
	return n;
}

INLINE void put_tags_back(struct __sk_buff *skb, be16 *head, u32 n)
{
	if (n > 8)
		vlan_push(skb, head[8], ntohs(head[9]));
	if (n > 6)
		vlan_push(skb, head[6], ntohs(head[7]));
}

/* Have the kernel know that the packet, without a tag beside it, is of type `type`, which its Ethernet
 * header says: it goes on taking it for what was outside, and would cut something to be segmented there.
 * Tags tell it, as in mpls.h; one that the packet has is beside it afterwards, like that of a packet that
 * came from a device. */
GLOBAL int nl_tell_type(struct __sk_buff *skb, u32 type)
{
	if ((be16)type == (be16)skb->protocol || vlan_push(skb, htons(ETH_VLAN), 0))
		return 0;
	if (!vlan_push(skb, htons(ETH_VLAN), 0))
		vlan_pop(skb);
	vlan_pop(skb);
	return 0;
}

INLINE void tell_type(struct __sk_buff *skb, const u8 *ethernet)
{
	be16 type = *(be16 *)(ethernet + 12);

	if (ntohs(type) >= ETH_TYPE_MIN)
		nl_tell_type(skb, type);
}

/* The packet's Ethernet header and tags go behind the outer headers. */
INLINE int push_around_ip(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	be16 head[MAX_ETH_SIZE / 2];

	if (load_bytes(skb, 0, head, 12))
		return 0;
	u32 n = take_tags(skb, head), size = 2 * n + 2;
	u64 flags = FIXED_GSO | ENCAP_ETHERNET | ENCAP_L2(size);

	flags |= t->is_ipv6 ? ENCAP_IPV6 : ENCAP_IPV4;
	flags |= t->is_udp ? ENCAP_UDP : ENCAP_GRE;
	if (load_bytes(skb, 12, head + n, 2) || adjust_room(skb, t->length + size - ETH_SIZE, ROOM_MAC, flags)) {
		put_tags_back(skb, head, n);
		return 0;
	}
	store_header(skb, s, t->length);
	store_bytes(skb, t->length, head, size, 0);
	return 1;
}

/* With the tag that was beside the packet put into it, and what the kernel takes for the next one. */
INLINE int push_in_front(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	be16 head[MAX_ETH_SIZE / 2];

	if (load_bytes(skb, 0, head, 12))
		return 0;
	u32 n = take_tags(skb, head), size = 2 * n;
	if (skb->vlan_present || change_head(skb, t->length + size - 12, 0)) {
		put_tags_back(skb, head, n);
		return 0;
	}
	store_header(skb, s, t->length);
	if (n > 6)
		store_bytes(skb, t->length, head, size, 0);
	return 1;
}

/* The same in a way that can be undone, of a packet that is no device's to cut. The kernel does so for IP
 * only: it may take whatever this is for that. */
INLINE int push_for_now(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	be16 head[MAX_ETH_SIZE / 2], ip[ETH_SIZE / 2];

	if (load_bytes(skb, 0, head, 12))
		return 0;
	u32 n = take_tags(skb, head), size = 2 * n + 2;
	if (skb->vlan_present || load_bytes(skb, 12, head + n, 2)) {
		put_tags_back(skb, head, n);
		return 0;
	}
	ip[6] = htons(ETH_IPV4);
	if (s->net != NL_NET_IPV4 && s->net != NL_NET_IPV6 && !store_bytes(skb, 12, ip + 6, 2, 0))
		tell_type(skb, (u8 *)ip);
	if (adjust_room(skb, t->length + size - ETH_SIZE, ROOM_MAC, 0)) {
		store_bytes(skb, 12, head + n, 2, 0);
		put_tags_back(skb, head, n);
		return 0;
	}
	store_header(skb, s, t->length);
	store_bytes(skb, t->length, head, size, 0);
	return 1;
}

/* Write the checksum of UDP or GRE over all that follows, of which what is inside comes to `inner`. It is
 * that of the segments, `inside` bytes each, of what will be cut. */
INLINE int fill_checksum(struct __sk_buff *skb, struct nl_template *t, int inner, u32 inside)
{
	u32 at = ETH_SIZE + (t->is_ipv6 ? IPV6_SIZE : IPV4_SIZE), length = t->length - at + inside;
	int outer = nl_sum(skb, at, t->length);

	if (outer < 0 || inner < 0)
		return -1;
	u64 sum = (u64)outer + inner;
	if (t->is_udp) {
		u32 addresses = ETH_SIZE + (t->is_ipv6 ? 8 : 12);
		be16 said = 0;
		load_bytes(skb, at + 4, &said, 2);
		sum += nl_sum_pseudo(skb, addresses, t->is_ipv6, UDP, length);
		sum += (u16)~said + htons(length);
	}
	be16 value = ~fold(sum);
	if (!value && t->is_udp)
		value = 0xffff;
	return store_bytes(skb, at + (t->is_udp ? 6 : 4), &value, 2, 0);
}

/* Whether packets of `length` bytes will not fit into the device of a port: user space tells who sent
 * them. */
INLINE int outgrows(u32 length, u32 port)
{
	struct nl_output *way = map_lookup(&outputs, &port);

	return way && way->most && length > way->most;
}

/* The packet goes on as one of port `port`: nothing else is known of it. */
GLOBAL int nl_forget(struct __sk_buff *skb, u32 port)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	struct nl_key *key = &s->key;

	clear_tracking(s);
	clear_options(s);
	if (s->rare_metadata)
		__builtin_memset(key->tun_ipv6_src, 0, 72);
	s->connection = 0;
	skb->mark = 0;
	key->pkt_mark = key->dp_hash = key->recirc_id = key->skb_priority = 0;
	key->in_port = htonl(port);
	return nl_reparse(skb);
}

/* Have a device cut the packet, TCP's, into pieces of one length: shorter than they would be, by half at
 * most. False if that cannot be. No helper sets the length, but to put bytes in front takes as many off it,
 * and to take them away again need not. */
GLOBAL int nl_even_out(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || s->proto != TCP || !s->l4 || s->is_routed)
		return 0;
	u32 head = transport_size(skb, s), piece = skb->gso_size, size = s->l4_size, less = 0;

	if (!piece || head < 20 || size <= head)
		return 0;
	size -= head;
	u32 n = (size + piece - 1) / piece;
	NO_UNROLL
	for (u32 i = 0; i < MAX_MORE_SEGMENTS; i++) {
		u32 into = n + i;
		if (!into || into > 2 * n)
			break;
		if (size % into)
			continue;
		less = piece - size / into;
		break;
	}
	if (!less || less > MAX_ROOM || adjust_room(skb, less, ROOM_MAC, 0))
		return 0;
	return !adjust_room(skb, -(int)less, ROOM_MAC, FIXED_GSO);
}

/* Put the headers of a template on, of a packet that leaves by `port`; 0 if that cannot be done here.
 * `spreads`: they will be taken off again. */
GLOBAL int nl_tunnel_push(struct __sk_buff *skb, u32 number, u32 port, u32 spreads)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_template *t = map_lookup(&templates, &number);
	if (!s || !t)
		return 0;
	if (s->bare)
		return s->cut || spreads ? 0 : nl_bare_push(skb, number, port);
	u32 inner = skb->len + (skb->vlan_present ? 4 : 0), inside = inner, sums = t->has_checksum;
	u32 longest = longest_segment(skb, s);
	int done = 0, sum = 0;

	if (s->cut || outgrows(longest + t->length, port) || inner + t->length > MAX_PACKET)
		return 0;
	if (sums && skb->gso_size) {
		sum = nl_sum_segment(skb);
		if (sum < 0 && (t->is_ipv6 || !t->is_udp) && nl_even_out(skb)) {
			sum = nl_sum_segment(skb);
			longest = longest_segment(skb, s);
		}
		inside = longest;
		sums = sum >= 0;
		if (!sums && (t->is_ipv6 || !t->is_udp))
			return 0;
	} else if (sums && inner > MAX_SUM_BYTES) {
		return 0;
	}
	copy_template(s, t);
	finish_header(s, t, inner);
	if (spreads && !skb->gso_size)
		done = push_for_now(skb, s, t);
	else if ((!skb->vlan_present || skb->gso_size) && (s->net == NL_NET_IPV4 || s->net == NL_NET_IPV6))
		done = push_around_ip(skb, s, t);
	if (!done && !spreads && !skb->gso_size) {
		done = push_in_front(skb, s, t);
		s->is_shifted |= done;
	}
	s->is_changed |= done;
	s->pushed_length = t->length;
	s->pushed_shape = shape_of(t);
	s->pushed_longest = longest;
	s->pushed_sums = sums;
	s->pushed_inside = inside;
	s->pushed_sum = sum;
	if (done && sums) {
		if (!skb->gso_size)
			sum = nl_sum_inner(skb, t->length, skb->len);
		fill_checksum(skb, t, sum, inside);
	}
	return done;
}

/* Whether the checksum of the tunnel at s->l4 (of `at` bytes less those, with its headers) is right. */
INLINE int is_sum_right(struct __sk_buff *skb, struct nl_scratch *s, u32 at)
{
	u32 end = s->l4 + s->l4_size;
	int is_ipv6 = s->net == NL_NET_IPV6, sum, pseudo = 0;

	/* What was not segmented yet has been on no wire; of others the device may have said so. */
	if (skb->gso_size || csum_level(skb, 0) >= 0)
		return 1;
	if (s->proto == UDP) {
		pseudo = nl_sum_pseudo(skb, s->l3 + (is_ipv6 ? 8 : 12), is_ipv6, UDP, s->l4_size);
		if (pseudo < 0)
			return 0;
	}
	sum = nl_sum(skb, s->l4, end);
	if (sum >= 0 && fold((u64)sum + pseudo) == 0xffff)
		return 1;
	int outer = nl_sum(skb, s->l4, at), inner = nl_sum_inner(skb, at, end);
	return outer >= 0 && inner >= 0 && fold((u64)outer + inner + pseudo) == 0xffff;
}

INLINE int is_ip(be16 type)
{
	return type == htons(ETH_IPV4) || type == htons(ETH_IPV6);
}

/* Whether what is in a tunnel may be of type `follows`; what is no frame goes to s->follows. */
INLINE int is_to_follow(struct nl_scratch *s, be16 follows)
{
	s->follows = follows == htons(ETH_TEB) ? 0 : follows;
	return ntohs(follows) >= ETH_TYPE_MIN && !is_vlan(follows);
}

/* By the numbers of VXLAN-GPE; 0 for those that nobody knows. */
INLINE be16 type_of_gpe(u32 number)
{
	switch (number) {
	case 1:
		return htons(ETH_IPV4);
	case 2:
		return htons(ETH_IPV6);
	case 3:
		return htons(ETH_TEB);
	case 4:
		return htons(ETH_NSH);
	}
	return 0;
}

/* Read the header of the tunnel at s->l4: its length from there, 0 for one that is not plain. */
INLINE u32 read_tunnel(struct __sk_buff *skb, struct nl_scratch *s, u32 type, u32 *id, u32 *flags)
{
	u8 head[16];

	s->follows = 0;
	if (s->proto == GRE_PROTO && type == NL_TUNNEL_GRE) {
		u32 size = 4;

		if (load_bytes(skb, s->l4, head, 16) || !is_to_follow(s, *(be16 *)(head + 2)) ||
		    *(be16 *)head & ~htons(GRE_KEY | GRE_CHECKSUM))
			return 0;
		if (*(be16 *)head & htons(GRE_CHECKSUM)) {
			*flags = NL_TUNNEL_HAS_CHECKSUM;
			size = 8;
		}
		if (*(be16 *)head & htons(GRE_KEY)) {
			*id = ntohl(*(be32 *)(head + size));
			*flags |= NL_TUNNEL_HAS_KEY;
			size += 4;
		}
		return size;
	}
	if (s->proto != UDP || load_bytes(skb, s->l4, head, 16))
		return 0;
	*flags = NL_TUNNEL_HAS_KEY;
	if (*(u16 *)(head + 6)) {
		if (ntohs(*(be16 *)(head + 4)) != s->l4_size)
			return 0;
		*flags |= NL_TUNNEL_HAS_CHECKSUM;
	}
	*id = ntohl(*(be32 *)(head + 12)) >> 8;
	if (type == NL_TUNNEL_VXLAN && head[8] == GPE_FLAGS)
		return is_to_follow(s, type_of_gpe(head[11])) && !head[15] ? 16 : 0;
	if (type == NL_TUNNEL_VXLAN)
		return *(be32 *)(head + 8) == htonl(0x08000000) && !head[15] ? 16 : 0;
	if (type == NL_TUNNEL_GENEVE && !(head[8] >> 6) && *(be16 *)(head + 10) == htons(ETH_TEB)) {
		if (head[9] & GENEVE_OAM)
			*flags |= NL_TUNNEL_IS_OAM;
		return 16 + (head[8] & 0x3f) * 4;
	}
	return 0;
}

/* The options of Geneve behind its header, `size` bytes, into the key. */
INLINE int read_options(struct __sk_buff *skb, struct nl_scratch *s, u32 at, u32 size)
{
	u32 less = size - 1;

	clear_options(s);
	if (!size)
		return 0;
	s->has_options = 1;
	OPAQUE(less);
	less &= 0xff;
	if (load_bytes(skb, at, s->words, less + 1))
		return -1;
	s->key.tun_opt_present = __builtin_bswap64(size);
	return 0;
}

/* Take `size` bytes off in front of the packet, behind which its Ethernet header is. The kernel makes no
 * packet of IPv6 shorter than its header would be: one that is gets longer meanwhile. */
INLINE int take_off(struct __sk_buff *skb, struct nl_scratch *s, u32 size, const u8 *ethernet)
{
	u32 length = skb->len, least = size + ETH_SIZE + IPV6_SIZE;
	int is_short = s->net == NL_NET_IPV6 && length < least;

	if (is_short && change_tail(skb, least, 0))
		return -1;
	int failed = adjust_room(skb, -(int)size, ROOM_MAC, FIXED_GSO);
	if (is_short)
		change_tail(skb, failed ? length : length - size, 0);
	return failed ? -1 : store_bytes(skb, 0, ethernet, ETH_SIZE, 0);
}

/* Take the headers off, for the tunnels at `port`; 0 if that cannot be done here. */
GLOBAL int nl_tunnel_pop(struct __sk_buff *skb, u32 type, u32 port)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	struct nl_key *key = &s->key;
	u32 id = 0, flags = 0, at = s->l4, size, end = s->l4 + s->l4_size;
	u8 *ip = (u8 *)s->work, ethernet[ETH_SIZE];

	if (skb->vlan_present || s->bare || s->l3 != ETH_SIZE || key->nw_frag || (end != skb->len && !skb->gso_size))
		return 0;
	if (s->net == NL_NET_IPV4) {
		if (at != ETH_SIZE + IPV4_SIZE || load_bytes(skb, ETH_SIZE, ip, IPV4_SIZE) || ipv4_checksum(ip))
			return 0;
	} else if (s->net != NL_NET_IPV6 || at != ETH_SIZE + IPV6_SIZE) {
		return 0;
	}
	size = read_tunnel(skb, s, type, &id, &flags);
	at += size;
	be16 follows = s->follows;
	u32 bare = follows ? ETH_SIZE : 0;
	if (!size || at > MAX_OUTER || at > end || (bare && skb->gso_size && !is_ip(follows)))
		return 0;
	if (bare) {
		__builtin_memset(ethernet, 0, 12);
		*(be16 *)(ethernet + 12) = follows;
	} else if (load_bytes(skb, at, ethernet, ETH_SIZE)) {
		return 0;
	}
	if (flags & NL_TUNNEL_HAS_CHECKSUM && !is_sum_right(skb, s, at))
		return 0;
	u32 n_options = type == NL_TUNNEL_GENEVE ? size - 16 : 0;
	u64 options_at = at - n_options;
	if (s->l4_size < size + ETH_SIZE - bare)
		return 0;
	u32 src = key->nw_src, dst = key->nw_dst, ports = key->tp_src | (u32)key->tp_dst << 16;
	if (read_options(skb, s, options_at, n_options))
		return 0;
	if (take_off(skb, s, at - bare, ethernet)) {
		clear_options(s);
		return 0;
	}
	tell_type(skb, ethernet);
	skb->mark = 0;
	clear_tracking(s);
	s->connection = 0;
	if (s->rare_metadata)
		__builtin_memset(key->tun_ipv6_src, 0, 72);
	s->rare_metadata = 1;
	s->bare = bare;
	key->packet_type = bare ? htonl(0x10000 | ntohs(follows)) : 0;
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
