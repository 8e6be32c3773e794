/* The configuration: properties, values, levels, topics. */
#include <errno.h>
#include <stdio.h>

#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int
parse(struct properties *props, const char *text)
{
	int line = 0, st;

	st = properties_parse(props, (struct slice){(const uint8_t *)text, strlen(text)}, &line);
	return st == 0 ? 0 : -line;
}

static struct broker_conf *
build(const char *text, struct buf *errors)
{
	struct properties props = {0};
	struct broker_conf *conf = NULL;

	assert_int_equal(parse(&props, text), 0);
	if (broker_conf_build(&props, NULL, NULL, errors, &conf) != 0)
		conf = NULL;
	properties_fini(&props);
	return conf;
}

static void
properties_are_read_as_java_reads_them(void **state)
{
	struct properties p = {0};

	(void)state;
	assert_int_equal(parse(&p, "# comment\n! another\n a = 1 \nb:2\nc 3\nd=x\\\n   y\n"
				   "e=\\u0041\\t\\=\nf\ng=a=b\na=last\r\n  \n"),
			 0);
	assert_string_equal(properties_get(&p, "a"), "last");
	assert_string_equal(properties_get(&p, "b"), "2");
	assert_string_equal(properties_get(&p, "c"), "3");
	assert_string_equal(properties_get(&p, "d"), "xy");
	assert_string_equal(properties_get(&p, "e"), "A\t=");
	assert_string_equal(properties_get(&p, "f"), "");
	assert_string_equal(properties_get(&p, "g"), "a=b");
	assert_null(properties_get(&p, "h"));
	properties_fini(&p);
	assert_int_equal(parse(&p, "a=1\nb=\\u12g4\n"), -2);
	properties_fini(&p);
}

static void
every_default_passes_its_own_check(void **state)
{
	struct buf errors = {0};

	(void)state;
	for (size_t i = 0; i < broker_conf_entry_count; i++)
		if (broker_conf_entries[i].default_text != NULL)
			assert_int_equal(conf_entry_check(&broker_conf_entries[i],
							  broker_conf_entries[i].default_text,
							  &errors),
					 0);
	for (size_t i = 0; i < topic_conf_entry_count; i++)
		assert_int_equal(conf_entry_check(&topic_conf_entries[i],
						  topic_conf_entries[i].default_text, &errors),
				 0);
	assert_int_equal(errors.len, 0);
}

static void
every_mistake_gets_one_line_with_key_value_and_what_is_allowed(void **state)
{
	struct buf errors = {0};

	(void)state;
	assert_null(build("num.network.threads=0\ncompression.type=rar\n"
			  "auto.create.topics.enable=maybe\nlog.segment.bytes=1e9\n",
			  &errors));
	assert_non_null(
	    strstr(buf_text(&errors), "num.network.threads=0: must be a number from 1"));
	assert_non_null(
	    strstr(buf_text(&errors), "compression.type=rar: must be one of producer|"));
	assert_non_null(strstr(buf_text(&errors), "auto.create.topics.enable=maybe: must be true"));
	assert_non_null(strstr(buf_text(&errors), "log.segment.bytes=1e9: must be a number"));
	buf_fini(&errors);
}

static void
a_mistake_for_one_listener_is_a_mistake(void **state)
{
	static const char text[] = "listener.name.a.num.network.threads=0\n"
				   "listener.name.a.max.connections=x\n"
				   "listener.name.b.max.connections=7\n";
	struct properties all = {0};
	struct buf errors = {0};
	struct broker_conf *conf;

	(void)state;
	assert_null(build(text, &errors));
	assert_non_null(strstr(buf_text(&errors),
			       "listener.name.a.num.network.threads=0: must be a number from 1"));
	assert_non_null(
	    strstr(buf_text(&errors), "listener.name.a.max.connections=x: must be a number"));
	assert_null(strstr(buf_text(&errors), "listener.name.b"));
	errors.len = 0;
	assert_int_equal(parse(&all, text), 0);
	assert_int_equal(broker_conf_build(NULL, &all, NULL, &errors, &conf), 0);
	assert_non_null(strstr(buf_text(&errors), "listener.name.a.max.connections=x"));
	assert_string_equal(broker_conf_listener_text(conf, "A", "num.network.threads"), "3");
	assert_string_equal(broker_conf_listener_text(conf, "A", "max.connections"), "2147483647");
	assert_string_equal(broker_conf_listener_text(conf, "B", "max.connections"), "7");
	broker_conf_free(conf);
	properties_fini(&all);
	buf_fini(&errors);
}

