#include "base/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

struct map_entry {
	struct map_entry *next;
	uint64_t hash;
	void *value;
	size_t key_len;
	char key[];
};

static uint64_t seed[2];

static void
make_seed(void)
{
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		abort();
}

static inline uint64_t
rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

#define SIP_ROUND(v0, v1, v2, v3)                                                                  \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v1 = rotate(v1, 13) ^ v0;                                                          \
		v0 = rotate(v0, 32);                                                               \
		v2 += v3;                                                                          \
		v3 = rotate(v3, 16) ^ v2;                                                          \
		v0 += v3;                                                                          \
		v3 = rotate(v3, 21) ^ v0;                                                          \
		v2 += v1;                                                                          \
		v1 = rotate(v1, 17) ^ v2;                                                          \
		v2 = rotate(v2, 32);                                                               \
	} while (0)

uint64_t
map_hash(const void *key, size_t key_len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint8_t *p = key;
	uint64_t v0, v1, v2, v3, word;
	size_t left = key_len;

	pthread_once(&once, make_seed);
	v0 = seed[0] ^ 0x736f6d6570736575ULL;
	v1 = seed[1] ^ 0x646f72616e646f6dULL;
	v2 = seed[0] ^ 0x6c7967656e657261ULL;
	v3 = seed[1] ^ 0x7465646279746573ULL;
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v3 ^= word;
		SIP_ROUND(v0, v1, v2, v3);
		v0 ^= word;
	}
	word = (uint64_t)key_len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	v3 ^= word;
	SIP_ROUND(v0, v1, v2, v3);
	v0 ^= word;
	v2 ^= 0xff;
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

void
map_fini(struct map *m)
{
	for (size_t i = 0; i < m->bucket_count; i++) {
		while (m->buckets[i] != NULL) {
			struct map_entry *e = m->buckets[i];

			m->buckets[i] = e->next;
			free(e);
		}
	}
	free(m->buckets);
	*m = (struct map){0};
}

/* Where the entry hangs, or where it would: the link that ends its bucket. */
static struct map_entry **
find_link(const struct map *m, const void *key, size_t key_len, uint64_t hash)
{
	struct map_entry **link = &m->buckets[hash & (m->bucket_count - 1)];

	while (*link != NULL && ((*link)->hash != hash || (*link)->key_len != key_len ||
				 memcmp((*link)->key, key, key_len) != 0))
		link = &(*link)->next;
	return link;
}

void *
map_get(const struct map *m, const void *key, size_t key_len)
{
	struct map_entry *e;

	if (m->count == 0)
		return NULL;
	e = *find_link(m, key, key_len, map_hash(key, key_len));
	return e == NULL ? NULL : e->value;
}

void *
map_get_text(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

static int
grow(struct map *m)
{
	size_t count = m->bucket_count == 0 ? 2 : m->bucket_count * 2; /* most stay small */
	struct map_entry **buckets = calloc(count, sizeof(struct map_entry *));

	if (buckets == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->bucket_count; i++) {
		while (m->buckets[i] != NULL) {
			struct map_entry *e = m->buckets[i];

			m->buckets[i] = e->next;
			e->next = buckets[e->hash & (count - 1)];
			buckets[e->hash & (count - 1)] = e;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->bucket_count = count;
	return 0;
}

int
map_put(struct map *m, const void *key, size_t key_len, void *value, void **ret_old)
{
	uint64_t hash = map_hash(key, key_len);
	struct map_entry **link, *e;
	int st;

	if (m->count >= m->bucket_count) {
		st = grow(m);
		if (st != 0 && m->bucket_count == 0)
			return st;
	}
	link = find_link(m, key, key_len, hash);
	if (*link != NULL) {
		if (ret_old != NULL)
			*ret_old = (*link)->value;
		(*link)->value = value;
		return 0;
	}
	e = malloc(sizeof(*e) + key_len + 1);
	if (e == NULL)
		return -ENOMEM;
	e->next = NULL;
	e->hash = hash;
	e->value = value;
	e->key_len = key_len;
	if (key_len > 0)
		memcpy(e->key, key, key_len);
	e->key[key_len] = '\0';
	*link = e;
	m->count++;
	if (ret_old != NULL)
		*ret_old = NULL;
	return 0;
}

int
map_put_text(struct map *m, const char *key, void *value, void **ret_old)
{
	return map_put(m, key, strlen(key), value, ret_old);
}

void *
map_remove(struct map *m, const void *key, size_t key_len)
{
	struct map_entry **link, *e;
	void *value;

	if (m->count == 0)
		return NULL;
	link = find_link(m, key, key_len, map_hash(key, key_len));
	e = *link;
	if (e == NULL)
		return NULL;
	*link = e->next;
	value = e->value;
	free(e);
	m->count--;
	return value;
}

void *
map_remove_text(struct map *m, const char *key)
{
	return map_remove(m, key, strlen(key));
}

void *
map_next(const struct map *m, struct map_iter *iter)
{
	iter->current = iter->next;
	while (iter->current == NULL) {
		if (iter->bucket == m->bucket_count)
			return NULL;
		iter->current = m->buckets[iter->bucket++];
	}
	iter->next = iter->current->next;
	return iter->current->value;
}

struct str
map_iter_key(const struct map_iter *iter)
{
	return (struct str){iter->current->key, iter->current->key_len};
}
