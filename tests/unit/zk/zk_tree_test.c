/* The in-process tree keeps ZooKeeper's rules; the znodes are Kafka's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "zk/zk_tree.h"
#include "zk/znode_broker.h"
#include "zk/znode_cluster.h"
#include "zk/znode_config.h"
#include "zk/znode_controller.h"
#include "zk/znode_partition_state.h"
#include "zk/znode_producer_ids.h"
#include "zk/znode_topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct world {
	struct zk_tree *tree;
	struct mailbox *mb;
	struct zk *zk;
	struct buf seen; /* what arrived, as text */
};

static struct slice
text(const char *t)
{
	return (struct slice){(const uint8_t *)t, strlen(t)};
}

static void
on_watch(void *arg, enum zk_watch_type type, const char *path)
{
	static const char *const names[] = {"created", "deleted", "changed", "children"};

	buf_printf(&((struct world *)arg)->seen, "%s %s;", names[type], path);
}

static void
on_session(void *arg, enum zk_session_state state)
{
	static const char *const names[] = {"connected", "disconnected", "expired", "new"};

	buf_printf(&((struct world *)arg)->seen, "%s;", names[state]);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct zk_events events = {on_watch, on_session, w};

	assert_int_equal(zk_tree_open(env_system(), -1, NULL, &w->tree), 0);
	assert_int_equal(mailbox_open(&w->mb), 0);
	assert_int_equal(zk_tree_session_open(w->tree, w->mb, &events, &w->zk), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	zk_close(w->zk);
	mailbox_run(w->mb);
	mailbox_close(w->mb);
	zk_tree_close(w->tree);
	buf_fini(&w->seen);
	free(w);
	return 0;
}

static void
assert_seen(struct world *w, const char *expected)
{
	mailbox_run(w->mb);
	assert_string_equal(buf_text(&w->seen), expected);
	w->seen.len = 0;
}

static void
nodes_are_created_read_changed_and_deleted_by_version(void **state)
{
	struct world *w = *state;
	struct buf value = {0};
	struct zk_stat stat;

	assert_int_equal(zk_create(w->zk, "/a/b", text("x"), ZK_PERSISTENT, NULL), -ENOENT);
	assert_int_equal(zk_create_recursive(w->zk, "/a/b", text("x")), 0);
	assert_int_equal(zk_create(w->zk, "/a/b", text("y"), ZK_PERSISTENT, NULL), -EEXIST);
	assert_int_equal(zk_get(w->zk, "/a/b", false, &value, &stat), 0);
	assert_string_equal(buf_text(&value), "x");
	assert_int_equal(stat.version, 0);
	buf_fini(&value);
	assert_int_equal(zk_set(w->zk, "/a/b", text("z"), 1, NULL), -ESTALE);
	assert_int_equal(zk_set(w->zk, "/a/b", text("z"), 0, &stat), 0);
	assert_int_equal(stat.version, 1);
	assert_int_equal(zk_delete(w->zk, "/a", ZK_ANY_VERSION), -ENOTEMPTY);
	assert_int_equal(zk_delete(w->zk, "/a/b", 0), -ESTALE);
	assert_int_equal(zk_delete(w->zk, "/a/b", 1), 0);
	assert_int_equal(zk_get(w->zk, "/a/b", false, NULL, NULL), -ENOENT);
	assert_int_equal(zk_get(w->zk, "/a", false, &value, NULL), 0);
	assert_null(value.data); /* null data, which is not empty data */
}

static void
a_multi_succeeds_or_fails_as_one(void **state)
{
	struct world *w = *state;
	struct zk_op ops[3] = {
	    {.kind = ZK_CREATE, .path = "/x", .data = text("1")},
	    {.kind = ZK_SET, .path = "/x", .data = text("2"), .version = 0},
	    {.kind = ZK_CHECK, .path = "/absent", .version = 0},
	};
	struct zk_request r = {.ops = ops, .op_count = 3};

	assert_int_equal(zk_run(w->zk, &r, 1), 0);
	assert_int_equal(r.st, -ENOENT);
	assert_int_equal(ops[0].st, 0);
	assert_int_equal(ops[2].st, -ENOENT);
	assert_int_equal(zk_exists(w->zk, "/x", false, NULL), -ENOENT);
	zk_op_fini(&ops[0]);
	r.op_count = 2;
	assert_int_equal(zk_run(w->zk, &r, 1), 0);
	assert_int_equal(r.st, 0);
	assert_int_equal(ops[1].stat.version, 1);
	zk_op_fini(&ops[0]);
}

static void
what_follows_a_failed_operation_was_not_tried(void **state)
{
	struct world *w = *state;
	struct zk_op ops[2] = {
	    {.kind = ZK_CHECK, .path = "/absent", .version = 0},
	    {.kind = ZK_CREATE, .path = "/x"},
	};
	struct zk_request r = {.ops = ops, .op_count = 2};

	assert_int_equal(zk_run(w->zk, &r, 1), 0);
	assert_int_equal(ops[1].st, -ECANCELED);
}

static void
sequential_nodes_are_numbered_by_their_parent(void **state)
{
	struct world *w = *state;
	char *path;

	assert_int_equal(zk_ensure_path(w->zk, "/q"), 0);
	assert_int_equal(zk_create(w->zk, "/q/n_", text(""), ZK_PERSISTENT_SEQUENTIAL, &path), 0);
	assert_string_equal(path, "/q/n_0000000000");
	free(path);
	assert_int_equal(zk_create(w->zk, "/q/n_", text(""), ZK_PERSISTENT_SEQUENTIAL, &path), 0);
	assert_string_equal(path, "/q/n_0000000001");
	free(path);
}

static void
a_watch_fires_once(void **state)
{
	struct world *w = *state;
	struct zk_names names;

	assert_int_equal(zk_exists(w->zk, "/n", true, NULL), -ENOENT);
	assert_int_equal(zk_create(w->zk, "/n", text(""), ZK_PERSISTENT, NULL), 0);
	assert_int_equal(zk_set(w->zk, "/n", text("1"), -1, NULL), 0);
	assert_seen(w, "created /n;");
	assert_int_equal(zk_get(w->zk, "/n", true, NULL, NULL), 0);
	assert_int_equal(zk_children(w->zk, "/n", true, &names), 0);
	zk_names_fini(&names);
	assert_int_equal(zk_create(w->zk, "/n/c", text(""), ZK_PERSISTENT, NULL), 0);
	assert_int_equal(zk_set(w->zk, "/n", text("2"), -1, NULL), 0);
	assert_int_equal(zk_set(w->zk, "/n", text("3"), -1, NULL), 0);
	assert_seen(w, "children /n;changed /n;");
}

static void
ephemeral_nodes_go_with_their_session(void **state)
{
	struct world *w = *state;
	struct zk_events events = {on_watch, on_session, w};
	int64_t first = zk_session_id(w->zk);
	struct zk *other;

	assert_int_equal(zk_tree_session_open(w->tree, w->mb, &events, &other), 0);
	assert_int_equal(zk_create(w->zk, "/e", text(""), ZK_EPHEMERAL, NULL), 0);
	assert_int_equal(zk_exists(other, "/e", true, NULL), 0);
	zk_tree_session_expire(w->zk);
	assert_int_equal(zk_exists(w->zk, "/", false, NULL), -ESHUTDOWN);
	assert_int_equal(zk_exists(other, "/e", false, NULL), -ENOENT);
	assert_seen(w, "deleted /e;expired;new;");
	assert_true(zk_session_id(w->zk) != first);
	assert_int_equal(zk_exists(w->zk, "/", false, NULL), 0);
	zk_close(other);
}

static void
the_tree_survives_a_restart_and_a_torn_end(void **state)
{
	struct zk_events events = {on_watch, on_session, *state};
	struct world *w = *state;
	char dir[] = "/tmp/klamm-tree-XXXXXX", path[64];
	struct zk_tree *tree;
	struct buf value = {0};
	struct zk_stat stat;
	struct zk *zk;
	int dir_fd, fd;

	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(zk_tree_open(env_system(), dir_fd, "tree", &tree), 0);
		assert_int_equal(zk_tree_session_open(tree, w->mb, &events, &zk), 0);
		if (round == 0) {
			assert_int_equal(zk_create_recursive(zk, "/a/b", text("kept")), 0);
			assert_int_equal(zk_create(zk, "/gone", text(""), ZK_PERSISTENT, NULL), 0);
			assert_int_equal(zk_delete(zk, "/gone", -1), 0);
			assert_int_equal(zk_create(zk, "/e", text(""), ZK_EPHEMERAL, NULL), 0);
		}
		assert_int_equal(zk_get(zk, "/a/b", false, &value, &stat), 0);
		assert_string_equal(buf_text(&value), "kept");
		buf_fini(&value);
		assert_int_equal(zk_exists(zk, "/gone", false, NULL), -ENOENT);
		if (round > 0)
			assert_int_equal(zk_exists(zk, "/e", false, NULL), -ENOENT);
		zk_close(zk);
		zk_tree_close(tree);
		fd = openat(dir_fd, "tree", O_WRONLY | O_APPEND); /* a crash in the last write */
		assert_int_equal(write(fd, "\0\0\0\x50torn", 8), 8);
		close(fd);
	}
	snprintf(path, sizeof(path), "%s/tree", dir);
	unlink(path);
	close(dir_fd);
	rmdir(dir);
}

