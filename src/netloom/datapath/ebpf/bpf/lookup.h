/* From a key to its flow: an exact-match cache of each CPU, behind it one hash per mask.
 *
 * The cache holds keys under the union of all masks (config.wanted), so what no flow looks at does not
 * split connections. An entry is good for one generation; the daemon counts the generation up when a
 * flow goes or changes, or the union grows.
 *
 * A masked key is packed: only the halves of words that the mask touches, behind the mask's number. The
 * time of a hash lookup follows the size of the key, hence one hash for each of a few sizes.
 *
 * User space makes a program of the masks in use (specialise.py), which needs no loops and no tables to
 * do the same; what is here serves while there is none. */
#ifndef NL_LOOKUP_H
#define NL_LOOKUP_H

#include "base.h"

static const u64 factors[NL_KEY_WORDS - NL_FIRST_HOT] = {
	0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd6e8feb86659fd93,
	0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3,
	0x1d8e4e27c47d124f, 0xeb44accab455d165, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
};

/* Write the halves of words that mask number `id` touches to s->masked, and zeros up to the size of its
 * hash's keys (halves under masks of 0). */
INLINE struct nl_mask *mask_key(struct nl_scratch *s, u32 id)
{
	struct nl_mask *mask = map_lookup(&masks, &id);
	if (!mask)
		return 0;
	u32 n = mask->n_halves;
	s->masked[0] = id;
	NO_UNROLL
	for (u32 i = 0; i < 2 * NL_KEY_WORDS; i++) {
		if (i >= n)
			break;
		u32 index = mask->index[i];
		if (index >= 2 * NL_KEY_WORDS)
			break;
		s->masked[i + 1] = s->halves[index] & mask->bits[i];
	}
	return mask;
}

INLINE u32 *find_masked(struct nl_scratch *s, struct nl_mask *mask)
{
	switch (mask->size_class) {
	case 0:
		return map_lookup(&keys_0, s->masked);
	case 1:
		return map_lookup(&keys_1, s->masked);
	case 2:
		return map_lookup(&keys_2, s->masked);
	case 3:
		return map_lookup(&keys_3, s->masked);
	case 4:
		return map_lookup(&keys_4, s->masked);
	default:
		return map_lookup(&keys_5, s->masked);
	}
}

/* Whether mask number `id` has a flow for the key: it goes to s->slot. */
GLOBAL int nl_try_mask(u32 id)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	struct nl_mask *mask = mask_key(s, id);
	if (!mask)
		return 0;
	u32 *slot = find_masked(s, mask);
	if (!slot)
		return 0;
	s->slot = *slot;
	__sync_fetch_and_add(&mask->hits, 1);
	return 1;
}

INLINE int find_slowly(void)
{
	u32 n = config_now.n_masks;
	NO_UNROLL
	for (u32 i = 0; i < NL_MAX_MASKS; i++) {
		if (i >= n)
			break;
		if (nl_try_mask(config_now.order[i]))
			return 1;
	}
	return 0;
}

/* The rarely filled words of the key, those of options only if `first` is 0: functions of their own, for the verifier
 * goes through each loop once then. */
GLOBAL u32 nl_hash_rare(u32 first)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_config *c = &config_now;
	u64 hash = 0;
	u32 from = first ? NL_OPTION_WORDS : 0;

	if (!s)
		return 0;
	NO_UNROLL
	for (u32 i = from; i < NL_FIRST_HOT; i++)
		hash = (hash ^ (s->words[i] & c->wanted[i])) * 0x9e3779b97f4a7c15 + (hash >> 29);
	return hash ^ hash >> 32;
}

GLOBAL int nl_is_same_rare(u32 index, u32 first)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_config *c = &config_now;
	struct nl_cached_rare *entry = map_lookup(&cache_rare, &index);
	u64 difference = 0;
	u32 from = first ? NL_OPTION_WORDS : 0;

	if (!s || !entry)
		return 0;
	NO_UNROLL
	for (u32 i = from; i < NL_FIRST_HOT; i++)
		difference |= (s->words[i] & c->wanted[i]) ^ entry->words[i];
	return !difference;
}

