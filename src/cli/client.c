/*
 * client.c - librdkafka, set up from Kafka's options.
 *
 * Settings come in this order, a later one winning: the command's own, --command-config, -X, and
 * the brokers of --bootstrap-server. librdkafka tells of failed connections in events that a
 * command line tool would drown in; the last one is kept, and told when nothing came of it all.
 */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "base/env.h"
#include "cli/client_properties.h"

#define CONFIG_FILE_MAX (1 << 20)
#define DEFAULT_BOOTSTRAP "localhost:9092"
/* How long all brokers may be down before a first answer is given up. */
#define DOWN_GRACE_US 1000000

static struct {
	const char *bootstrap;
	const char *command_config;
	struct text_list settings;
	int64_t timeout_ms;
} opt = {.timeout_ms = 30000};

const struct option_row client_options[] = {
    {'b', "bootstrap-server", "HOST:PORT[,...]",
     "Brokers to ask first. Default: KLAMM_BOOTSTRAP_SERVER in the environment, then "
     "localhost:9092.",
     OPTION_TEXT, &opt.bootstrap},
    {0, "command-config", "FILE",
     "Client settings, as Kafka's tools take them (security.protocol, ssl.*, sasl.*) or as "
     "librdkafka names them.",
     OPTION_TEXT, &opt.command_config},
    {'X', NULL, "NAME=VALUE", "A setting of librdkafka.", OPTION_LIST, &opt.settings},
    {0, "timeout", "MS", "How long to wait for the cluster's answer. Default: 30000.", OPTION_INT,
     &opt.timeout_ms, 1, INT32_MAX},
    {0},
};

static struct {
	char text[512];
	int64_t down_since_us; /* 0: not all brokers are known to be down */
	bool fatal;            /* more waiting will not help: credentials, certificates */
} trouble;

const char *
client_last_trouble(void)
{
	return trouble.text;
}

static void
on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	(void)opaque;
	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		if (trouble.down_since_us == 0)
			trouble.down_since_us = env_monotonic_us(env_system());
		if (trouble.text[0] != '\0')
			return; /* the broker's own failure says more */
	}
	if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__SSL)
		trouble.fatal = true;
	if (err == RD_KAFKA_RESP_ERR__FATAL) {
		char fatal[400];

		rd_kafka_fatal_error(rk, fatal, sizeof(fatal));
		snprintf(trouble.text, sizeof(trouble.text), "%s", fatal);
		trouble.fatal = true;
		return;
	}
	snprintf(trouble.text, sizeof(trouble.text), "%s", reason);
}

/* Only what was asked for with -X debug=... is worth a line. */
static void
on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	if (level >= LOG_DEBUG || level <= LOG_CRIT)
		fprintf(stderr, "librdkafka: %s: %s\n", facility, text);
}

/* ---- configuration ---- */

struct file_settings {
	rd_kafka_conf_t *conf;
	const char *path;
};

static int
set_from_file(void *arg, const char *name, const char *value)
{
	struct file_settings *fs = arg;
	char why[512];

	switch (rd_kafka_conf_set(fs->conf, name, value, why, sizeof(why))) {
	case RD_KAFKA_CONF_OK:
		return 0;
	case RD_KAFKA_CONF_UNKNOWN:
		complain("%s: %s is not known here and has no effect", fs->path, name);
		return 0;
	case RD_KAFKA_CONF_INVALID:
		break;
	}
	complain("%s: %s=%s: %s", fs->path, name,
		 strstr(name, "password") != NULL || strstr(name, "key") != NULL ? "(hidden)"
										 : value,
		 why);
	return -EINVAL;
}

static int
read_command_config(rd_kafka_conf_t *conf)
{
	struct file_settings fs = {conf, opt.command_config};
	struct properties props = {{0}};
	struct buf text = {0}, why = {0};
	int line, st;

	st = env_read_file(env_system(), AT_FDCWD, opt.command_config, CONFIG_FILE_MAX, &text);
	if (st != 0) {
		complain("--command-config %s: cannot read it: %s", opt.command_config,
			 strerror(-st));
		goto out;
	}
	st = properties_parse(&props, buf_slice(&text), &line);
	if (st != 0) {
		complain("--command-config %s: line %d has a malformed escape", opt.command_config,
			 st == -EINVAL ? line : 0);
		goto out;
	}
	st = client_properties_translate(&props, set_from_file, &fs, &why);
	if (st != 0 && buf_text(&why) != NULL && why.len > 0)
		complain("%s: %s", opt.command_config, buf_text(&why));
out:
	properties_fini(&props);
	buf_fini(&text);
	buf_fini(&why);
	return st == 0 ? CLI_DONE : CLI_USAGE;
}

