#include "controller/assignment.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/kerr.h"

/* Brokers in the order of assignment: with racks, one rack after the other in turn. */
struct layout {
	const struct assignment_broker *brokers;
	int32_t *order; /* indexes into brokers */
	int32_t count, rack_count;
	bool with_racks;
};

static const struct assignment_broker *
broker_at(const struct layout *l, int32_t position)
{
	return &l->brokers[l->order[position]];
}

static bool
rack_seen_before(const struct assignment_broker *brokers, int32_t index)
{
	for (int32_t i = 0; i < index; i++)
		if (strcmp(brokers[i].rack, brokers[index].rack) == 0)
			return true;
	return false;
}

/* The next rack name after `last` in order, or NULL. */
static const char *
next_rack(const struct assignment_broker *brokers, int32_t count, const char *last)
{
	const char *next = NULL;

	for (int32_t i = 0; i < count; i++)
		if ((last == NULL || strcmp(brokers[i].rack, last) > 0) &&
		    (next == NULL || strcmp(brokers[i].rack, next) < 0))
			next = brokers[i].rack;
	return next;
}

/* The n-th broker of a rack, by id, or -1. */
static int32_t
nth_of_rack(const struct assignment_broker *brokers, int32_t count, const char *rack, int32_t n)
{
	for (int32_t i = 0; i < count; i++)
		if (strcmp(brokers[i].rack, rack) == 0 && n-- == 0)
			return i;
	return -1;
}

static void
order_by_racks(struct layout *l)
{
	int32_t placed = 0;

	for (int32_t round = 0; placed < l->count; round++) {
		const char *rack = NULL;

		while ((rack = next_rack(l->brokers, l->count, rack)) != NULL) {
			int32_t index = nth_of_rack(l->brokers, l->count, rack, round);

			if (index >= 0)
				l->order[placed++] = index;
		}
	}
}

static bool
rack_is_used(const struct layout *l, const int32_t *positions, int32_t n, const char *rack)
{
	for (int32_t i = 0; i < n; i++)
		if (strcmp(broker_at(l, positions[i])->rack, rack) == 0)
			return true;
	return false;
}

static bool
position_is_used(const int32_t *positions, int32_t n, int32_t position)
{
	for (int32_t i = 0; i < n; i++)
		if (positions[i] == position)
			return true;
	return false;
}

static int32_t
racks_used(const struct layout *l, const int32_t *positions, int32_t n)
{
	int32_t used = 0;

	for (int32_t i = 0; i < n; i++)
		used += !rack_is_used(l, positions, i, broker_at(l, positions[i])->rack);
	return used;
}

static int32_t
replica_position(int32_t first, int32_t shift, int32_t index, int32_t count)
{
	return (first + 1 + (shift + index) % (count - 1)) % count;
}

/* positions[0] is set; finds the others. */
static void
place_with_racks(const struct layout *l, int32_t shift, int32_t *positions, int32_t replicas)
{
	int32_t k = 0;

	for (int32_t n = 1; n < replicas;) {
		int32_t position =
		    replica_position(positions[0], shift * l->rack_count, k++, l->count);
		bool rack_again = rack_is_used(l, positions, n, broker_at(l, position)->rack) &&
				  racks_used(l, positions, n) < l->rack_count;

		if (!rack_again && !position_is_used(positions, n, position))
			positions[n++] = position;
	}
}

static void
place(const struct layout *l, int32_t shift, int32_t *positions, int32_t replicas)
{
	if (l->with_racks) {
		place_with_racks(l, shift, positions, replicas);
		return;
	}
	for (int32_t j = 0; j < replicas - 1; j++)
		positions[j + 1] = replica_position(positions[0], shift, j, l->count);
}

static int
layout_init(struct layout *l, const struct assignment_broker *brokers, size_t count)
{
	int32_t with_rack = 0;

	*l = (struct layout){.brokers = brokers, .count = (int32_t)count};
	for (int32_t i = 0; i < l->count; i++)
		with_rack += brokers[i].rack != NULL;
	if (with_rack != 0 && with_rack != l->count)
		return K_UNKNOWN_SERVER_ERROR;
	l->order = calloc(count + 1, sizeof(*l->order));
	if (l->order == NULL)
		return -ENOMEM;
	l->with_racks = with_rack > 0;
	for (int32_t i = 0; i < l->count; i++)
		l->order[i] = i;
	for (int32_t i = 0; l->with_racks && i < l->count; i++)
		l->rack_count += !rack_seen_before(brokers, i);
	if (l->with_racks)
		order_by_racks(l);
	return 0;
}

static int
add_partition(const struct layout *l, int32_t number, const int32_t *positions, int32_t replicas,
	      struct topic_assignment *ta)
{
	struct partition_assignment *pa = &ta->partitions[ta->partition_count];

	*pa = (struct partition_assignment){.partition = number};
	pa->replicas = calloc((size_t)replicas, sizeof(*pa->replicas));
	if (pa->replicas == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < replicas; i++)
		pa->replicas[i] = broker_at(l, positions[i])->id;
	pa->replica_count = replicas;
	ta->partition_count++;
	return 0;
}

int
assignment_make(struct env *env, const struct assignment_broker *brokers, size_t broker_count,
		int32_t first_partition, int32_t count, int32_t replication_factor, int32_t start,
		int32_t shift, struct topic_assignment *ta)
{
	struct partition_assignment *partitions;
	struct layout l;
	int32_t *positions;
	int st;

	if (replication_factor < 1 || (size_t)replication_factor > broker_count)
		return K_INVALID_REPLICATION_FACTOR;
	partitions = realloc(ta->partitions,
			     ((size_t)ta->partition_count + (size_t)count) * sizeof(*partitions));
	if (partitions == NULL)
		return -ENOMEM;
	ta->partitions = partitions;
	st = layout_init(&l, brokers, broker_count);
	if (st != 0)
		return st;
	if (start < 0)
		start = (int32_t)env_random_below(env, broker_count);
	if (shift < 0)
		shift = (int32_t)env_random_below(env, broker_count);
	positions = calloc((size_t)replication_factor, sizeof(*positions));
	st = positions == NULL ? -ENOMEM : 0;
	for (int32_t p = first_partition; st == 0 && p < first_partition + count; p++) {
		if (p > 0 && p % l.count == 0)
			shift++;
		positions[0] = (p + start) % l.count;
		place(&l, shift, positions, replication_factor);
		st = add_partition(&l, p, positions, replication_factor, ta);
	}
	free(positions);
	free(l.order);
	return st;
}
