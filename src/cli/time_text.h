/*
 * time_text.h - times and durations as ISO 8601 writes them.
 *
 * A time is milliseconds since the epoch or ISO 8601: 2026-11-20, 2026-11-20T12:00:00.250Z,
 * 2026-11-20T13:00+01:00. Without a zone it is UTC.
 * A duration is PnDTnHnMnS: P1D, PT90M, P1DT12H, PT0.5S; no signs, no years or months.
 */
#ifndef KLAMM_CLI_TIME_TEXT_H
#define KLAMM_CLI_TIME_TEXT_H

#include "base/bytes.h"

/* Milliseconds since the epoch. 0 or -EINVAL. */
MUST_CHECK int time_parse(const char *text, int64_t *ret_ms);
/* Milliseconds. 0 or -EINVAL. */
MUST_CHECK int duration_parse(const char *text, int64_t *ret_ms);

#define TIME_TEXT_LEN 32
#define DURATION_TEXT_LEN 48

/* Both write into text, of at least so many bytes, and return it. */

/* "2026-11-20T12:00:00Z" */
const char *time_format(int64_t ms, char *text, size_t size);
/* For people, in two units: "250 ms", "59 s", "3 min 5 s", "2 h", "5 d 3 h". Negative is 0. */
const char *duration_format(int64_t ms, char *text, size_t size);

#endif
