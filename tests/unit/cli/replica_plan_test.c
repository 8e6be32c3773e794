/*
 * Plans of reassignments: which replicas go where. A cluster is given as text, "t:1,2,3 t:2,3,1
 * u:1", the partitions of a topic in order; its plan is compared as the same text, or by what must
 * hold.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/replica_plan.h"

#define PARTITIONS 600
#define BROKERS 12

static struct arena arena;
static struct plan_partition partitions[PARTITIONS];
static size_t count;
static struct plan_broker brokers[BROKERS];
static struct plan_request request;
static struct buf why;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, (size_t)1 << 28);
	request = (struct plan_request){.brokers = brokers};
	count = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	buf_fini(&why);
	return 0;
}

/* Ids 1 to n; racks: one letter for each, or NULL. */
static void
have_brokers(size_t n, const char *racks)
{
	request.broker_count = n;
	for (size_t i = 0; i < n; i++)
		brokers[i] = (struct plan_broker){
		    (int32_t)i + 1,
		    racks == NULL || racks[i] == '-' ? NULL : arena_strdup(&arena, racks + i, 1)};
}

static void
add_partition(const char *topic, size_t len, const int32_t *replicas, int32_t n)
{
	struct plan_partition *p = &partitions[count++];
	int32_t *copy = arena_calloc(&arena, (size_t)n + 1, sizeof(*copy));

	memcpy(copy, replicas, (size_t)n * sizeof(*copy));
	*p = (struct plan_partition){.topic = arena_strdup(&arena, topic, len),
				     .replicas = copy,
				     .replica_count = n,
				     .isr = copy,
				     .isr_count = n};
	if (count > 1 && strcmp(p[-1].topic, p->topic) == 0)
		p->partition = p[-1].partition + 1;
}

static void
have_partitions(const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, ":");
		int32_t replicas[BROKERS], n = 0;
		const char *topic = text;

		text += len;
		while (*text == ':' || *text == ',') {
			char *end;

			replicas[n++] = (int32_t)strtol(text + 1, &end, 10);
			text = end;
		}
		add_partition(topic, len, replicas, n);
		text += *text == ' ';
	}
}

static int
make(void)
{
	return replica_plan_make(&request, partitions, count, &arena, &why);
}

static void
assert_plan(const char *expected)
{
	struct buf text = {0};

	for (size_t i = 0; i < count; i++) {
		buf_printf(&text, "%s%s", i == 0 ? "" : " ", partitions[i].topic);
		for (int32_t k = 0; k < partitions[i].target_count; k++)
			buf_printf(&text, "%c%d", k == 0 ? ':' : ',', partitions[i].target[k]);
	}
	assert_string_equal(buf_text(&text), expected);
	buf_fini(&text);
}

static void
assert_refused(const char *reason)
{
	assert_int_equal(make(), -EINVAL);
	if (strstr(buf_text(&why), reason) == NULL)
		fail_msg("'%s' is not in: %s", reason, buf_text(&why));
	buf_fini(&why);
}

/* What a target has of a broker, as the first one or anywhere. */
static int
held(int32_t id, bool first)
{
	int n = 0;

	for (size_t i = 0; i < count; i++) {
		for (int32_t k = 0; k < (first ? 1 : partitions[i].target_count); k++)
			n += partitions[i].target[k] == id;
	}
	return n;
}

static int
copies(void)
{
	int n = 0;

	for (size_t i = 0; i < count; i++)
		n += replica_plan_copies(&partitions[i]);
	return n;
}

static const char *
rack_of(int32_t id)
{
	return brokers[id - 1].rack;
}

static int
racks_of(const struct plan_partition *p)
{
	int racks = 0;

	for (int32_t i = 0; i < p->target_count; i++) {
		bool again = false;

		for (int32_t k = 0; k < i; k++)
			again |= strcmp(rack_of(p->target[k]), rack_of(p->target[i])) == 0;
		racks += !again;
	}
	return racks;
}

/* ---- draining ---- */

static void
draining_moves_only_what_the_broker_holds(void **state)
{
	static const int32_t drained[] = {1};

	(void)state;
	have_brokers(4, NULL);
	have_partitions("t:1,2 t:2,3 t:3,1 t:4,2");
	request.drained = drained;
	request.drained_count = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 2);
	assert_int_equal(held(1, false), 0);
	assert_false(replica_plan_changes(&partitions[1]));
	assert_false(replica_plan_changes(&partitions[3]));
	assert_plan("t:4,2 t:2,3 t:3,4 t:4,2");
}

