/*
 * Fetchers that become more and fewer: nothing is followed twice, or by nobody, and a leader, which
 * is the test's own socket, is told who is fetched where.
 */
#include "tests/unit/storage/storage_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/rcu.h"
#include "replica/fetcher_internal.h"
#include "replica/partition_state.h"
#include "wire/generated/fetch.h"

#define PARTITIONS 12
#define LEADER 2
#define LEADER_EPOCH 3
#define WAIT_S 20
#define SESSION 77

static const struct uuid topic_id = {{1, 2, 3, 4, 5, 6, 7, 8}};

struct world {
	struct storage *storage;
	struct conf_store conf;
	struct metadata *metadata;
	struct throttle throttle;
	struct partition_context context;
	struct partition *partitions[PARTITIONS];
	struct fetchers *fs;
	int listening;
	struct rlimit files; /* as they were */
};

static int64_t
broker_epoch(void *arg)
{
	(void)arg;
	return 1;
}

static void
open_partition(struct world *w, int32_t number)
{
	int32_t replicas[] = {1, LEADER};
	struct partition_decision decision = {.leader = LEADER,
					      .leader_epoch = LEADER_EPOCH,
					      .isr = replicas,
					      .isr_count = 2,
					      .replicas = replicas,
					      .replica_count = 2,
					      .topic_id = topic_id};
	struct log *log;

	w->partitions[number] = partition_new(&w->context, "orders", number);
	assert_int_equal(
	    log_manager_get_or_create(w->storage->lm, "orders", number, &topic_id, true, &log), 0);
	assert_int_equal(partition_decide(w->partitions[number], &decision, log, 0), 0);
	log_put(log);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct broker_conf *conf;
	struct buf errors = {0};

	if (getenv("KLAMM_TEST_DIAG") == NULL)
		diag_set_level(DIAG_REPLICA, DIAG_OFF);
	assert_int_equal(storage_setup((void **)&w->storage), 0);
	storage_start(w->storage);
	assert_int_equal(broker_conf_build(NULL, NULL, NULL, &errors, &conf), 0);
	conf_store_init(&w->conf, conf);
	assert_int_equal(metadata_open(&w->metadata), 0);
	assert_int_equal(throttle_init(&w->throttle, "follower", 11, 1000), 0);
	w->context = (struct partition_context){.broker_id = 1,
						.env = env_system(),
						.conf = &w->conf,
						.metadata = w->metadata,
						.leader_throttle = &w->throttle,
						.follower_throttle = &w->throttle};
	for (int32_t i = 0; i < PARTITIONS; i++)
		open_partition(w, i);
	w->listening = -1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &w->files), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	setrlimit(RLIMIT_NOFILE, &w->files);
	fetchers_close(w->fs);
	for (int i = 0; i < PARTITIONS; i++) {
		partition_stop(w->partitions[i], true);
		partition_put(w->partitions[i]);
	}
	urcu_bp_barrier();
	if (w->listening >= 0)
		close(w->listening);
	throttle_fini(&w->throttle);
	metadata_close(w->metadata);
	conf_store_fini(&w->conf);
	assert_int_equal(storage_teardown((void **)&w->storage), 0);
	free(w);
	return 0;
}

/* One thread, as num.replica.fetchers has it. */
static void
open_fetchers(struct world *w)
{
	struct fetcher_settings settings = {.env = env_system(),
					    .conf = &w->conf,
					    .metadata = w->metadata,
					    .workers = w->storage->workers,
					    .broker_id = 1,
					    .listener = "PLAINTEXT",
					    .throttle = &w->throttle,
					    .broker_epoch = broker_epoch};

	assert_int_equal(fetchers_open(&settings, &w->fs), 0);
}

static void
follow(struct world *w, int32_t number)
{
	fetchers_follow(w->fs, w->partitions[number], LEADER, LEADER_EPOCH);
}

/* ---- who follows what ---- */

struct look {
	struct world *w;
	struct fetcher *ft;
	int holders[PARTITIONS], holder[PARTITIONS];
};

