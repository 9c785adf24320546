/* What every part needs: types, the helpers of the kernel that are used, the generated layout.
 *
 * The numbers of helpers are those of linux/bpf.h and never change. Nothing newer than Linux 6.1 is
 * used without a probe. */
#ifndef NL_BASE_H
#define NL_BASE_H

#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef __u16 be16;
typedef __u32 be32;
typedef __u64 be64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* A function that the verifier checks once, whoever calls it. */
#define GLOBAL __attribute__((noinline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
/* Keeps the compiler from computing a checked bound a second time in another register. */
#define OPAQUE(x) asm volatile("" : "+r"(x))

#define htons(x) __builtin_bswap16(x)
#define ntohs(x) __builtin_bswap16(x)
#define htonl(x) __builtin_bswap32(x)
#define ntohl(x) __builtin_bswap32(x)

/* What becomes of a packet, as tc's return values. */
#define NL_DROP 2
/* To whoever is next: other programs, the host. */
#define NL_PASS -1

struct nl_map {
	u32 unused;
};

#include "generated.h"

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static int (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static int (*const map_delete)(void *map, const void *key) = (void *)3;
static u32 (*const random_u32)(void) = (void *)7;
static u32 (*const cpu_id)(void) = (void *)8;
static int (*const store_bytes)(struct __sk_buff *skb, u32 offset, const void *from, u32 size,
				u64 flags) = (void *)9;
static int (*const l3_csum_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to,
				    u64 flags) = (void *)10;
static int (*const l4_csum_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to,
				    u64 flags) = (void *)11;
static int (*const tail_call)(void *context, void *programs, u32 index) = (void *)12;
static int (*const clone_redirect)(struct __sk_buff *skb, u32 ifindex, u64 flags) = (void *)13;
static int (*const vlan_push)(struct __sk_buff *skb, be16 tpid, u16 tci) = (void *)18;
static int (*const vlan_pop)(struct __sk_buff *skb) = (void *)19;
static int (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static int (*const change_type)(struct __sk_buff *skb, u32 type) = (void *)32;
static int (*const load_bytes)(const void *skb, u32 offset, void *to, u32 size) = (void *)26;
static int (*const change_tail)(struct __sk_buff *skb, u32 size, u64 flags) = (void *)38;
static int (*const pull_data)(struct __sk_buff *skb, u32 size) = (void *)39;
static void *(*const ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ring_submit)(void *record, u64 flags) = (void *)132;
static void (*const ring_discard)(void *record, u64 flags) = (void *)133;
static int (*const redirect_peer)(u32 ifindex, u64 flags) = (void *)155;
static u64 (*const coarse_ns)(void) = (void *)160;
/* Writes the device's MTU to `mtu`, which must be 0 before. */
static s64 (*const check_mtu)(struct __sk_buff *skb, u32 ifindex, u32 *mtu, s32 difference,
			      u64 flags) = (void *)163;

/* Which network header the packet has, whole. */
enum { NL_NET_NONE, NL_NET_IPV4, NL_NET_IPV6, NL_NET_ARP, NL_NET_MPLS, NL_NET_NSH };

#define NL_MAX_UNDO 16
/* From l3 to is_routed. */
#define NL_KEPT_WORDS 7
/* Four bytes of the packet as they were; `how` and `offset` as in nl_write. */
struct nl_undo {
	u32 how;
	u32 offset;
	u32 old;
};

/* What is known of the packet that this CPU works on. The key is the first member, so that it may be
 * taken for words. */
struct nl_scratch {
	union {
		struct nl_key key;
		u64 words[NL_KEY_WORDS];
		u32 halves[2 * NL_KEY_WORDS];
	};
	/* A key under a mask, by halves of words, behind the number of the mask. */
	u32 masked[2 * NL_KEY_WORDS + 2];
	/* The flow's; 0 if it has none. */
	u32 slot;
	/* Whether words before NL_FIRST_HOT are not zero: those of the packet, and metadata; options
	 * of tunnels count apart. */
	u32 rare;
	u32 rare_metadata;
	u32 has_options;
	u32 depth;
	u32 port;
	/* Offsets of the network and transport headers; l4 is 0 without one. */
	u32 l3;
	u32 l4;
	/* Bytes from l4 to the end of the packet, padding not counted. */
	u32 l4_size;
	u32 net;
	u32 proto;
	/* TCP's or UDP's header is whole. */
	u32 has_ports;
	/* A routing header that has segments left: the checksum covers another destination. */
	u32 is_routed;
	/* The type of what is in a tunnel and is no frame; 0 otherwise. */
	u32 follows;
	/* The packet was changed since it was parsed. */
	u32 is_changed;
	/* It was parsed behind more tags than the key has room for. */
	u32 is_hidden;
	/* What was known of its headers, while a key is read that may know less (key_as_it_is). */
	u32 kept[NL_KEPT_WORDS];
	u32 kept_type;
	u32 kept_frag;
	/* Where the cache is to keep that, and how much of the rare words counts. */
	u32 place;
	u32 place_rare;
	u32 place_first;
	/* In one: bytes that the next output may have where the packet could not be cut, 0 for all; bytes
	 * in front that are not part of the packet (layers.h); labels that lie before what the kernel takes
	 * for its network header, or another header. */
	union {
		struct {
			u32 cut;
			u16 bare;
			u16 is_shifted;
		};
		u64 is_special;
	};
	/* Records that the action just run wants to be left out. */
	u32 skip;
	/* Between SAVE and RESTORE: what was overwritten, oldest first. */
	u32 is_saving;
	u32 n_undo;
	struct nl_undo undo[NL_MAX_UNDO];
	u32 saved_mark;
	u32 saved_priority;
	u32 saved_hash;
	u32 saved_type;
	/* The generation before the flow was looked for: what is remembered of the search is of it. */
	u32 generation;
	/* 1 + the place of the connection that `ct` last found, 0 for none; and its serial number. */
	u32 connection;
	u32 serial;
	u64 label[2];
	u64 label_mask[2];
	/* Working space of ct, which the stack has no room for. */
	struct nl_tuple tuple;
	struct nl_tuple reply;
	struct nl_entry entry;
	u32 opens;
	u32 is_reply;
	u32 verdict;
	u32 seq;
	u32 ack;
	u32 tcp_flags;
	u32 window;
	u32 length;
	s32 scale;
	/* How a new connection is to be translated. */
	u32 nat_flags;
	u32 nat_ports;
	u32 nat_start;
	u32 nat_low[4];
	u32 nat_high[4];
	struct nl_side source;
	struct nl_side destination;
	/* Which actions are left if the next one cannot be done here; 0 for all of the flow's. */
	u32 resume;
	/* Of a packet that is switched: its VLAN and priority inside of the switch, the tag that it has
	 * now (0: none), the type of its tags, the device that it is to leave by. */
	u32 vlan;
	u32 priority;
	u32 tag;
	u32 tag_type;
	u32 is_protected;
	u32 pending;
	u32 pending_port;
	u32 n_sent;
	/* The switch knows where its destination is. */
	u32 is_known;
	/* Bytes of the packet, for functions deep down: stacks are short. */
	u32 work[16];
	/* Of the headers that were put on last: their length and shape, the longest packet inside; whether
	 * they have a checksum, what it covers of each segment, and the sum of that. */
	u32 pushed_length;
	u32 pushed_shape;
	u32 pushed_longest;
	u32 pushed_sums;
	u32 pushed_inside;
	s32 pushed_sum;
	/* Outer headers. */
	u64 header[NL_TEMPLATE_BYTES / 8];
};
_Static_assert(__builtin_offsetof(struct nl_scratch, masked) == NL_MASKED_AT, "masked");
_Static_assert(__builtin_offsetof(struct nl_scratch, slot) == NL_SLOT_AT, "slot");
_Static_assert(sizeof(struct nl_scratch) <= NL_SCRATCH_BYTES, "scratch");

INLINE struct nl_scratch *scratch_of_cpu(void)
{
	u32 zero = 0;
	return map_lookup(&scratch, &zero);
}

/* Forget the options of a tunnel. */
INLINE void clear_options(struct nl_scratch *s)
{
	if (s->has_options) {
		__builtin_memset(s->words, 0, NL_OPTION_WORDS * 8);
		s->has_options = 0;
	}
}

INLINE void add_to(u32 what, s64 by)
{
	u32 index = cpu_id() * NL_COUNTER_STRIDE + what;
	u64 *counter = map_lookup(&counters, &index);
	if (counter)
		*counter += by;
}

INLINE void count(u32 what)
{
	add_to(what, 1);
}

/* A drop for a reason of the pipeline. */
INLINE void count_reason(u32 reason)
{
	count(reason < NL_N_REASONS ? NL_COUNT_DROP_REASON + reason : NL_COUNT_DROP_REASON);
}

#endif