static void
a_broker_that_is_gone_can_be_drained(void **state)
{
	static const int32_t drained[] = {9};

	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:9,2 t:2,3");
	partitions[0].isr_count = 0;
	request.drained = drained;
	request.drained_count = 1;
	assert_int_equal(make(), 0);
	assert_plan("t:1,2 t:2,3");
}

static void
draining_keeps_racks_apart(void **state)
{
	static const int32_t drained[] = {1};

	(void)state;
	have_brokers(4, "aabb");
	have_partitions("t:1,3 t:1,4");
	request.drained = drained;
	request.drained_count = 1;
	assert_int_equal(make(),
			 0); /* 2 stands in the rack of 1; 4 and 3 would be in the other's */
	for (size_t i = 0; i < count; i++)
		assert_int_equal(racks_of(&partitions[i]), 2);
}

static void
racks_do_not_count_while_a_broker_has_none(void **state)
{
	static const int32_t drained[] = {1};

	(void)state;
	have_brokers(4, "aab-");
	have_partitions("t:1,3 u:2,3");
	request.drained = drained;
	request.drained_count = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(held(4, false), 1); /* the emptiest */
}

static void
too_few_brokers_are_refused_with_the_cure(void **state)
{
	static const int32_t drained[] = {3}, allowed[] = {1, 2};

	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:1,2,3");
	request.drained = drained;
	request.drained_count = 1;
	assert_refused(
	    "t-0 is to have 3 replicas, and 2 brokers may be given some, the drained ones "
	    "not counted: add brokers, or plan a lower replication factor for 't'");
	request.drained_count = 0;
	request.replication_factor = 4;
	assert_refused("t-0 is to have 4 replicas, and 3 brokers");
	request.allowed = allowed;
	request.allowed_count = 2;
	assert_refused("add brokers to --brokers");
}

static void
brokers_that_are_not_there_are_refused_by_name(void **state)
{
	static const int32_t seven[] = {7}, one[] = {1}, two[] = {2};

	(void)state;
	have_brokers(2, NULL);
	have_partitions("t:1,9");
	request.drained = seven;
	request.drained_count = 1;
	assert_refused("there is no broker 7; there are: 1, 2");
	request.drained_count = 0;
	request.added = seven;
	request.added_count = 1;
	assert_refused("there is no broker 7");
	request.added = one;
	request.drained = one;
	request.drained_count = 1;
	assert_refused("broker 1 cannot be drained and added");
	request.drained_count = 0;
	request.allowed = two;
	request.allowed_count = 1;
	assert_refused("broker 1 is to be added, and --brokers does not allow it");
}

/* ---- adding ---- */

static void
an_added_broker_gets_its_share_of_each_topic_and_no_more(void **state)
{
	static const int32_t added[] = {4};

	(void)state;
	have_brokers(4, NULL);
	have_partitions("t:1,2 t:2,3 t:3,1 t:1,2 t:2,3 t:3,1 u:1,2 u:2,3 u:3,1 u:1,2 u:2,3 u:3,1");
	request.added = added;
	request.added_count = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(held(4, false), 6); /* 24 replicas, 4 brokers */
	assert_int_equal(copies(), 6);
	for (int32_t id = 1; id <= 4; id++) {
		assert_int_equal(held(id, false), 6);
		assert_int_equal(held(id, true), 3);
	}
	for (size_t i = 0; i < count; i++)
		partitions[i].replica_count *= -1;
	count = 6;
	assert_int_equal(held(4, false), 3); /* of t as of u */
}

static void
what_is_even_already_is_left_alone(void **state)
{
	static const int32_t added[] = {3};

	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:1,2 t:2,3 t:3,1");
	request.added = added;
	request.added_count = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 0);
	assert_plan("t:1,2 t:2,3 t:3,1");
}

static void
an_added_broker_takes_nothing_that_would_bring_a_rack_twice(void **state)
{
	static const int32_t added[] = {4};

	(void)state;
	have_brokers(4, "abca");
	have_partitions("t:1,2 t:2,3 t:3,1 t:1,2 t:2,3 t:3,1");
	request.added = added;
	request.added_count = 1;
	assert_int_equal(make(), 0);
	assert_true(held(4, false) >= 2);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(racks_of(&partitions[i]), 2);
}

static void
a_drained_broker_can_be_replaced_by_an_added_one(void **state)
{
	static const int32_t drained[] = {1}, added[] = {4};

	(void)state;
	have_brokers(4, NULL);
	have_partitions("t:1,2,3 t:2,3,1 t:3,1,2");
	request.drained = drained;
	request.drained_count = 1;
	request.added = added;
	request.added_count = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 3);
	assert_int_equal(held(4, false), 3);
	assert_int_equal(held(4, true), 1);
}