/* Kafka's znodes */

static void
the_first_elected_controller_has_epoch_1_and_the_next_2(void **state)
{
	struct world *w = *state;
	struct zk_events events = {on_watch, on_session, w};
	int32_t epoch, version, id;
	struct zk *other;

	assert_int_equal(zk_tree_session_open(w->tree, w->mb, &events, &other), 0);
	assert_int_equal(znode_controller_get(w->zk, false, &id), 0);
	assert_int_equal(id, -1);
	assert_int_equal(znode_controller_elect(w->zk, 7, 1000, &epoch, &version), 0);
	assert_int_equal(epoch, 1);
	assert_int_equal(version, 1);
	assert_int_equal(znode_controller_elect(other, 8, 1000, &epoch, &version), -EEXIST);
	assert_int_equal(znode_controller_get(other, false, &id), 0);
	assert_int_equal(id, 7);
	assert_int_equal(znode_controller_resign(w->zk, 1), 0);
	assert_int_equal(znode_controller_elect(other, 8, 1000, &epoch, &version), 0);
	assert_int_equal(epoch, 2);
	assert_int_equal(znode_controller_resign(w->zk, 1), -ESTALE); /* fenced */
	zk_close(other);
}

static void
a_registration_reads_back_and_its_epoch_is_the_czxid(void **state)
{
	struct world *w = *state;
	struct broker_endpoint endpoints[] = {
	    {(char[]){"INTERNAL"}, (char[]){"h1"}, 9092, (char[]){"PLAINTEXT"}},
	    {(char[]){"EXTERNAL"}, (char[]){"::1"}, 9094, (char[]){"SSL"}},
	};
	struct broker_registration reg = {.broker_id = 3,
					  .endpoints = endpoints,
					  .endpoint_count = 2,
					  .rack = (char[]){"az1"}},
				   *list;
	struct zk_stat stat;
	size_t count;

	assert_int_equal(znode_ensure_structure(w->zk), 0);
	assert_int_equal(znode_broker_register(w->zk, &reg, 0, 1000), 0);
	assert_int_equal(zk_exists(w->zk, "/brokers/ids/3", false, &stat), 0);
	assert_true(reg.broker_epoch == stat.czxid);
	assert_int_equal(znode_broker_list(w->zk, false, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].endpoint_count, 2);
	assert_string_equal(list[0].endpoints[1].host, "::1");
	assert_string_equal(list[0].endpoints[1].protocol, "SSL");
	assert_int_equal(list[0].endpoints[1].port, 9094);
	assert_string_equal(list[0].rack, "az1");
	broker_registration_fini(&list[0]);
	free(list);
}

