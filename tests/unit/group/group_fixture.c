#include "tests/unit/group/group_fixture.h"

#include <stdio.h>
#include <stdlib.h>

int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->settings = (struct group_settings){DELAY_MS, 1000};
	w->ms = 1000;
	w->g = group_new("g", &w->settings, now_of(w));
	group_effects_init(&w->fx);
	*state = w;
	return 0;
}

int
teardown(void **state)
{
	struct world *w = *state;

	group_unload(w->g, K_NOT_COORDINATOR, &w->fx);
	group_effects_fini(&w->fx);
	group_free(w->g);
	free(w);
	return 0;
}

struct group_now
now_of(const struct world *w)
{
	return (struct group_now){w->ms, WALL_MS + w->ms};
}

static struct str
text_of(const char *text)
{
	return str_of(text);
}

struct slice
subscription(const char *topic)
{
	static uint8_t bytes[128];
	size_t len = strlen(topic);

	memset(bytes, 0, sizeof(bytes));
	bytes[5] = 1;
	bytes[7] = (uint8_t)len;
	memcpy(bytes + 8, topic, len);
	memset(bytes + 8 + len, 0xff, 4);
	return (struct slice){bytes, 12 + len};
}

static int32_t
timeout_of(int32_t given, int32_t usual)
{
	return given == 0 ? usual : given < 0 ? 0 : given;
}

void
join(struct world *w, int waiter, struct joiner j)
{
	struct group_protocol protocols[8];
	char names[128], *rest = NULL;
	struct group_join join = {
	    .member_id = text_of(j.id == NULL ? "" : j.id),
	    .instance_id = text_of(j.instance),
	    .new_member_id = text_of(j.new_id),
	    .client_id = text_of("client"),
	    .client_host = text_of("/127.0.0.1"),
	    .protocol_type = text_of(j.type == NULL ? "consumer" : j.type),
	    .session_timeout_ms = timeout_of(j.session_ms, SESSION_MS),
	    .rebalance_timeout_ms = timeout_of(j.rebalance_ms, REBALANCE_MS),
	    .require_known_member_id = j.needs_id,
	    .support_skipping_assignment = j.skips,
	    .protocols = protocols,
	    .waiter = (void *)(intptr_t)waiter,
	};

	snprintf(names, sizeof(names), "%s", j.protocols == NULL ? "range" : j.protocols);
	for (char *name = strtok_r(names, ",", &rest); name != NULL;
	     name = strtok_r(NULL, ",", &rest))
		protocols[join.protocol_count++] = (struct group_protocol){
		    text_of(name), j.metadata.data != NULL
				       ? j.metadata
				       : subscription(j.topic == NULL ? "t" : j.topic)};
	group_join(w->g, &join, now_of(w), &w->fx);
}

void
sync(struct world *w, int waiter, const char *id, const char *instance, int32_t generation,
     const char *members)
{
	struct group_assignment assignments[8];
	char names[128], *rest = NULL;
	struct group_sync sync = {
	    .from = {text_of(id), text_of(instance), generation},
	    .assignments = assignments,
	    .waiter = (void *)(intptr_t)waiter,
	};

	snprintf(names, sizeof(names), "%s", members == NULL ? "" : members);
	for (char *name = strtok_r(names, ",", &rest); name != NULL;
	     name = strtok_r(NULL, ",", &rest))
		assignments[sync.assignment_count++] =
		    (struct group_assignment){text_of(name), {(const uint8_t *)"x", 1}};
	group_sync(w->g, &sync, now_of(w), &w->fx);
}

static void
note_stores(struct world *w)
{
	for (const struct group_effect *e = w->fx.first; e != NULL; e = e->next)
		if (e->kind == GROUP_EFFECT_STORE)
			w->store_id = e->store_id;
}

void
stored(struct world *w, int error)
{
	note_stores(w);
	group_stored(w->g, w->store_id, error, now_of(w), &w->fx);
}

void
pass(struct world *w, int64_t ms)
{
	int64_t end_ms = w->ms + ms;

	while (group_deadline_ms(w->g) <= end_ms) {
		w->ms = group_deadline_ms(w->g);
		group_tick(w->g, now_of(w), &w->fx);
		assert_true(group_deadline_ms(w->g) > w->ms);
	}
	w->ms = end_ms;
}

