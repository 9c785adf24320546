/* Hashes of packets, number for number those of flow/hashes.py: MurmurHash3's rounds over words as they
 * lie in the packet. */
#ifndef NL_HASH_H
#define NL_HASH_H

#include "parse.h"

#define SEASON_OF_CONNECTION 42

INLINE u32 rotate(u32 word, u32 bits)
{
	return word << bits | word >> (32 - bits);
}

INLINE u32 add_word(u32 state, u32 word)
{
	word = rotate(word * 0xcc9e2d51, 15);
	return rotate(state ^ word * 0x1b873593, 13) * 5 + 0xe6546b64;
}

INLINE u32 finish(u32 state, u32 size)
{
	state ^= size;
	state = (state ^ state >> 16) * 0x85ebca6b;
	state = (state ^ state >> 13) * 0xc2b2ae35;
	return state ^ state >> 16;
}

/* Of addresses, protocol and ports. */
INLINE u32 hash_connection(struct nl_key *key)
{
	const u32 *source = (const u32 *)key->ipv6_src, *destination = (const u32 *)key->ipv6_dst;
	u32 proto = key->nw_proto, state = 0;

	if (key->dl_type == htons(ETH_IPV4) || key->dl_type == htons(ETH_ARP)) {
		state = add_word(add_word(0, key->nw_src), key->nw_dst);
	} else if (key->dl_type == htons(ETH_IPV6)) {
		for (int i = 0; i < 4; i++)
			state = add_word(state, source[i]);
		for (int i = 0; i < 4; i++)
			state = add_word(state, destination[i]);
	} else {
		return finish(0, SEASON_OF_CONNECTION);
	}
	state = add_word(state, proto);
	if (proto == TCP || proto == UDP || proto == SCTP || proto == ICMP || proto == ICMPV6)
		state = add_word(state, key->tp_src | (u32)key->tp_dst << 16);
	return finish(state, SEASON_OF_CONNECTION);
}

INLINE u32 hash_symmetric_l2(struct nl_key *key, u32 basis)
{
	u8 data[12];
	u32 words[3], state = basis;

	if (key->packet_type)
		return 0;
	*(be16 *)data = key->dl_type;
	*(be16 *)(data + 2) = (key->vlan_tci ^ key->vlan1_tci) & htons(0xfff);
	for (int i = 0; i < 6; i++)
		data[4 + i] = key->dl_src[i] ^ key->dl_dst[i];
	data[10] = data[11] = 0;
	__builtin_memcpy(words, data, 12);
	for (int i = 0; i < 3; i++)
		state = add_word(state, words[i]);
	return finish(state, basis);
}

/* The same in both directions; without ports of UDP. */
INLINE u32 hash_symmetric(struct nl_key *key, u32 basis)
{
	const u32 *source = (const u32 *)key->ipv6_src, *destination = (const u32 *)key->ipv6_dst;
	u32 proto = key->nw_proto, state = basis;

	if (key->dl_type == htons(ETH_IPV4)) {
		state = add_word(state, key->nw_src ^ key->nw_dst);
	} else if (key->dl_type == htons(ETH_IPV6)) {
		for (int i = 0; i < 4; i++)
			state = add_word(state, source[i] ^ destination[i]);
	} else {
		return hash_symmetric_l2(key, basis);
	}
	state = add_word(state, proto);
	if ((proto == TCP || proto == SCTP) && !(key->nw_frag & 3))
		state = add_word(state, (u16)(key->tp_src ^ key->tp_dst));
	return finish(state, basis);
}

/* dp_hash; never 0, which means that there is none. */
INLINE u32 packet_hash(struct nl_key *key, u32 kind, u32 basis)
{
	u32 hash = kind == NL_HASH_SYMMETRIC_L4
			   ? hash_symmetric(key, basis)
			   : finish(add_word(add_word(hash_connection(key), 0), basis), 8);
	return hash ? hash : 1;
}

#endif