static void
another_sessions_registration_is_not_taken(void **state)
{
	struct world *w = *state;
	struct zk_events events = {on_watch, on_session, w};
	struct broker_endpoint endpoint = {(char[]){"PLAINTEXT"}, (char[]){"h"}, 1,
					   (char[]){"PLAINTEXT"}};
	struct broker_registration reg = {
	    .broker_id = 3, .endpoints = &endpoint, .endpoint_count = 1};
	int64_t first = zk_session_id(w->zk);
	struct zk *other;

	assert_int_equal(znode_ensure_structure(w->zk), 0);
	assert_int_equal(zk_tree_session_open(w->tree, w->mb, &events, &other), 0);
	assert_int_equal(znode_broker_register(w->zk, &reg, 0, 1), 0);
	assert_int_equal(znode_broker_register(w->zk, &reg, 0, 1), 0); /* our own, again */
	assert_int_equal(znode_broker_register(other, &reg, 0, 1), -EEXIST);
	assert_int_equal(znode_broker_register(other, &reg, first, 1),
			 0); /* our former session's */
	zk_close(other);
}

static void
broken_json_is_an_error_and_strict_types_hold(void **state)
{
	struct topic_assignment ta;
	struct partition_state ps;
	struct broker_registration reg;
	static const char *const topics[] = {
	    "",
	    "[]",
	    "{}",
	    "{\"version\":3,\"partitions\":[1]}",
	    "{\"version\":3,\"partitions\":{\"x\":[1]}}",
	    "{\"version\":3,\"partitions\":{\"0\":[\"1\"]}}",
	    "{\"version\":3,\"partitions\":{\"0\":[99999999999]}}",
	    "{\"version\":3,\"topic_id\":\"short\",\"partitions\":{}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		assert_int_equal(znode_topic_decode(text(topics[i]), &ta), -EBADMSG);
	assert_int_equal(znode_partition_state_decode(
			     text("{\"leader\":\"1\",\"leader_epoch\":1,\"controller_epoch\":1,"
				  "\"isr\":[1]}"),
			     0, &ps),
			 -EBADMSG);
	assert_int_equal(znode_broker_decode(1,
					     text("{\"version\":5,\"jmx_port\":-1,"
						  "\"endpoints\":[\"nonsense\"]}"),
					     1, &reg),
			 -EBADMSG);
}

static void
a_topics_znode_reads_back_sorted_with_its_moves(void **state)
{
	static const char json[] =
	    "{\"version\":3,\"topic_id\":\"vK2a9oC5Q1eUg1i0yQpYpQ\",\"partitions\":{\"10\":[3],"
	    "\"2\":[1,2,3]},\"adding_replicas\":{\"2\":[3]},\"removing_replicas\":{},\"more\":1}";
	struct topic_assignment ta, copy;

	(void)state;
	assert_int_equal(znode_topic_decode(text(json), &ta), 0);
	assert_int_equal(ta.partition_count, 2);
	assert_int_equal(ta.partitions[0].partition, 2);
	assert_int_equal(ta.partitions[1].partition, 10);
	assert_int_equal(topic_assignment_find(&ta, 2)->adding_count, 1);
	assert_null(topic_assignment_find(&ta, 3));
	assert_int_equal(topic_assignment_copy(&ta, &copy), 0);
	assert_int_equal(copy.partitions[0].replicas[2], 3);
	topic_assignment_fini(&ta);
	topic_assignment_fini(&copy);
}

static void
count_change(void *arg, const char *entity)
{
	buf_printf(arg, "%s;", entity);
}

static void
each_change_notification_is_seen_once(void **state)
{
	struct world *w = *state;
	struct config_changes changes = {0};
	struct properties props = {0}, back = {0};
	struct buf seen = {0};

	assert_int_equal(znode_ensure_structure(w->zk), 0);
	assert_int_equal(properties_set(&props, "retention.ms", "5"), 0);
	assert_int_equal(znode_config_set(w->zk, "topics/a", &props), 0);
	assert_int_equal(znode_config_changes(w->zk, env_system(), &changes, count_change, &seen),
			 0);
	assert_int_equal(znode_config_set(w->zk, "brokers/<default>", &props), 0);
	assert_int_equal(znode_config_changes(w->zk, env_system(), &changes, count_change, &seen),
			 0);
	assert_string_equal(buf_text(&seen), "topics/a;brokers/<default>;");
	assert_int_equal(znode_config_get(w->zk, "topics/a", &back), 0);
	assert_string_equal(properties_get(&back, "retention.ms"), "5");
	properties_fini(&props);
	properties_fini(&back);
	buf_fini(&seen);
}

static void
blocks_of_producer_ids_follow_one_another(void **state)
{
	struct world *w = *state;
	int64_t first;

	assert_int_equal(znode_ensure_structure(w->zk), 0);
	for (int64_t i = 0; i < 3; i++) {
		assert_int_equal(znode_producer_ids_claim(w->zk, 1, &first), 0);
		assert_int_equal(first, i * PRODUCER_ID_BLOCK_SIZE);
	}
}

static void
the_cluster_id_is_made_once(void **state)
{
	struct world *w = *state;
	char first[CLUSTER_ID_SIZE], again[CLUSTER_ID_SIZE];
	int32_t id;

	assert_int_equal(znode_cluster_id(w->zk, env_system(), first), 0);
	assert_int_equal(strlen(first), 22);
	assert_int_equal(znode_cluster_id(w->zk, env_system(), again), 0);
	assert_string_equal(first, again);
	assert_int_equal(znode_next_broker_id(w->zk, 1000, &id), 0);
	assert_int_equal(id, 1001);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(nodes_are_created_read_changed_and_deleted_by_version),
	    TEST(a_multi_succeeds_or_fails_as_one),
	    TEST(what_follows_a_failed_operation_was_not_tried),
	    TEST(sequential_nodes_are_numbered_by_their_parent),
	    TEST(a_watch_fires_once),
	    TEST(ephemeral_nodes_go_with_their_session),
	    TEST(the_tree_survives_a_restart_and_a_torn_end),
	    TEST(the_first_elected_controller_has_epoch_1_and_the_next_2),
	    TEST(a_registration_reads_back_and_its_epoch_is_the_czxid),
	    TEST(another_sessions_registration_is_not_taken),
	    TEST(broken_json_is_an_error_and_strict_types_hold),
	    TEST(a_topics_znode_reads_back_sorted_with_its_moves),
	    TEST(each_change_notification_is_seen_once),
	    TEST(blocks_of_producer_ids_follow_one_another),
	    TEST(the_cluster_id_is_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