int
heartbeat(struct world *w, const char *id, const char *instance, int32_t generation)
{
	struct group_identity from = {text_of(id), text_of(instance), generation};

	return group_heartbeat(w->g, &from, now_of(w), &w->fx);
}

int
commit(struct world *w, const char *id, const char *instance, int32_t generation)
{
	struct group_identity from = {text_of(id), text_of(instance), generation};

	return group_commit(w->g, &from, now_of(w), &w->fx);
}

int
leave(struct world *w, const char *id, const char *instance)
{
	return group_leave(w->g, text_of(id), text_of(instance), text_of("test"), now_of(w),
			   &w->fx);
}

/* ---- effects as text ---- */

static void add(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
add(struct world *w, const char *fmt, ...)
{
	size_t len = strlen(w->text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->text + len, sizeof(w->text) - len, fmt, args);
	va_end(args);
}

static const char *
shown(struct str text)
{
	return text.data == NULL ? "null" : text.data;
}

static void
show(struct world *w, const struct group_effect *e)
{
	const struct group_joined *j = &e->joined;

	switch (e->kind) {
	case GROUP_EFFECT_JOINED:
		add(w, "J%d %s gen=%d", (int)(intptr_t)e->waiter,
		    j->error == 0 ? "ok" : kerr_name(kerr_of(j->error)), j->generation);
		if (j->error == 0)
			add(w, " %s leader=%s", shown(j->protocol_name), shown(j->leader));
		add(w, " id=%s", shown(j->member_id));
		for (int32_t i = 0; i < j->member_count; i++)
			add(w, "%s%s", i == 0 ? " members=" : ",", j->members[i].id.data);
		if (j->skip_assignment)
			add(w, " skip");
		break;
	case GROUP_EFFECT_SYNCED:
		add(w, "S%d %s", (int)(intptr_t)e->waiter,
		    e->synced.error == 0 ? "ok" : kerr_name(kerr_of(e->synced.error)));
		if (e->synced.error == 0)
			add(w, " %.*s", (int)e->synced.assignment.len,
			    (const char *)e->synced.assignment.data);
		break;
	case GROUP_EFFECT_STORE:
		add(w, "store");
		break;
	}
}

void
forget_effects(struct world *w)
{
	note_stores(w);
	group_effects_fini(&w->fx);
	group_effects_init(&w->fx);
}

void
assert_effects_at(struct world *w, const char *expected, const char *file, int line)
{
	w->text[0] = '\0';
	for (const struct group_effect *e = w->fx.first; e != NULL; e = e->next) {
		show(w, e);
		if (e->next != NULL)
			add(w, "; ");
	}
	forget_effects(w);
	_assert_string_equal(w->text, expected, file, line);
}

void
make_stable(struct world *w, const char *names)
{
	char copy[128], ids[128] = "", leader[32] = "", *rest = NULL;
	int waiter = 90;

	snprintf(copy, sizeof(copy), "%s", names);
	for (char *name = strtok_r(copy, ",", &rest); name != NULL;
	     name = strtok_r(NULL, ",", &rest)) {
		bool is_static = name[0] == 'i';
		char id[32];

		snprintf(id, sizeof(id), "%s%s", name, is_static ? "1" : "");
		join(w, waiter++,
		     (struct joiner){.new_id = id, .instance = is_static ? name : NULL});
		if (leader[0] == '\0')
			strcpy(leader, id);
		strcat(strcat(ids, ids[0] == '\0' ? "" : ","), id);
	}
	pass(w, DELAY_MS * 2);
	assert_state(w, "CompletingRebalance");
	sync(w, waiter++, leader, NULL, 1, ids);
	stored(w, 0);
	assert_state(w, "Stable");
	rest = NULL;
	for (char *id = strtok_r(ids, ",", &rest); id != NULL; id = strtok_r(NULL, ",", &rest))
		if (strcmp(id, leader) != 0)
			sync(w, waiter++, id, NULL, 1, NULL);
	forget_effects(w);
}
