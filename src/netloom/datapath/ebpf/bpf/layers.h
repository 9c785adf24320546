/* What a packet starts with: Ethernet, service headers (NSH, RFC 8300) and labels in front of everything,
 * on and off.
 *
 * A packet that starts at layer 3 (it is "bare") has 14 bytes in front all the same, which are not part of
 * it: zeros, and the type of what follows. So it is parsed, found and written like any other; its type is
 * in key.packet_type, and s->bare says how many of its bytes do not count. Taking Ethernet off and putting
 * it on only writes these bytes. Nobody outside sees them: a bare packet leaves for no device
 * (device_of), and what comes up loses them there (upcalls.py).
 *
 * Bytes are put in and taken out behind the Ethernet header, where the kernel does that for what it takes
 * for IP only; so it is told so meanwhile, and what the packet has become afterwards. It must know the
 * network header to be there: where labels or a tunnel were pushed it may not be (s->is_shifted), and user
 * space goes on. So it does with what is still to be segmented, for hardly a kernel can cut that behind a
 * service header. */
#ifndef NL_LAYERS_H
#define NL_LAYERS_H

#include "base.h"
#include "parse.h"
#include "tunnel.h"

#define NSH_SIZE 8
/* As many words of four bytes as its length counts. */
#define MAX_LAYER 256
#define NSH_ETHERNET 3

/* What became of a header: user space has to do it, done, the packet is dropped. */
enum { LEFT, DONE, DROPPED };

INLINE be32 packet_type(be16 type)
{
	return htonl(0x10000 | ntohs(type));
}

/* Put `by` zeros in behind the Ethernet header, which is that of s->work afterwards, or take as many bytes
 * off if it is negative. There must be no tag beside the packet. Returns 0 with the packet as it was if
 * that cannot be. */
GLOBAL int nl_resize(struct __sk_buff *skb, s32 by)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || skb->gso_size || s->is_shifted)
		return 0;
	be16 *front = (be16 *)s->work, type, ip = htons(ETH_IPV4);
	u32 length = skb->len, least = ETH_SIZE + IPV6_SIZE - by;
	int is_short = by < 0 && length < least, failed;

	if (load_bytes(skb, 12, &type, 2) || (is_short && change_tail(skb, least, 0)))
		return 0;
	if (skb->protocol != htons(ETH_IPV4) && skb->protocol != htons(ETH_IPV6)) {
		store_bytes(skb, 12, &ip, 2, 0);
		nl_tell_type(skb, ip);
	}
	failed = adjust_room(skb, by, ROOM_MAC, FIXED_GSO);
	if (is_short)
		change_tail(skb, failed ? length : length + by, 0);
	if (failed) {
		store_bytes(skb, 12, &type, 2, 0);
		nl_tell_type(skb, type);
		return 0;
	}
	store_bytes(skb, 0, front, ETH_SIZE, 0);
	nl_tell_type(skb, front[6]);
	s->is_changed = 1;
	return 1;
}

/* The Ethernet header of a bare packet. */
INLINE void be_bare(struct nl_scratch *s, be16 type)
{
	__builtin_memset(s->work, 0, 12);
	((be16 *)s->work)[6] = type;
}

/* Where the fields of a service header are that was just put on. */
INLINE void find_service(struct __sk_buff *skb, struct nl_scratch *s, u32 length)
{
	s->net = NL_NET_NSH;
	s->l3 = ETH_SIZE;
	s->l4 = s->has_ports = 0;
	if (s->key.nw_frag)
		nl_reparse(skb);
	else if ((s->header[0] >> 16 & 0xff) == 1 && length == NSH_SIZE + 16)
		has_context(s);
}

/* The type of what is behind a service header, by the number that it has for it (0: a frame); of
 * numbers that nobody knows it is 0xffff. */
INLINE be16 type_behind(u32 number)
{
	switch (number) {
	case 1:
		return htons(ETH_IPV4);
	case 2:
		return htons(ETH_IPV6);
	case NSH_ETHERNET:
		return 0;
	case 4:
		return htons(ETH_NSH);
	}
	return 0xffff;
}

/* Whether the service header in s->header is of the right kind: what says something else of the packet
 * comes off in another way than it went on, and is user space's. */
INLINE int is_true(struct nl_scratch *s)
{
	be16 behind = s->bare ? htons(ntohl(s->key.packet_type)) : 0;

	return type_behind(s->header[0] >> 24 & 0xff) == behind;
}

/* A header of type `type` and `length` bytes, the first 8 of which are in the action and the others in
 * s->header, in front of all of the packet. */
INLINE int push_layer(struct __sk_buff *skb, struct nl_scratch *s, struct nl_action *a)
{
	be16 head[MAX_ETH_SIZE / 2];
	u32 n = 6, size = 0, length = a->a16;
	be16 type = a->a32;

	s->header[0] = a->a64;
	OPAQUE(length);
	if (length < 4 || length > MAX_LAYER || skb->gso_size || s->is_shifted)
		return LEFT;
	if (type == htons(ETH_NSH) && !is_true(s))
		return LEFT;
	if (!s->bare) {
		if (load_bytes(skb, 0, head, 12))
			return LEFT;
		n = take_tags(skb, head);
		size = 2 * n + 2;
	}
	be_bare(s, type);
	if (skb->vlan_present || (size && load_bytes(skb, 12, head + n, 2)) ||
	    !nl_resize(skb, length + size)) {
		put_tags_back(skb, head, n);
		return LEFT;
	}
	store_bytes(skb, ETH_SIZE, s->header, length, RECOMPUTE);
	OPAQUE(size);
	if (size && size <= MAX_ETH_SIZE)
		store_bytes(skb, ETH_SIZE + length, head, size, RECOMPUTE);
	s->bare = ETH_SIZE;
	s->key.packet_type = packet_type(type);
	if (type == htons(ETH_NSH))
		find_service(skb, s, length);
	else
		nl_reparse(skb);
	return DONE;
}