static int
set_from_command_line(rd_kafka_conf_t *conf, const char *setting)
{
	const char *equals = strchr(setting, '=');
	char name[128], why[512];
	size_t len;

	if (equals == NULL || equals == setting)
		return usage_error("-X takes NAME=VALUE, not '%s'", setting);
	if (strncmp(setting, "topic.", 6) == 0)
		setting += 6; /* as kcat has it */
	len = (size_t)(equals - setting);
	if (len >= sizeof(name))
		return usage_error("-X %s: there is no such setting", setting);
	memcpy(name, setting, len);
	name[len] = '\0';
	if (rd_kafka_conf_set(conf, name, equals + 1, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		return usage_error("-X %s: %s", setting, why);
	return CLI_DONE;
}

static const char *
bootstrap_servers(rd_kafka_conf_t *conf, char *from_file, size_t size)
{
	const char *env = getenv("KLAMM_BOOTSTRAP_SERVER");

	if (opt.bootstrap != NULL)
		return opt.bootstrap;
	if (rd_kafka_conf_get(conf, "bootstrap.servers", from_file, &size) == RD_KAFKA_CONF_OK &&
	    size > 1)
		return NULL; /* as it was set */
	return env != NULL && env[0] != '\0' ? env : DEFAULT_BOOTSTRAP;
}

static int
set_bootstrap(rd_kafka_conf_t *conf)
{
	char from_file[1024], why[512];
	const char *servers = bootstrap_servers(conf, from_file, sizeof(from_file));

	if (servers == NULL)
		return CLI_DONE;
	if (rd_kafka_conf_set(conf, "bootstrap.servers", servers, why, sizeof(why)) !=
	    RD_KAFKA_CONF_OK)
		return usage_error("--bootstrap-server %s: %s", servers, why);
	return CLI_DONE;
}

int
client_conf(const struct client_default *defaults, rd_kafka_conf_t **ret_conf)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[512];
	int st = CLI_DONE;

	rd_kafka_conf_set(conf, "client.id", "klamm", NULL, 0);
	for (; defaults != NULL && defaults->name != NULL; defaults++) {
		if (rd_kafka_conf_set(conf, defaults->name, defaults->value, why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK) {
			rd_kafka_conf_destroy(conf);
			return usage_error("%s", why);
		}
	}
	if (opt.command_config != NULL)
		st = read_command_config(conf);
	for (size_t i = 0; st == CLI_DONE && i < opt.settings.count; i++)
		st = set_from_command_line(conf, opt.settings.items[i]);
	if (st == CLI_DONE)
		st = set_bootstrap(conf);
	if (st != CLI_DONE) {
		rd_kafka_conf_destroy(conf);
		return st;
	}
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, on_log);
	*ret_conf = conf;
	return CLI_DONE;
}

int
client_timeout_ms(void)
{
	return (int)opt.timeout_ms;
}

int
client_open(struct client *c, rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char why[512];
	int st;

	memset(c, 0, sizeof(*c));
	memset(&trouble, 0, sizeof(trouble));
	c->timeout_ms = client_timeout_ms();
	if (conf == NULL) {
		st = client_conf(NULL, &conf);
		if (st != CLI_DONE)
			return st;
	}
	c->rk = rd_kafka_new(type, conf, why, sizeof(why));
	if (c->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		complain("%s", why);
		return CLI_USAGE;
	}
	c->queue = rd_kafka_queue_new(c->rk);
	return CLI_DONE;
}

int
client_open_producer(struct client *c, const struct client_default *defaults,
		     void (*on_delivery)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg),
		     void *arg)
{
	rd_kafka_conf_t *conf;
	int st = client_conf(defaults, &conf);

	if (st != CLI_DONE) {
		memset(c, 0, sizeof(*c));
		return st;
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, arg);
	return client_open(c, RD_KAFKA_PRODUCER, conf);
}

void
client_close(struct client *c)
{
	if (c->queue != NULL)
		rd_kafka_queue_destroy(c->queue);
	if (c->rk != NULL)
		rd_kafka_destroy(c->rk);
	memset(c, 0, sizeof(*c));
}