/* ---- the replication factor ---- */

static void
a_higher_factor_adds_behind_what_is_there(void **state)
{
	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:1 t:2 t:3 u:1");
	partitions[3].fixed = true;
	request.replication_factor = 3;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 6);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(partitions[i].target[0], partitions[i].replicas[0]);
	assert_int_equal(partitions[3].target_count, 1);
}

static void
a_higher_factor_goes_to_other_racks(void **state)
{
	(void)state;
	have_brokers(4, "aabb");
	have_partitions("t:1 t:2 t:3 t:4");
	request.replication_factor = 2;
	assert_int_equal(make(), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(racks_of(&partitions[i]), 2);
	for (int32_t id = 1; id <= 4; id++)
		assert_int_equal(held(id, false), 2);
}

static void
a_lower_factor_keeps_the_leader_and_the_racks(void **state)
{
	(void)state;
	have_brokers(3, "aab");
	have_partitions("t:1,2,3 t:3,2,1 t:2,1,3");
	request.replication_factor = 2;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(partitions[i].target_count, 2);
		assert_int_equal(racks_of(&partitions[i]), 2);
	}
	assert_int_equal(partitions[0].target[0], 1);
	assert_int_equal(partitions[2].target[0], 2);
}

static void
a_lower_factor_drops_first_what_is_not_in_sync(void **state)
{
	static const int32_t isr[] = {3};

	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:1,2,3");
	partitions[0].isr = isr;
	partitions[0].isr_count = 1;
	request.replication_factor = 1;
	assert_int_equal(make(), 0);
	assert_plan("t:3");
}

static void
a_lower_factor_and_a_drain_need_no_copy(void **state)
{
	static const int32_t drained[] = {2};

	(void)state;
	have_brokers(3, NULL);
	have_partitions("t:2,1,3");
	request.drained = drained;
	request.drained_count = 1;
	request.replication_factor = 2;
	assert_int_equal(make(), 0);
	assert_int_equal(copies(), 0);
	assert_plan("t:1,3");
}

static void
only_allowed_brokers_are_given_replicas(void **state)
{
	static const int32_t allowed[] = {2, 3};

	(void)state;
	have_brokers(5, NULL);
	have_partitions("t:1 t:1 t:2");
	request.allowed = allowed;
	request.allowed_count = 2;
	request.replication_factor = 2;
	assert_int_equal(make(), 0);
	assert_int_equal(held(4, false) + held(5, false), 0);
	assert_int_equal(copies(), 3);
}

/* ---- any cluster ---- */

static uint64_t seed;

static int32_t
random_below(int32_t bound)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int32_t)((seed >> 33) % (uint64_t)bound);
}

static void
have_random_cluster(void)
{
	int32_t n = 3 + random_below(BROKERS - 3), topics = 1 + random_below(12);
	char racks[BROKERS];

	for (int32_t i = 0; i < n; i++)
		racks[i] = (char)('a' + random_below(3));
	have_brokers((size_t)n, racks);
	count = 0;
	for (int32_t t = 0; t < topics; t++) {
		int32_t replicas = 1 + random_below(3), first = random_below(n), size;
		char name[8];

		snprintf(name, sizeof(name), "t%02d", t);
		size = 1 + random_below(40);
		for (int32_t p = 0; p < size; p++) {
			int32_t ids[3], step = 1 + random_below(n - 1);

			ids[0] = (first + p) % n + 1;
			ids[1] = (first + p + step) % n + 1;
			ids[2] = ids[1] % n + 1 == ids[0] ? ids[0] % n + 1 : ids[1] % n + 1;
			if (ids[2] == ids[1])
				ids[2] = ids[1] % n + 1;
			add_partition(name, strlen(name), ids,
				      ids[2] == ids[0] && replicas == 3 ? 2 : replicas);
		}
	}
}

static void
assert_well_formed(void)
{
	for (size_t i = 0; i < count; i++) {
		for (int32_t k = 0; k < partitions[i].target_count; k++) {
			for (int32_t j = 0; j < k; j++)
				assert_int_not_equal(partitions[i].target[j],
						     partitions[i].target[k]);
		}
	}
}

static bool
shares_rack(const struct plan_partition *p, int32_t id)
{
	for (int32_t k = 0; k < p->target_count; k++) {
		if (p->target[k] != id && strcmp(rack_of(p->target[k]), rack_of(id)) == 0)
			return true;
	}
	return false;
}

static bool
uses_rack(const struct plan_partition *p, const char *rack)
{
	for (int32_t k = 0; k < p->target_count; k++) {
		if (strcmp(rack_of(p->target[k]), rack) == 0)
			return true;
	}
	return false;
}

