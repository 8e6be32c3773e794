/*
 * diag.h - what the broker tells its operator: one line per event, on standard error.
 *
 * A line is a fixed sentence and then fields, so that it can be searched for and counted:
 *
 *	diag_warn(DIAG_REPLICA, "isr shrunk", "partition=%s-%d from=%s to=%s", ...);
 *	2026-11-20T12:00:00.123Z WARN replica: isr shrunk partition=orders-3 from=1,2,3 to=1,2
 *
 * An ERROR asks an operator to act. Nothing is logged per request; counts are metrics.
 *
 * Threads  any; a line is one write().
 */
#ifndef KLAMM_BASE_DIAG_H
#define KLAMM_BASE_DIAG_H

#include "base/bytes.h"

enum diag_level { DIAG_TRACE, DIAG_DEBUG, DIAG_INFO, DIAG_WARN, DIAG_ERROR, DIAG_OFF };

/* One logger per room; their names are what DescribeConfigs shows for BROKER_LOGGER. */
enum diag_room {
	DIAG_BASE,
	DIAG_CONFIG,
	DIAG_ZK,
	DIAG_NET,
	DIAG_STORAGE,
	DIAG_SECURITY,
	DIAG_CLUSTER,
	DIAG_REPLICA,
	DIAG_CONTROLLER,
	DIAG_GROUP,
	DIAG_TXN,
	DIAG_API,
	DIAG_BROKER,
	DIAG_ROOM_COUNT
};

void diag_write(enum diag_level level, enum diag_room room, const char *sentence, const char *fmt,
		...) PRINTF_LIKE(4, 5);
bool diag_enabled(enum diag_level level, enum diag_room room);
void diag_set_level(enum diag_room room, enum diag_level level);
enum diag_level diag_level_of(enum diag_room room);
const char *diag_room_name(enum diag_room room);
const char *diag_level_name(enum diag_level level);
/* Returns 0, or -EINVAL for a name that is none of ours. */
MUST_CHECK int diag_level_parse(const char *name, enum diag_level *ret_level);
MUST_CHECK int diag_room_parse(const char *name, enum diag_room *ret_room);
/* Sends lines to fd (standard error until then). */
void diag_set_fd(int fd);
/* How many WARN and ERROR lines there were, for the metrics. */
uint64_t diag_count(enum diag_level level);

/* fmt may be "" where the sentence says it all. */
#define diag_log(level, room, ...)                                                                 \
	do {                                                                                       \
		if (diag_enabled(level, room))                                                     \
			diag_write(level, room, __VA_ARGS__);                                      \
	} while (0)
#define diag_debug(room, ...) diag_log(DIAG_DEBUG, room, __VA_ARGS__)
#define diag_info(room, ...) diag_log(DIAG_INFO, room, __VA_ARGS__)
#define diag_warn(room, ...) diag_log(DIAG_WARN, room, __VA_ARGS__)
#define diag_error(room, ...) diag_log(DIAG_ERROR, room, __VA_ARGS__)

#endif