static void
look_at(void *arg)
{
	struct look *look = arg;

	for (int i = 0; i < PARTITIONS; i++)
		if (map_get(&look->ft->followed, &look->w->partitions[i],
			    sizeof(struct partition *)) != NULL) {
			look->holders[i]++;
			look->holder[i] = look->ft->index;
		}
}

/* After all orders: behind what one fetcher still posts to another. */
static struct look
look(struct world *w)
{
	struct look look = {.w = w};

	for (int32_t i = 0; i < w->fs->count; i++) {
		look.ft = w->fs->threads[i];
		reactor_call(look.ft->reactor, look_at, &look);
	}
	return look;
}

static void
however_the_count_changes_what_is_followed_is_followed_once(void **state)
{
	struct world *w = *state;
	bool followed[PARTITIONS] = {0};
	unsigned seed = 1;

	open_fetchers(w); /* the leader has no address: they wait, ready */
	for (int round = 0; round < 400; round++) {
		int number = rand_r(&seed) % PARTITIONS, count = rand_r(&seed) % 7;
		struct look seen;

		followed[number] = rand_r(&seed) % 3 != 0;
		if (followed[number])
			follow(w, number);
		else
			fetchers_forget(w->fs, w->partitions[number]);
		if (rand_r(&seed) % 2 == 0)
			continue; /* orders that are still under way meet the next resize */
		fetchers_resize(w->fs, count - 1);
		assert_int_equal(w->fs->count, count < 2 ? 1 : count - 1);
		seen = look(w);
		for (int i = 0; i < PARTITIONS; i++)
			assert_int_equal(seen.holders[i], followed[i]);
	}
}

/* The file descriptor that would be next; none is free below. */
static int
next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/* Not more than so many can be opened. */
static void
leave_files(const struct world *w, int count)
{
	struct rlimit limit = {(rlim_t)(next_fd() + count), w->files.rlim_max};

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
assert_spread_evenly(struct world *w, int32_t count)
{
	struct look seen = look(w);
	int each[PARTITIONS] = {0};

	assert_int_equal(w->fs->count, count);
	for (int i = 0; i < PARTITIONS; i++) {
		assert_int_equal(seen.holders[i], 1);
		each[seen.holder[i]]++;
	}
	for (int i = 0; i < count; i++)
		assert_int_equal(each[i], PARTITIONS / count);
}

static void
the_partitions_of_a_topic_are_spread_evenly_over_more_fetchers(void **state)
{
	struct world *w = *state;

	open_fetchers(w);
	for (int32_t i = 0; i < PARTITIONS; i++)
		follow(w, i);
	fetchers_resize(w->fs, 4);
	assert_spread_evenly(w, 4);
}

static void
where_not_all_threads_can_be_started_as_many_as_can_be_fetch(void **state)
{
	struct world *w = *state;
	int before, files;

	open_fetchers(w);
	for (int32_t i = 0; i < PARTITIONS; i++)
		follow(w, i);
	fetchers_resize(w->fs, 2);
	assert_spread_evenly(w, 2);
	before = next_fd();
	fetchers_resize(w->fs, 3);
	files = next_fd() - before;
	fetchers_resize(w->fs, 2);
	leave_files(w, 0);
	fetchers_resize(w->fs, 6);
	assert_spread_evenly(w, 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &w->files), 0);
	leave_files(w, files);
	fetchers_resize(w->fs, 6);
	assert_spread_evenly(w, 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &w->files), 0);
	fetchers_resize(w->fs, 6);
	assert_spread_evenly(w, 6);
}

/* ---- the leader ---- */

static void
listen_as_leader(struct world *w)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval wait = {.tv_sec = WAIT_S};
	socklen_t len = sizeof(addr);
	struct metadata_broker *broker = calloc(1, sizeof(*broker));
	struct metadata_update *up = metadata_update_begin(w->metadata);

	w->listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(w->listening, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(w->listening, 8), 0);
	assert_int_equal(getsockname(w->listening, (struct sockaddr *)&addr, &len), 0);
	setsockopt(w->listening, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	*broker = (struct metadata_broker){.id = LEADER, .epoch = -1, .endpoint_count = 1};
	broker->endpoints = calloc(1, sizeof(*broker->endpoints));
	broker->endpoints[0] = (struct metadata_endpoint){.listener = strdup("PLAINTEXT"),
							  .host = strdup("127.0.0.1"),
							  .port = ntohs(addr.sin_port)};
	metadata_update_brokers(up, broker, 1);
	metadata_update_commit(w->metadata, up);
}

