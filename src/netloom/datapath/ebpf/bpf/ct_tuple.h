/* Which connection a packet belongs to: its tuple, or that of the packet that an ICMP error quotes. */
#ifndef NL_CT_TUPLE_H
#define NL_CT_TUPLE_H

#include "base.h"
#include "parse.h"

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16
#define URG 32

INLINE int has_invalid_flags(u32 flags)
{
	if (flags & SYN) {
		if (flags & (RST | FIN))
			return 1;
	} else if (!(flags & (ACK | RST))) {
		return 1;
	}
	return !(flags & ACK) && flags & (FIN | PSH | URG);
}

INLINE u32 answer_type(u32 proto, u32 type)
{
	if (proto == ICMPV6)
		return type == 128 ? 129 : type == 129 ? 128 : 256;
	switch (type) {
	case 8: return 0;
	case 0: return 8;
	case 13: return 14;
	case 14: return 13;
	case 15: return 16;
	case 16: return 15;
	}
	return 256;
}

/* Fill the tuple of the packet; 0 if it has none that these programs know. `opens` says whether such a
 * packet may start a connection. */
INLINE int fill_tuple(struct __sk_buff *skb, struct nl_scratch *s, struct nl_tuple *t, u32 zone,
		      int *opens)
{
	u32 proto = s->proto, size = s->l4_size;
	u8 head[20];

	__builtin_memset(t, 0, sizeof(*t));
	if (!s->l4 || s->key.nw_frag)
		return 0;
	t->zone = zone;
	t->proto = proto;
	if (s->net == NL_NET_IPV4) {
		t->family = 4;
		if (load_bytes(skb, s->l3 + 12, &t->src[0], 4) || load_bytes(skb, s->l3 + 16, &t->dst[0], 4))
			return 0;
	} else if (s->net == NL_NET_IPV6) {
		t->family = 6;
		if (load_bytes(skb, s->l3 + 8, t->src, 16) || load_bytes(skb, s->l3 + 24, t->dst, 16))
			return 0;
	} else {
		return 0;
	}
	*opens = 1;
	if (proto == TCP || proto == UDP) {
		u32 least = proto == TCP ? 20 : 8;
		if (size < least || load_bytes(skb, s->l4, head, 8))
			return 0;
		t->sport = ntohs(*(be16 *)head);
		t->dport = ntohs(*(be16 *)(head + 2));
		if (!t->sport || !t->dport)
			return 0;
		if (proto == UDP) {
			u32 length = ntohs(*(be16 *)(head + 4));
			/* Without a checksum, over IPv6: user space says what that is. */
			return length >= 8 && (length <= size || skb->gso_size) &&
			       (t->family == 4 || *(u16 *)(head + 6));
		}
		if (load_bytes(skb, s->l4 + 12, head, 2))
			return 0;
		*opens = !has_invalid_flags(head[1]) && (head[1] & (SYN | ACK)) != (SYN | ACK);
		return 1;
	}
	if (proto == ICMP || proto == ICMPV6) {
		if (size < 8 || (proto == ICMP) != (t->family == 4) || load_bytes(skb, s->l4, head, 8))
			return 0;
		u32 answer = answer_type(proto, head[0]), id = ntohs(*(be16 *)(head + 4)) << 16;
		if (answer > 255 || head[1])
			return 0;
		t->sport = id | head[0] << 8;
		t->dport = id | answer << 8;
		*opens = proto == ICMPV6 ? head[0] == 128 : head[0] == 8 || head[0] == 13 || head[0] == 15;
		return 1;
	}
	return proto != SCTP;
}

/* Fill s->tuple for an ICMP error from the packet that it quotes (RFC 792, RFC 4443), which the one
 * sent that the error is for; 0 if it is none, or not so. */
GLOBAL int nl_fill_quoted(struct __sk_buff *skb, u32 zone)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s || !s->l4 || s->key.nw_frag || s->l4_size < 8)
		return 0;
	struct nl_tuple *t = &s->tuple;
	u32 at = s->l4 + 8, end = s->l4 + s->l4_size, proto;
	u8 head[20], type;

	if (load_bytes(skb, s->l4, &type, 1))
		return 0;
	__builtin_memset(t, 0, sizeof(*t));
	t->zone = zone;
	if (s->net == NL_NET_IPV4 && s->proto == ICMP) {
		u32 receiver;
		if (type != 3 && type != 4 && type != 5 && type != 11 && type != 12)
			return 0;
		if (at + 20 > end || load_bytes(skb, at, head, 20) || load_bytes(skb, s->l3 + 16, &receiver, 4))
			return 0;
		if (head[0] >> 4 != 4 || (head[0] & 15) < 5 || *(be16 *)(head + 6) & htons(0x3fff))
			return 0;
		__builtin_memcpy(&t->dst[0], head + 12, 4);
		__builtin_memcpy(&t->src[0], head + 16, 4);
		if (t->dst[0] != receiver)
			return 0;
		proto = head[9];
		t->family = 4;
		at += (head[0] & 15) * 4;
	} else if (s->net == NL_NET_IPV6 && s->proto == ICMPV6) {
		u32 receiver[4];
		if (type < 1 || type > 4)
			return 0;
		if (at + 40 > end || load_bytes(skb, at + 6, head, 1) || load_bytes(skb, at + 8, t->dst, 16) ||
		    load_bytes(skb, at + 24, t->src, 16) || load_bytes(skb, s->l3 + 24, receiver, 16))
			return 0;
		for (int i = 0; i < 4; i++) {
			if (t->dst[i] != receiver[i])
				return 0;
		}
		proto = head[0];
		t->family = 6;
		at += 40;
	} else {
		return 0;
	}
	t->proto = proto;
	if (at + 8 > end || load_bytes(skb, at, head, 8))
		return 0;
	if (proto == TCP || proto == UDP) {
		t->dport = ntohs(*(be16 *)head);
		t->sport = ntohs(*(be16 *)(head + 2));
		return t->sport && t->dport;
	}
	if (proto == s->proto) {
		u32 answer = answer_type(proto, head[0]), id = ntohs(*(be16 *)(head + 4)) << 16;
		if (answer > 255 || head[1])
			return 0;
		t->dport = id | head[0] << 8;
		t->sport = id | answer << 8;
		return 1;
	}
	return 0;
}

#endif