static void
a_password_is_never_shown(void **state)
{
	const struct conf_entry *entry = broker_conf_entry("ssl.key.password");
	struct conf_entry strict = *entry;
	struct buf errors = {0};

	(void)state;
	strict.words = "a|b";
	assert_int_equal(conf_entry_check(&strict, "secret", &errors), -EINVAL);
	assert_null(strstr(buf_text(&errors), "secret"));
	buf_fini(&errors);
}

static void
the_stronger_level_wins(void **state)
{
	struct properties fixed = {0}, all = {0}, own = {0};
	struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
	struct buf errors = {0};
	struct broker_conf *conf;

	(void)state;
	assert_int_equal(parse(&fixed, "message.max.bytes=1000\nlog.retention.hours=5\n"), 0);
	assert_int_equal(parse(&all, "message.max.bytes=2000\nlog.cleaner.threads=-7\n"), 0);
	assert_int_equal(parse(&own, "message.max.bytes=3000\n"), 0);
	assert_int_equal(broker_conf_build(&fixed, &all, &own, &errors, &conf), 0);
	assert_int_equal(conf->message_max_bytes, 3000);
	assert_int_equal(conf->log_cleaner_threads, 1); /* the wrong one is left out, with a line */
	assert_non_null(strstr(buf_text(&errors), "log.cleaner.threads=-7"));
	assert_int_equal(
	    broker_conf_synonyms(conf, broker_conf_entry("message.max.bytes"), synonyms), 4);
	assert_int_equal(synonyms[0].source, CONF_SOURCE_DYNAMIC_BROKER);
	assert_int_equal(synonyms[1].source, CONF_SOURCE_DYNAMIC_DEFAULT_BROKER);
	assert_int_equal(synonyms[2].source, CONF_SOURCE_STATIC_BROKER);
	assert_int_equal(synonyms[3].source, CONF_SOURCE_DEFAULT);
	broker_conf_free(conf);
	properties_fini(&fixed);
	properties_fini(&all);
	properties_fini(&own);
	buf_fini(&errors);
}

static void
note_key(void *arg, const char *key, const char *notice)
{
	buf_printf(arg, "%s %s\n", key, notice);
}

/* What is told when one dynamic configuration follows the other. */
static void
assert_told(const char *before, const char *now, const char *expected)
{
	struct properties a = {0}, b = {0};
	struct buf errors = {0}, told = {0};
	struct broker_conf *old, *next;

	assert_int_equal(parse(&a, before), 0);
	assert_int_equal(parse(&b, now), 0);
	assert_int_equal(broker_conf_build(NULL, &a, NULL, &errors, &old), 0);
	assert_int_equal(broker_conf_build(NULL, NULL, &b, &errors, &next), 0);
	broker_conf_change_notices(old, next, note_key, &told);
	assert_string_equal(buf_text(&told), expected);
	broker_conf_free(old);
	broker_conf_free(next);
	properties_fini(&a);
	properties_fini(&b);
	buf_fini(&errors);
	buf_fini(&told);
}

static void
dynamic_changes_without_effect_are_told(void **state)
{
	(void)state;
	assert_told("", "background.threads=3\nnum.network.threads=5\n", "");
	assert_told("", "num.io.threads=5\n",
		    "num.io.threads is accepted; there is nothing that it tunes\n");
	assert_told("num.io.threads=5\n", "num.io.threads=5\n", "");
	assert_told("num.io.threads=5\n", "", "");
	assert_told("", "listener.name.x.sasl.jaas.config=a\n",
		    "listener.name.x.sasl.jaas.config is known but has no effect yet\n");
}