/* Take `length` bytes off, behind which a packet of type `type` is; of type 0, a frame. */
INLINE int pop_layer(struct __sk_buff *skb, struct nl_scratch *s, u32 length, be16 type)
{
	if (type) {
		be_bare(s, type);
	} else {
		if (load_bytes(skb, ETH_SIZE + length, s->work, ETH_SIZE))
			return LEFT;
		length += ETH_SIZE;
	}
	if (!nl_resize(skb, -(s32)length))
		return LEFT;
	s->bare = type ? ETH_SIZE : 0;
	s->key.packet_type = type ? packet_type(type) : 0;
	nl_reparse(skb);
	return DONE;
}

INLINE int pop_service(struct __sk_buff *skb, struct nl_scratch *s)
{
	u8 base[NSH_SIZE];

	if (s->key.packet_type != packet_type(htons(ETH_NSH)))
		return DONE;
	if (skb->gso_size || s->is_shifted)
		return LEFT;
	if (!load_bytes(skb, ETH_SIZE, base, NSH_SIZE)) {
		u32 length = (base[1] & 0x3f) * 4;
		be16 type = type_behind(base[3]);
		if (length >= NSH_SIZE && ETH_SIZE + length <= skb->len && type != 0xffff)
			return pop_layer(skb, s, length, type);
	}
	count(NL_COUNT_DROP_NSH);
	return DROPPED;
}

INLINE int push_ethernet(struct __sk_buff *skb, struct nl_scratch *s, struct nl_action *a)
{
	if (!s->bare)
		return DONE;
	if (store_bytes(skb, 0, &a->a64, 8, 0) || store_bytes(skb, 8, &a->a32, 4, 0))
		return LEFT;
	s->bare = 0;
	s->key.packet_type = 0;
	s->is_changed = 1;
	return DONE;
}

/* What has tags or no type is user space's. */
INLINE int pop_ethernet(struct __sk_buff *skb, struct nl_scratch *s)
{
	be16 type;

	if (s->bare || skb->vlan_present || load_bytes(skb, 12, &type, 2) || is_vlan(type) ||
	    ntohs(type) < ETH_TYPE_MIN)
		return LEFT;
	be_bare(s, type);
	if (store_bytes(skb, 0, s->work, 12, 0))
		return LEFT;
	s->bare = ETH_SIZE;
	s->key.packet_type = packet_type(type);
	s->is_changed = 1;
	return DONE;
}

GLOBAL int nl_change_layer(struct __sk_buff *skb, struct nl_action *a)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !a)
		return DROPPED;
	u32 place = a->a16;

	switch (a->op) {
	case NL_OP_LAYER_DATA:
		if (place < MAX_LAYER / 8)
			s->header[place] = a->a64;
		return DONE;
	case NL_OP_PUSH_LAYER:
		return push_layer(skb, s, a);
	case NL_OP_POP_NSH:
		return pop_service(skb, s);
	case NL_OP_PUSH_ETHERNET:
		return push_ethernet(skb, s, a);
	case NL_OP_POP_ETHERNET:
		return pop_ethernet(skb, s);
	}
	return DONE;
}

/* Make room for the headers of a tunnel in front of a bare packet, in place of what it has there. What is to
 * be segmented inside of them must be IP. */
INLINE int make_room(struct __sk_buff *skb, struct nl_scratch *s, struct nl_template *t)
{
	u64 flags = FIXED_GSO | (t->is_ipv6 ? ENCAP_IPV6 : ENCAP_IPV4) | (t->is_udp ? ENCAP_UDP : ENCAP_GRE);
	int is_network = s->net == NL_NET_IPV4 || s->net == NL_NET_IPV6;

	if (is_network && !adjust_room(skb, t->length - ETH_SIZE, ROOM_MAC, flags))
		return 1;
	return !skb->gso_size && !change_head(skb, t->length - ETH_SIZE, 0);
}

/* A bare packet into a tunnel; 0 if that cannot be done here. */
GLOBAL int nl_bare_push(struct __sk_buff *skb, u32 number, u32 port)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_template *t = map_lookup(&templates, &number);
	struct nl_output *way = map_lookup(&outputs, &port);
	if (!s || !t || t->has_checksum)
		return 0;
	u32 inner = skb->len - s->bare, longest = longest_segment(skb, s) - s->bare + t->length;

	if (inner + t->length > MAX_PACKET || (way && way->most && longest > way->most))
		return 0;
	copy_template(s, t);
	finish_header(s, t, inner);
	if (!make_room(skb, s, t))
		return 0;
	store_header(skb, s, t->length);
	s->bare = s->key.packet_type = 0;
	s->is_changed = s->is_shifted = 1;
	return 1;
}

/* The last label off a bare packet, behind which a frame is. */
GLOBAL int nl_bare_label(struct __sk_buff *skb)
{
	struct nl_scratch *s = scratch_of_cpu();
	return s ? pop_layer(skb, s, 4, 0) == DONE : 0;
}

#endif
