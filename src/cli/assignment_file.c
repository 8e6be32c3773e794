/*
 * assignment_file.c - which brokers hold partitions, in the JSON of kafka-reassign-partitions.sh.
 */
#include "cli/assignment_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

struct reading {
	struct arena *arena;
	struct buf *why;
};

static int
refuse(struct reading *r, const char *what)
{
	buf_printf(r->why, "%s", what);
	return -EINVAL;
}

static int
compare(const void *a, const void *b)
{
	const struct assigned_partition *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);

	return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

void
assignment_sort(struct assignment *assignment)
{
	if (assignment->count > 0)
		qsort(assignment->items, assignment->count, sizeof(*assignment->items), compare);
}

const struct assigned_partition *
assignment_find(const struct assignment *assignment, const char *topic, int32_t partition)
{
	struct assigned_partition key = {.topic = topic, .partition = partition};

	if (assignment->count == 0)
		return NULL;
	return bsearch(&key, assignment->items, assignment->count, sizeof(key), compare);
}

/* ---- reading ---- */

static bool
is_id(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
	       json_integer_value(value) <= INT32_MAX;
}

static int
read_replicas(struct reading *r, const json_t *list, struct assigned_partition *to)
{
	size_t count = json_array_size(list);
	int32_t *replicas = arena_calloc(r->arena, count + 1, sizeof(*replicas));

	if (replicas == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *id = json_array_get(list, i);

		if (!is_id(id)) {
			buf_printf(r->why, "%s-%d: replicas are numbers of brokers", to->topic,
				   to->partition);
			return -EINVAL;
		}
		replicas[i] = (int32_t)json_integer_value(id);
		for (size_t k = 0; k < i; k++) {
			if (replicas[k] != replicas[i])
				continue;
			buf_printf(r->why, "%s-%d: broker %d stands twice in replicas", to->topic,
				   to->partition, replicas[i]);
			return -EINVAL;
		}
	}
	if (count == 0) {
		buf_printf(r->why, "%s-%d: replicas is empty", to->topic, to->partition);
		return -EINVAL;
	}
	to->replicas = replicas;
	to->replica_count = (int32_t)count;
	return 0;
}

/* May be left out. */
static int
check_log_dirs(struct reading *r, const json_t *dirs, const struct assigned_partition *p)
{
	if (dirs == NULL)
		return 0;
	if (!json_is_array(dirs) || json_array_size(dirs) != (size_t)p->replica_count) {
		buf_printf(r->why, "%s-%d: log_dirs is not as long as replicas", p->topic,
			   p->partition);
		return -EINVAL;
	}
	for (size_t i = 0; i < json_array_size(dirs); i++) {
		const char *dir = json_string_value(json_array_get(dirs, i));

		if (dir != NULL && strcmp(dir, "any") == 0)
			continue;
		buf_printf(r->why,
			   "%s-%d: log_dirs has something other than \"any\": this command leaves "
			   "the choice of the directory to the broker",
			   p->topic, p->partition);
		return -EINVAL;
	}
	return 0;
}

static int
read_partition(struct reading *r, const json_t *value, struct assigned_partition *to)
{
	const json_t *topic = json_object_get(value, "topic");
	const json_t *partition = json_object_get(value, "partition");
	const json_t *replicas = json_object_get(value, "replicas");
	int st;

	if (!json_is_string(topic) || json_string_length(topic) == 0 || !is_id(partition) ||
	    !json_is_array(replicas))
		return refuse(r, "each of partitions needs a topic, a partition and replicas");
	to->topic = arena_strdup(r->arena, json_string_value(topic), json_string_length(topic));
	if (to->topic == NULL)
		return -ENOMEM;
	to->partition = (int32_t)json_integer_value(partition);
	st = read_replicas(r, replicas, to);
	return st != 0 ? st : check_log_dirs(r, json_object_get(value, "log_dirs"), to);
}

static int
read_root(struct reading *r, const json_t *root, struct assignment *ret)
{
	const json_t *version = json_object_get(root, "version");
	const json_t *partitions = json_object_get(root, "partitions");
	struct assignment a = {0};
	int st = 0;

	if (version != NULL && json_integer_value(version) != 1)
		return refuse(r, "its version is not 1");
	if (!json_is_array(partitions))
		return refuse(r, "it has no partitions: is it a plan of 'klamm reassign plan' or "
				 "of kafka-reassign-partitions.sh?");
	a.items = arena_calloc(r->arena, json_array_size(partitions) + 1, sizeof(*a.items));
	if (a.items == NULL)
		return -ENOMEM;
	for (size_t i = 0; st == 0 && i < json_array_size(partitions); i++)
		st = read_partition(r, json_array_get(partitions, i), &a.items[a.count++]);
	if (st != 0)
		return st;
	assignment_sort(&a);
	for (size_t i = 1; i < a.count; i++) {
		if (compare(&a.items[i - 1], &a.items[i]) != 0)
			continue;
		buf_printf(r->why, "%s-%d stands in it twice", a.items[i].topic,
			   a.items[i].partition);
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

int
assignment_parse(struct slice text, struct arena *arena, struct assignment *ret, struct buf *why)
{
	struct reading r = {arena, why};
	json_error_t error;
	json_t *root;
	int st;

	root = json_loadb((const char *)text.data, text.len, 0, &error);
	if (root == NULL) {
		buf_printf(why, "line %d: %s", error.line, error.text);
		return -EINVAL;
	}
	st = read_root(&r, root, ret);
	json_decref(root);
	return st;
}

/* ---- writing ---- */

static void
append_json_text(const char *text, struct buf *out)
{
	json_t *value = json_string(text);
	char *dumped = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	if (dumped == NULL)
		out->failed = true;
	else
		buf_append(out, dumped, strlen(dumped));
	free(dumped);
	json_decref(value);
}

void
assignment_format(const struct assignment *assignment, struct buf *out)
{
	buf_printf(out, "{\"version\":1,\"partitions\":[");
	for (size_t i = 0; i < assignment->count; i++) {
		const struct assigned_partition *p = &assignment->items[i];

		buf_printf(out, "%s\n{\"topic\":", i == 0 ? "" : ",");
		append_json_text(p->topic, out);
		buf_printf(out, ",\"partition\":%d,\"replicas\":[", p->partition);
		for (int32_t k = 0; k < p->replica_count; k++)
			buf_printf(out, "%s%d", k == 0 ? "" : ",", p->replicas[k]);
		buf_printf(out, "]}");
	}
	buf_printf(out, "%s]}\n", assignment->count > 0 ? "\n" : "");
}