/* What is refused when one configuration is to follow the other. */
static void
assert_refused(const char *before, const char *now, const char *expected)
{
	struct properties changed = {0};
	struct buf errors = {0};
	struct broker_conf *old = build(before, NULL), *next;

	assert_int_equal(parse(&changed, now), 0);
	assert_int_equal(broker_conf_build(&old->fixed, NULL, &changed, &errors, &next), 0);
	assert_int_equal(broker_conf_check_change(old, next, &errors), expected[0] != '\0');
	assert_string_equal(errors.len == 0 ? "" : buf_text(&errors), expected);
	broker_conf_free(old);
	broker_conf_free(next);
	properties_fini(&changed);
	buf_fini(&errors);
}

static void
a_pool_of_threads_may_be_halved_or_doubled_at_most_while_the_broker_runs(void **state)
{
	static const char *const keys[] = {"background.threads", "num.io.threads",
					   "num.recovery.threads.per.data.dir",
					   "num.replica.fetchers"};
	char before[64], now[64], expected[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		snprintf(before, sizeof(before), "%s=5\n", keys[i]);
		for (int after = 1; after <= 12; after++) {
			snprintf(now, sizeof(now), "%s=%d\n", keys[i], after);
			expected[0] = '\0';
			if (after < 2 || after > 10)
				snprintf(expected, sizeof(expected),
					 "%s=%d: must be from 2 to 10 now that it is 5; what is "
					 "further off takes several steps, or a start\n",
					 keys[i], after);
			assert_refused(before, now, expected);
		}
	}
	assert_refused("", "num.replica.fetchers=2\nmessage.max.bytes=1\n", "");
	assert_refused("", "num.replica.fetchers=0\n",
		       "num.replica.fetchers=0: must be from 1 to 2 now that it is 1; what is "
		       "further off takes several steps, or a start\n");
	assert_refused("num.replica.fetchers=-3\n", "num.replica.fetchers=2\n", "");
	assert_refused("num.replica.fetchers=-3\n", "message.max.bytes=1\n", "");
	assert_refused("num.replica.fetchers=2147483647\n", "num.replica.fetchers=1073741823\n",
		       "");
}

static void
a_topic_falls_back_on_the_broker_in_its_own_unit(void **state)
{
	struct broker_conf *conf = build("log.retention.hours=2\nlog.segment.bytes=5000\n", NULL);
	struct properties overrides = {0};
	struct topic_conf tc;

	(void)state;
	assert_int_equal(topic_conf_init(&tc, conf, NULL, NULL), 0);
	assert_int_equal(tc.retention_ms, 2 * 3600 * 1000);
	assert_int_equal(tc.segment_bytes, 5000);
	assert_int_equal(tc.segment_ms, 604800000);
	topic_conf_fini(&tc);
	assert_int_equal(parse(&overrides, "retention.ms=7\nsegment.bytes=nonsense\n"), 0);
	assert_int_equal(topic_conf_init(&tc, conf, &overrides, NULL), 0);
	assert_int_equal(tc.retention_ms, 7);
	assert_int_equal(tc.segment_bytes, 5000); /* a bad override is left out */
	topic_conf_fini(&tc);
	properties_fini(&overrides);
	broker_conf_free(conf);
}

static void
a_topic_with_mistakes_is_refused_with_all_of_them(void **state)
{
	struct broker_conf *conf = build("", NULL);
	struct properties overrides = {0};
	struct buf errors = {0};

	(void)state;
	assert_int_equal(parse(&overrides, "no.such.key=1\ncleanup.policy=shred\n"), 0);
	assert_int_equal(topic_conf_check(conf, &overrides, &errors), -EINVAL);
	assert_non_null(strstr(buf_text(&errors), "no.such.key"));
	assert_non_null(strstr(buf_text(&errors), "cleanup.policy=shred"));
	properties_fini(&overrides);
	buf_fini(&errors);
	assert_int_equal(parse(&overrides, "min.compaction.lag.ms=9\nmax.compaction.lag.ms=8\n"),
			 0);
	assert_int_equal(topic_conf_check(conf, &overrides, &errors), -EINVAL);
	properties_fini(&overrides);
	buf_fini(&errors);
	assert_int_equal(parse(&overrides, "cleanup.policy=compact,delete\n"), 0);
	assert_int_equal(topic_conf_check(conf, &overrides, &errors), 0);
	properties_fini(&overrides);
	broker_conf_free(conf);
}