GLOBAL int nl_keep_rare(u32 index, u32 first)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_config *c = &config_now;
	struct nl_cached_rare *entry = map_lookup(&cache_rare, &index);
	u32 from = first ? NL_OPTION_WORDS : 0;

	if (!s || !entry)
		return 0;
	NO_UNROLL
	for (u32 i = from; i < NL_FIRST_HOT; i++)
		entry->words[i] = s->words[i] & c->wanted[i];
	return 0;
}

INLINE u64 hot_word(struct nl_scratch *s, int number)
{
	return s->words[NL_FIRST_HOT + number] & config_now.wanted[NL_FIRST_HOT + number];
}

/* If the cache knows the flow, its slot goes to s->slot. A function of its own, for its stack: there are
 * 512 bytes for all that call one another. */
GLOBAL int nl_find_cached(void)
{
	struct nl_scratch *s = scratch_of_cpu();
	struct nl_config *c = &config_now;
	if (!s)
		return 0;
	u64 hot[NL_KEY_WORDS - NL_FIRST_HOT], hash = 0, difference;
	/* Of words that no flow looks at, it does not matter whether they are zero. */
	u32 generation = *(volatile u32 *)&c->generation;
	u32 rare = c->wants_rare ? s->rare | s->rare_metadata : 0;
	u32 first = NL_OPTION_WORDS, n_entries = NL_CACHE_ENTRIES;

	s->generation = generation;
	if (c->wants_rare && s->has_options) {
		rare = 2;
		first = 0;
	}
	UNROLL
	for (int i = 0; i < NL_KEY_WORDS - NL_FIRST_HOT; i++) {
		hot[i] = hot_word(s, i);
		hash += (hot[i] ^ hot[i] >> 32) * factors[i];
	}
	if (rare) {
		hash += nl_hash_rare(first) * 0x9e3779b97f4a7c15;
		n_entries = NL_RARE_ENTRIES;
	}
	/* What is wanted changes while the generation is 0: what was read of it may be of both. */
	if (!generation || *(volatile u32 *)&c->generation != generation)
		return s->generation = 0;
	hash ^= hash >> 32;
	hash *= 0xbf58476d1ce4e5b9;
	u32 index = (hash >> 40) & (n_entries - 1);
	struct nl_cached *entry = map_lookup(&cache, &index);
	if (!entry)
		return 0;
	s->place = index;
	s->place_rare = rare;
	s->place_first = first;
	difference = (entry->generation ^ generation) | (entry->rare ^ rare);
	UNROLL
	for (int i = 0; i < NL_KEY_WORDS - NL_FIRST_HOT; i++)
		difference |= hot[i] ^ entry->words[i];
	if (difference || (rare && !nl_is_same_rare(index, first)))
		return 0;
	s->slot = entry->slot;
	return 1;
}

/* Have the caches know the flow of s->slot, which they did not; unless what is wanted of packets has
 * changed since they were asked. */
GLOBAL int nl_keep_flow(void)
{
	struct nl_scratch *s = scratch_of_cpu();
	if (!s)
		return 0;
	u32 index = s->place, generation = s->generation;
	struct nl_cached *entry = map_lookup(&cache, &index);
	if (!entry || !generation)
		return 0;
	entry->generation = 0;
	UNROLL
	for (int i = 0; i < NL_KEY_WORDS - NL_FIRST_HOT; i++)
		entry->words[i] = hot_word(s, i);
	if (s->place_rare)
		nl_keep_rare(index, s->place_first);
	entry->rare = s->place_rare;
	entry->slot = s->slot;
	if (*(volatile u32 *)&config_now.generation == generation)
		entry->generation = generation;
	return 0;
}

#endif
