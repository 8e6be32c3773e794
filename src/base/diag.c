#include "base/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048

static const char *const room_names[DIAG_ROOM_COUNT] = {
    [DIAG_BASE] = "base",       [DIAG_CONFIG] = "config",   [DIAG_ZK] = "zk",
    [DIAG_NET] = "net",         [DIAG_STORAGE] = "storage", [DIAG_SECURITY] = "security",
    [DIAG_CLUSTER] = "cluster", [DIAG_REPLICA] = "replica", [DIAG_CONTROLLER] = "controller",
    [DIAG_GROUP] = "group",     [DIAG_TXN] = "txn",         [DIAG_API] = "api",
    [DIAG_BROKER] = "broker",
};

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"};

static _Atomic unsigned char levels[DIAG_ROOM_COUNT] = {
    DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO,
    DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO, DIAG_INFO,
};
static _Atomic uint64_t counts[DIAG_OFF];
static _Atomic int diag_fd = STDERR_FILENO;

bool
diag_enabled(enum diag_level level, enum diag_room room)
{
	return level >= atomic_load_explicit(&levels[room], memory_order_relaxed);
}

void
diag_set_level(enum diag_room room, enum diag_level level)
{
	atomic_store_explicit(&levels[room], (unsigned char)level, memory_order_relaxed);
}

enum diag_level
diag_level_of(enum diag_room room)
{
	return atomic_load_explicit(&levels[room], memory_order_relaxed);
}

const char *
diag_room_name(enum diag_room room)
{
	return room_names[room];
}

const char *
diag_level_name(enum diag_level level)
{
	return level_names[level];
}

int
diag_level_parse(const char *name, enum diag_level *ret_level)
{
	if (strcasecmp(name, "FATAL") == 0) { /* log4j's level above ERROR */
		*ret_level = DIAG_ERROR;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcasecmp(name, level_names[i]) == 0) {
			*ret_level = (enum diag_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

int
diag_room_parse(const char *name, enum diag_room *ret_room)
{
	for (size_t i = 0; i < DIAG_ROOM_COUNT; i++) {
		if (strcmp(name, room_names[i]) == 0) {
			*ret_room = (enum diag_room)i;
			return 0;
		}
	}
	return -EINVAL;
}

void
diag_set_fd(int fd)
{
	atomic_store(&diag_fd, fd);
}

uint64_t
diag_count(enum diag_level level)
{
	return atomic_load_explicit(&counts[level], memory_order_relaxed);
}

/* Bytes from outside may stand in a field: a line stays one line of printable text. */
static void
make_printable(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

void
diag_write(enum diag_level level, enum diag_room room, const char *sentence, const char *fmt, ...)
{
	char line[LINE_BYTES];
	struct timespec now;
	struct tm tm;
	va_list args;
	size_t len;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line + len, sizeof(line) - len, ".%03ldZ %s %s: %s%s", now.tv_nsec / 1000000,
		     level_names[level], room_names[room], sentence, fmt[0] != '\0' ? " " : "");
	len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, args);
	va_end(args);
	if (n > 0)
		len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	make_printable(line, len);
	line[len++] = '\n';
	atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
	if (write(atomic_load(&diag_fd), line, len) < 0)
		return; /* nobody left to tell */
}
