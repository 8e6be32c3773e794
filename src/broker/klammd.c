/* klammd: the program. Options, configuration, signals. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "broker/broker.h"
#include "broker/supervisor.h"
#include "base/env.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define CONFIG_BYTES_MAX (16u << 20)

struct options {
	const char *file;
	struct properties overrides;
	bool check, print, standalone;
};

static const char help[] =
    "Usage: klammd [OPTION]... FILE\n"
    "Run a Klamm broker with the settings of FILE, Kafka's server.properties.\n"
    "\n"
    "  -o, --override KEY=VALUE  set a key over what FILE says; may be repeated\n"
    "  -s, --standalone          run without a ZooKeeper ensemble, for development: the\n"
    "                            coordination tree is kept in the first log directory\n"
    "  -c, --check               say every mistake in the configuration and exit\n"
    "  -p, --print-config        print every setting with its value and origin, and exit\n"
    "  -h, --help                print this\n"
    "  -V, --version             print the version\n"
    "\n"
    "FILE may be left out with --standalone: then everything has its default, with\n"
    "listeners=PLAINTEXT://localhost:9092 and log.dirs=./klamm-data.\n"
    "\n"
    "Examples\n"
    "  klammd /etc/kafka/server.properties\n"
    "  klammd --check /etc/klamm/server.properties\n"
    "  klammd --standalone --override log.dirs=/tmp/klamm\n"
    "\n"
    "SIGTERM stops in order; SIGHUP reads certificates again. See klammd(8) and\n"
    "server.properties(5).\n";

/* ---- options ---- */

static int
add_override(struct options *opts, const char *text)
{
	const char *equals = strchr(text, '=');
	char key[256];

	if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(key)) {
		fprintf(stderr, "klammd: --override %s: must be KEY=VALUE\n", text);
		return -EINVAL;
	}
	snprintf(key, sizeof(key), "%.*s", (int)(equals - text), text);
	return properties_set(&opts->overrides, key, equals + 1);
}