static int
accept_follower(struct world *w)
{
	struct timeval wait = {.tv_sec = WAIT_S};
	int fd = accept(w->listening, NULL, NULL);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

/* One Fetch: which partitions it names, from which offset, and which it names no longer. */
struct asked {
	int32_t correlation_id, session_epoch;
	char client_id[64];
	bool named[PARTITIONS], forgotten[PARTITIONS];
	int64_t offset[PARTITIONS];
};

static void
read_all_of(int fd, void *data, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = recv(fd, (char *)data + have, len - have, 0);

		assert_true(n > 0);
		have += (size_t)n;
	}
}

static void
take_request(struct slice body, struct asked *asked)
{
	struct fetch_request req;
	struct arena arena;
	struct wire_in in;

	arena_init(&arena, 1 << 20);
	wire_in_init(&in, body, &arena);
	assert_int_equal(fetch_request_decode(&req, FETCH_VERSION, &in), 0);
	asked->session_epoch = req.session_epoch;
	for (int32_t t = 0; t < req.topics_count; t++)
		for (int32_t i = 0; i < req.topics[t].partitions_count; i++) {
			const struct fetch_partition *fp = &req.topics[t].partitions[i];

			assert_true(fp->partition >= 0 && fp->partition < PARTITIONS);
			assert_false(asked->named[fp->partition]);
			asked->named[fp->partition] = true;
			asked->offset[fp->partition] = fp->fetch_offset;
		}
	for (int32_t t = 0; t < req.forgotten_topics_data_count; t++)
		asked->forgotten[req.forgotten_topics_data[t].partitions[0]] = true;
	arena_fini(&arena);
}

static struct asked
read_fetch(int fd)
{
	struct asked asked = {0};
	uint8_t head[14], *rest;
	uint32_t size, name;

	read_all_of(fd, head, sizeof(head)); /* size, key, version, correlation id, name's length */
	size = get_be32(head) - 10;
	name = get_be16(head + 12);
	rest = malloc(size);
	read_all_of(fd, rest, size);
	assert_int_equal(get_be16(head + 4), 1);
	assert_int_equal(get_be16(head + 6), FETCH_VERSION);
	asked.correlation_id = (int32_t)get_be32(head + 8);
	assert_true(name < sizeof(asked.client_id) && name + 1 < size);
	memcpy(asked.client_id, rest, name);
	take_request((struct slice){rest + name + 1, size - name - 1}, &asked);
	free(rest);
	return asked;
}

/* records: of each partition that is in `with`, its first; empty elsewhere. */
static void
answer_fetch(int fd, const struct asked *asked, const bool *with)
{
	struct fetch_response_partition_data data[PARTITIONS];
	struct fetchable_topic_response topic = {.topic_id = topic_id, .partitions = data};
	struct fetch_response resp;
	struct buf records = {0}, body = {0}, frame = {0};
	struct wire_out out;

	build_batch(
	    &(struct batch_spec){.leader_epoch = LEADER_EPOCH, .timestamp_ms = 1700000000000},
	    &records);
	for (int32_t i = 0; with != NULL && i < PARTITIONS; i++) {
		struct fetch_response_partition_data *d = &data[topic.partitions_count];

		if (!with[i])
			continue;
		topic.partitions_count++;
		fetch_response_partition_data_init(d);
		d->partition_index = i;
		d->high_watermark = 1;
		d->log_start_offset = 0;
		d->records.data = buf_slice(&records);
	}
	fetch_response_init(&resp);
	resp.session_id = SESSION;
	resp.responses = &topic;
	resp.responses_count = topic.partitions_count > 0;
	wire_out_init(&out, &body);
	assert_int_equal(fetch_response_encode(&resp, FETCH_VERSION, &out), 0);
	wire_out_fini(&out);
	buf_append_be32(&frame, (uint32_t)body.len + 5);
	buf_append_be32(&frame, (uint32_t)asked->correlation_id);
	buf_append_u8(&frame, 0);
	buf_append(&frame, body.data, body.len);
	assert_int_equal(send(fd, frame.data, frame.len, MSG_NOSIGNAL), frame.len);
	buf_fini(&records);
	buf_fini(&body);
	buf_fini(&frame);
}

