#include "storage/offset_map.h"

#include <errno.h>
#include <stdlib.h>

struct slot {
	uint64_t hash[2]; /* both 0: free */
	int64_t offset;
};

struct offset_map {
	struct slot *slots;
	size_t slot_count;
	size_t limit;
	size_t count;
	uint64_t key[2];
};

_Static_assert(sizeof(struct slot) == OFFSET_MAP_SLOT_BYTES, "a slot has 24 bytes");

int
offset_map_open(struct env *env, size_t bytes, double load_factor, struct offset_map **ret_map)
{
	struct offset_map *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->slot_count = bytes / sizeof(struct slot);
	if (m->slot_count < 2)
		m->slot_count = 2;
	m->limit = (size_t)((double)m->slot_count * load_factor);
	if (m->limit >= m->slot_count)
		m->limit = m->slot_count - 1;
	if (m->limit < 1)
		m->limit = 1;
	/* Zeroed by the kernel, page by page as they are used. */
	m->slots = calloc(m->slot_count, sizeof(struct slot));
	if (m->slots == NULL) {
		free(m);
		return -ENOMEM;
	}
	env_random(env, m->key, sizeof(m->key));
	*ret_map = m;
	return 0;
}

void
offset_map_close(struct offset_map *m)
{
	if (m == NULL)
		return;
	free(m->slots);
	free(m);
}

static uint64_t
rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t
load_le64(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len);
	return v;
}

/* SipHash-2-4 with 128 bits of output. */
static void
hash_key(const struct offset_map *m, struct slice key, uint64_t hash[2])
{
	uint64_t v[4] = {m->key[0] ^ 0x736f6d6570736575u, m->key[1] ^ 0x646f72616e646f6du ^ 0xee,
			 m->key[0] ^ 0x6c7967656e657261u, m->key[1] ^ 0x7465646279746573u};
	size_t whole = key.len & ~(size_t)7;
	uint64_t last;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t word = load_le64(key.data + i, 8);

		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	last = (uint64_t)key.len << 56;
	if (key.len > whole)
		last |= load_le64(key.data + whole, key.len - whole);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xee;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
	if (hash[0] == 0 && hash[1] == 0)
		hash[1] = 1; /* zero means free */
}

/* The key's slot, or the free one where it belongs. There is always a free one. */
static struct slot *
find_slot(const struct offset_map *m, const uint64_t hash[2])
{
	size_t at = hash[0] % m->slot_count;

	for (;;) {
		struct slot *slot = &m->slots[at];

		if ((slot->hash[0] == hash[0] && slot->hash[1] == hash[1]) ||
		    (slot->hash[0] == 0 && slot->hash[1] == 0))
			return slot;
		if (++at == m->slot_count)
			at = 0;
	}
}

bool
offset_map_put(struct offset_map *m, struct slice key, int64_t offset)
{
	struct slot *slot;
	uint64_t hash[2];

	hash_key(m, key, hash);
	slot = find_slot(m, hash);
	if (slot->hash[0] == 0 && slot->hash[1] == 0) {
		if (m->count >= m->limit)
			return false;
		slot->hash[0] = hash[0];
		slot->hash[1] = hash[1];
		slot->offset = offset;
		m->count++;
	} else if (offset > slot->offset) {
		slot->offset = offset;
	}
	return true;
}

int64_t
offset_map_get(const struct offset_map *m, struct slice key)
{
	const struct slot *slot;
	uint64_t hash[2];

	hash_key(m, key, hash);
	slot = find_slot(m, hash);
	return slot->hash[0] == 0 && slot->hash[1] == 0 ? -1 : slot->offset;
}

size_t
offset_map_count(const struct offset_map *m)
{
	return m->count;
}