/* 0 to go on, 1 when all is done, -EINVAL. */
static int
parse_options(int argc, char **argv, struct options *opts)
{
	static const struct option longs[] = {{"override", required_argument, NULL, 'o'},
					      {"standalone", no_argument, NULL, 's'},
					      {"check", no_argument, NULL, 'c'},
					      {"print-config", no_argument, NULL, 'p'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "o:scphV", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			if (add_override(opts, optarg) != 0)
				return -EINVAL;
			break;
		case 's':
			opts->standalone = true;
			break;
		case 'c':
			opts->check = true;
			break;
		case 'p':
			opts->print = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		case 'V':
			printf("klammd %s\n", PACKAGE_VERSION);
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (optind < argc)
		opts->file = argv[optind++];
	if (optind < argc || (opts->file == NULL && !opts->standalone)) {
		fprintf(stderr, "klammd: exactly one configuration file is needed; "
				"klammd --help tells more\n");
		return -EINVAL;
	}
	return 0;
}

/* ---- configuration ---- */

static int
read_file(const char *path, struct properties *props)
{
	struct buf text = {0};
	int st = env_read_file(env_system(), AT_FDCWD, path, CONFIG_BYTES_MAX, &text), line = 0;

	if (st != 0) {
		fprintf(stderr, "klammd: cannot read %s: %s\n", path, strerror(-st));
		return st;
	}
	st = properties_parse(props, buf_slice(&text), &line);
	if (st == -EINVAL)
		fprintf(stderr, "klammd: %s:%d: a \\u needs four hexadecimal digits\n", path, line);
	buf_fini(&text);
	return st;
}

/* What --standalone gives where nothing is said. */
static int
add_standalone(struct properties *props)
{
	int st = properties_set(props, "klamm.standalone", "true");

	if (st == 0 && properties_get(props, "listeners") == NULL)
		st = properties_set(props, "listeners", "PLAINTEXT://localhost:9092");
	if (st == 0 && properties_get(props, "log.dirs") == NULL &&
	    properties_get(props, "log.dir") == NULL)
		st = properties_set(props, "log.dirs", "klamm-data");
	if (st == 0 && properties_get(props, "broker.id") == NULL)
		st = properties_set(props, "broker.id", "0");
	return st;
}

/* All mistakes, one line each, or the configuration. */
static int
build(const struct options *opts, struct broker_conf **ret_conf)
{
	struct properties props = {0};
	struct broker_conf *conf = NULL;
	struct buf errors = {0};
	int st = 0;

	if (opts->file != NULL)
		st = read_file(opts->file, &props);
	if (st == 0)
		st = properties_copy(&opts->overrides, &props);
	if (st == 0 && opts->standalone)
		st = add_standalone(&props);
	if (st != 0)
		goto out;
	st = broker_conf_build(&props, NULL, NULL, &errors, &conf);
	if (st == 0 &&
	    broker_conf_check_rules(conf, &errors) + broker_check_listeners(conf, &errors) > 0)
		st = -EINVAL;
	if (errors.len > 0)
		fwrite(errors.data, 1, errors.len, stderr);
	if (st == 0)
		*ret_conf = conf;
	else
		broker_conf_free(conf);
out:
	buf_fini(&errors);
	properties_fini(&props);
	return st;
}

static void
print_notice(void *arg, const char *key, const char *notice)
{
	(void)arg;
	printf("%s: %s\n", key, notice);
}

static void
log_notice(void *arg, const char *key, const char *notice)
{
	(void)arg;
	diag_warn(DIAG_CONFIG, "a setting needs a look", "%s: %s", key, notice);
}

static void
print_config(const struct broker_conf *conf)
{
	for (size_t i = 0; i < broker_conf_entry_count; i++) {
		const struct conf_entry *entry = &broker_conf_entries[i];
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		size_t n = broker_conf_synonyms(conf, entry, synonyms);
		const char *text =
		    n > 0 && strcmp(synonyms[0].key, entry->key) == 0 ? synonyms[0].text : NULL;

		if (entry->hidden)
			continue;
		printf("%s=%s%s\n", entry->key,
		       text == NULL                   ? ""
		       : entry->type == CONF_PASSWORD ? "[hidden]"
						      : text,
		       n == 0 || synonyms[0].source == CONF_SOURCE_DEFAULT ? " (default)" : "");
	}
}

/* ---- running ---- */

/* Tells systemd (Type=notify) how we stand, as sd_notify(3) describes it. */
static void
notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = path == NULL ? 0 : strlen(path);
	int fd;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (addr.sun_path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		diag_warn(DIAG_BROKER, "cannot tell the service manager", "error=%s",
			  strerror(errno));
	close(fd);
}

static void
run(struct broker *b, const sigset_t *signals)
{
	notify("READY=1\n");
	for (;;) {
		struct timespec second = {.tv_sec = 1};
		int sig = sigtimedwait(signals, NULL, &second);

		broker_tick(b);
		if (sig == SIGHUP)
			broker_reload(b);
		else if (sig == SIGTERM || sig == SIGINT)
			break;
	}
	notify("STOPPING=1\n");
	diag_info(DIAG_BROKER, "stopping", "");
	broker_stop(b);
	diag_info(DIAG_BROKER, "stopped", "");
}

int
main(int argc, char **argv)
{
	struct options opts = {0};
	struct supervisor *supervisor;
	struct broker_conf *conf;
	struct broker *b;
	sigset_t signals;
	int st = parse_options(argc, argv, &opts);

	if (st != 0)
		return st < 0 ? 2 : 0;
	st = build(&opts, &conf);
	properties_fini(&opts.overrides);
	if (st != 0)
		return 1;
	if (opts.check || opts.print) {
		if (opts.print)
			print_config(conf);
		else
			broker_conf_notices(conf, print_notice, NULL);
		broker_conf_free(conf);
		return 0;
	}
	/* Before any thread: all inherit the mask, and the main thread alone takes signals. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	diag_info(DIAG_BROKER, "starting", "version=%s", PACKAGE_VERSION);
	broker_conf_notices(conf, log_notice, NULL);
	st = supervisor_start(conf, &supervisor);
	if (st != 0) {
		diag_error(DIAG_BROKER, "cannot start the supervisor", "error=%s", strerror(-st));
		broker_conf_free(conf);
		return 1;
	}
	st = broker_start(conf, supervisor, &b);
	if (st == 0)
		run(b, &signals);
	supervisor_end(supervisor);
	return st == 0 ? 0 : 1;
}