static bool
all_of(const bool *set, int count)
{
	for (int i = 0; i < count; i++)
		if (!set[i])
			return false;
	return true;
}

/* Answers until all of the first `count` have been named; the last Fetch waits for its answer. */
static struct asked
read_until_named(int fd, int count)
{
	bool named[PARTITIONS] = {0};
	struct asked asked;

	for (;;) {
		asked = read_fetch(fd);
		for (int i = 0; i < count; i++)
			named[i] |= asked.named[i];
		if (all_of(named, count))
			return asked;
		answer_fetch(fd, &asked, NULL);
	}
}

static void
expect_closed(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static int64_t
end_of(struct world *w, int32_t number)
{
	struct log *log = log_manager_find(w->storage->lm, "orders", number);
	int64_t end = log_end_offset(log);

	log_put(log);
	return end;
}

static void
what_is_given_up_is_fetched_elsewhere_and_a_late_answer_for_it_does_not_count(void **state)
{
	struct world *w = *state;
	bool all[PARTITIONS];
	struct asked first, second;
	struct look seen;
	int a, b;

	listen_as_leader(w);
	open_fetchers(w);
	for (int32_t i = 0; i < PARTITIONS; i++) {
		follow(w, i);
		all[i] = true;
	}
	a = accept_follower(w);
	first = read_until_named(a, PARTITIONS);
	assert_string_equal(first.client_id, "broker-1-fetcher-0");
	fetchers_resize(w->fs, 2);
	seen = look(w);

	b = accept_follower(w);
	second = read_fetch(b);
	assert_string_equal(second.client_id, "broker-1-fetcher-1");
	assert_int_equal(second.session_epoch, 0);
	answer_fetch(a, &first, all); /* the first fetcher asked for all of them once */
	first = read_fetch(a);
	for (int i = 0; i < PARTITIONS; i++) {
		bool moved = seen.holder[i] == 1;

		assert_int_equal(second.named[i], moved); /* all of them at once */
		assert_int_equal(second.offset[i], 0);
		assert_int_equal(first.forgotten[i], moved);
		assert_int_equal(first.named[i], !moved);
		assert_int_equal(end_of(w, i), moved ? 0 : 1);
	}
	answer_fetch(b, &second, all);
	second = read_fetch(b);
	for (int i = 0; i < PARTITIONS; i++)
		assert_int_equal(end_of(w, i), 1);

	fetchers_resize(w->fs, 1);
	expect_closed(b);
	answer_fetch(a, &first, NULL);
	first = read_fetch(a);
	for (int i = 0; i < PARTITIONS; i++) {
		assert_int_equal(first.named[i], seen.holder[i] == 1);
		assert_int_equal(first.offset[i], seen.holder[i] == 1); /* goes on where it was */
		assert_false(first.forgotten[i]);
	}
	close(a);
}

static void
a_connection_that_serves_nobody_is_closed_when_its_fetch_has_been_answered(void **state)
{
	struct world *w = *state;
	struct asked asked;
	int fd;

	listen_as_leader(w);
	open_fetchers(w);
	follow(w, 0);
	fd = accept_follower(w);
	asked = read_fetch(fd);
	fetchers_forget(w->fs, w->partitions[0]);
	(void)look(w);
	answer_fetch(fd, &asked, asked.named);
	expect_closed(fd);
	assert_int_equal(end_of(w, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(however_the_count_changes_what_is_followed_is_followed_once),
	    TEST(the_partitions_of_a_topic_are_spread_evenly_over_more_fetchers),
	    TEST(where_not_all_threads_can_be_started_as_many_as_can_be_fetch),
	    TEST(what_is_given_up_is_fetched_elsewhere_and_a_late_answer_for_it_does_not_count),
	    TEST(a_connection_that_serves_nobody_is_closed_when_its_fetch_has_been_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