/* A replica that was copied shares its rack only where no other rack has a broker to spare. */
static void
assert_racks_are_used(const struct plan_partition *p, int32_t drained)
{
	for (int32_t k = 0; k < p->target_count; k++) {
		bool copied = true;

		for (int32_t j = 0; j < p->replica_count; j++)
			copied &= p->replicas[j] != p->target[k];
		for (size_t b = 0; copied && b < request.broker_count; b++)
			assert_true(!shares_rack(p, p->target[k]) || brokers[b].id == drained ||
				    uses_rack(p, brokers[b].rack));
	}
}

static void
any_drain_moves_just_the_drained_replicas_to_unused_racks_where_there_are(void **state)
{
	(void)state;
	for (uint64_t s = 1; s <= 300; s++) {
		int32_t drained;
		int before = 0;

		seed = s;
		arena_reset(&arena);
		have_random_cluster();
		drained = 1 + random_below((int32_t)request.broker_count);
		request.drained = &drained;
		request.drained_count = 1;
		for (size_t i = 0; i < count; i++) {
			for (int32_t k = 0; k < partitions[i].replica_count; k++)
				before += partitions[i].replicas[k] == drained;
		}
		if (make() != 0) { /* three replicas on three brokers */
			assert_int_equal(request.broker_count, 3);
			buf_fini(&why);
			continue;
		}
		assert_well_formed();
		assert_int_equal(held(drained, false), 0);
		if (copies() != before)
			fail_msg("seed %llu: %d copies, not %d", (unsigned long long)s, copies(),
				 before);
		for (size_t i = 0; i < count; i++)
			assert_racks_are_used(&partitions[i], drained);
	}
}

static void
any_added_broker_ends_with_its_share(void **state)
{
	(void)state;
	for (uint64_t s = 1; s <= 300; s++) {
		int32_t added, n;
		int total = 0;

		seed = s;
		arena_reset(&arena);
		have_random_cluster();
		n = (int32_t)request.broker_count;
		for (int32_t i = 0; i < n; i++)
			brokers[i].rack = NULL;
		brokers[n] = (struct plan_broker){n + 1, NULL};
		request.broker_count++;
		added = n + 1;
		request.added = &added;
		request.added_count = 1;
		assert_int_equal(make(), 0);
		assert_well_formed();
		for (size_t i = 0; i < count; i++)
			total += partitions[i].target_count;
		assert_int_equal(copies(), held(added, false));
		assert_true(held(added, false) <= (total + n) / (n + 1));
		for (int32_t id = 1; id <= n && held(added, false) < total / (n + 1); id++)
			assert_true(held(id, false) <= held(added, false) + 1 ||
				    held(added, false) == (int)count);
	}
}

static void
the_same_cluster_gets_the_same_plan(void **state)
{
	static const int32_t drained[] = {2};
	int32_t *first[PARTITIONS];

	(void)state;
	seed = 7;
	have_random_cluster();
	request.drained = drained;
	request.drained_count = 1;
	assert_int_equal(make(), 0);
	for (size_t i = 0; i < count; i++)
		first[i] = (int32_t *)(uintptr_t)partitions[i].target;
	assert_int_equal(make(), 0);
	for (size_t i = 0; i < count; i++)
		assert_memory_equal(first[i], partitions[i].target,
				    (size_t)partitions[i].target_count * sizeof(int32_t));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(draining_moves_only_what_the_broker_holds),
	    T(a_broker_that_is_gone_can_be_drained),
	    T(draining_keeps_racks_apart),
	    T(racks_do_not_count_while_a_broker_has_none),
	    T(too_few_brokers_are_refused_with_the_cure),
	    T(brokers_that_are_not_there_are_refused_by_name),
	    T(an_added_broker_gets_its_share_of_each_topic_and_no_more),
	    T(what_is_even_already_is_left_alone),
	    T(an_added_broker_takes_nothing_that_would_bring_a_rack_twice),
	    T(a_drained_broker_can_be_replaced_by_an_added_one),
	    T(a_higher_factor_adds_behind_what_is_there),
	    T(a_higher_factor_goes_to_other_racks),
	    T(a_lower_factor_keeps_the_leader_and_the_racks),
	    T(a_lower_factor_drops_first_what_is_not_in_sync),
	    T(a_lower_factor_and_a_drain_need_no_copy),
	    T(only_allowed_brokers_are_given_replicas),
	    T(any_drain_moves_just_the_drained_replicas_to_unused_racks_where_there_are),
	    T(any_added_broker_ends_with_its_share),
	    T(the_same_cluster_gets_the_same_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