static void
a_listener_may_have_its_own_value(void **state)
{
	struct broker_conf *conf =
	    build("ssl.client.auth=none\nlistener.name.outer.ssl.client.auth=required\n", NULL);

	(void)state;
	assert_string_equal(broker_conf_listener_text(conf, "OUTER", "ssl.client.auth"),
			    "required");
	assert_string_equal(broker_conf_listener_text(conf, "INNER", "ssl.client.auth"), "none");
	broker_conf_free(conf);
}

static void
note(void *arg, const char *key, const char *notice)
{
	buf_printf(arg, "%s: %s\n", key, notice);
}

static void
a_list_of_replicas_is_all_or_pairs(void **state)
{
	static const struct {
		const char *text;
		bool allowed;
	} lists[] = {{"", true},       {"*", true},     {"0:1", true},   {" 0:1 , 12:3", true},
		     {"0:1,", true},   {"0", false},    {"a:1", false},  {"*,0:1", false},
		     {"0:1 2", false}, {"0:-1", false}, {"0:1:2", false}};
	const struct conf_entry *entry = topic_conf_entry("leader.replication.throttled.replicas");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if ((conf_entry_check(entry, lists[i].text, NULL) == 0) != lists[i].allowed)
			fail_msg("'%s'", lists[i].text);
}

static void
what_has_no_effect_is_said(void **state)
{
	struct broker_conf *conf = build(
	    "metric.reporters=com.example.R\nno.such=1\nnum.io.threads=16\ntelemetry.max.bytes=5\n",
	    NULL);
	struct buf notices = {0};

	(void)state;
	broker_conf_notices(conf, note, &notices);
	assert_non_null(strstr(buf_text(&notices), "metric.reporters: belongs to the JVM"));
	assert_non_null(strstr(buf_text(&notices), "no.such: is not a setting"));
	assert_non_null(
	    strstr(buf_text(&notices), "telemetry.max.bytes: has a meaning under KRaft"));
	assert_null(strstr(buf_text(&notices), "num.io.threads"));
	buf_fini(&notices);
	broker_conf_free(conf);
}

static void
rules_between_settings_are_checked(void **state)
{
	struct broker_conf *conf = build(
	    "zookeeper.connect=x:1\nqueued.max.request.bytes=5\nprocess.roles=broker\n", NULL);
	struct buf errors = {0};

	(void)state;
	assert_int_equal(broker_conf_check_rules(conf, &errors), 2);
	assert_non_null(strstr(buf_text(&errors), "queued.max.request.bytes=5"));
	assert_non_null(strstr(buf_text(&errors), "process.roles=broker"));
	buf_fini(&errors);
	broker_conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(properties_are_read_as_java_reads_them),
	    cmocka_unit_test(every_default_passes_its_own_check),
	    cmocka_unit_test(every_mistake_gets_one_line_with_key_value_and_what_is_allowed),
	    cmocka_unit_test(a_mistake_for_one_listener_is_a_mistake),
	    cmocka_unit_test(a_password_is_never_shown),
	    cmocka_unit_test(the_stronger_level_wins),
	    cmocka_unit_test(dynamic_changes_without_effect_are_told),
	    cmocka_unit_test(
		a_pool_of_threads_may_be_halved_or_doubled_at_most_while_the_broker_runs),
	    cmocka_unit_test(a_topic_falls_back_on_the_broker_in_its_own_unit),
	    cmocka_unit_test(a_topic_with_mistakes_is_refused_with_all_of_them),
	    cmocka_unit_test(a_listener_may_have_its_own_value),
	    cmocka_unit_test(a_list_of_replicas_is_all_or_pairs),
	    cmocka_unit_test(what_has_no_effect_is_said),
	    cmocka_unit_test(rules_between_settings_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