const char *
client_setting(const struct client *c, const char *name)
{
	static char value[1024];
	size_t size = sizeof(value);

	if (rd_kafka_conf_get(rd_kafka_conf(c->rk), name, value, &size) != RD_KAFKA_CONF_OK)
		return "";
	return value;
}

void
client_poll(struct client *c, int timeout_ms)
{
	rd_kafka_poll(c->rk, timeout_ms);
}

/* ---- asking ---- */

int
client_no_answer(const struct client *c, const char *what, const char *error)
{
	const char *servers = client_setting(c, "bootstrap.servers");

	if (trouble.text[0] != '\0')
		complain("%s: no answer from %s: %s", what, servers, trouble.text);
	else
		complain("%s: no answer from %s: %s", what, servers, error);
	return CLI_REFUSED;
}

int
client_metadata(struct client *c, bool all, const char *topic,
		const rd_kafka_metadata_t **ret_metadata)
{
	int64_t end_us = env_monotonic_us(env_system()) + (int64_t)c->timeout_ms * 1000;
	rd_kafka_topic_t *rkt = NULL;
	rd_kafka_resp_err_t err;

	if (topic != NULL) {
		rkt = rd_kafka_topic_new(c->rk, topic, NULL);
		if (rkt == NULL) {
			complain("topic '%s': %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
			return CLI_REFUSED;
		}
	}
	/* In slices, between which librdkafka may tell that there is nobody to wait for. */
	for (;;) {
		int64_t left_ms = (end_us - env_monotonic_us(env_system())) / 1000;
		int slice_ms = left_ms > 250 && trouble.down_since_us != 0 ? 250 : (int)left_ms;

		if (slice_ms > 1000)
			slice_ms = 1000;
		err = rd_kafka_metadata(c->rk, all, rkt, ret_metadata, slice_ms < 1 ? 1 : slice_ms);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		rd_kafka_poll(c->rk, 0);
		if (env_monotonic_us(env_system()) >= end_us || trouble.fatal ||
		    (trouble.down_since_us != 0 &&
		     env_monotonic_us(env_system()) - trouble.down_since_us > DOWN_GRACE_US))
			break;
	}
	if (rkt != NULL)
		rd_kafka_topic_destroy(rkt);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return client_no_answer(c, "asking for metadata", rd_kafka_err2str(err));
	trouble.down_since_us = 0;
	trouble.text[0] = '\0';
	return CLI_DONE;
}

int
client_topic_metadata(struct client *c, const char *topic, const rd_kafka_metadata_t **ret_metadata)
{
	const rd_kafka_metadata_t *md;
	rd_kafka_resp_err_t err;
	int st;

	st = client_metadata(c, false, topic, &md);
	if (st != CLI_DONE)
		return st;
	err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_metadata_destroy(md);
		if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			complain("there is no topic '%s'; 'klamm topic list' shows those there are",
				 topic);
		else
			complain("topic '%s': %s", topic, rd_kafka_err2str(err));
		return CLI_REFUSED;
	}
	*ret_metadata = md;
	return CLI_DONE;
}

rd_kafka_AdminOptions_t *
client_admin_options(struct client *c, rd_kafka_admin_op_t op)
{
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(c->rk, op);
	char why[256];

	if (options == NULL) {
		complain("librdkafka does not know this request");
		return NULL;
	}
	rd_kafka_AdminOptions_set_request_timeout(options, c->timeout_ms, why, sizeof(why));
	/* Not every request has one; those answer with an error that does not matter. */
	rd_kafka_AdminOptions_set_operation_timeout(options, c->timeout_ms, why, sizeof(why));
	return options;
}

int
client_admin_event(struct client *c, const char *what, rd_kafka_event_t **ret_event)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(c->queue, c->timeout_ms + 1000);
	rd_kafka_resp_err_t err;

	rd_kafka_poll(c->rk, 0);
	if (event == NULL)
		return client_no_answer(c, what, "timed out");
	err = rd_kafka_event_error(event);
	if (err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TRANSPORT) {
		int st = client_no_answer(c, what, rd_kafka_event_error_string(event));

		rd_kafka_event_destroy(event);
		return st;
	}
	*ret_event = event;
	return CLI_DONE;
}

int
client_admin_wait(struct client *c, const char *what, rd_kafka_event_t **ret_event)
{
	rd_kafka_event_t *event;
	int st;

	st = client_admin_event(c, what, &event);
	if (st != CLI_DONE)
		return st;
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		complain("%s: %s", what, rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
		return CLI_REFUSED;
	}
	*ret_event = event;
	return CLI_DONE;
}
