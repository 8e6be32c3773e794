/*
 * offset_spec.h - where to begin and to stop reading, as kcat's -o says it.
 *
 *	beginning, end		the first record, the next one to come
 *	N			that offset
 *	-N			N records before the end
 *	s@TIME, e@TIME		from the first record of that time on; up to that time, excluded
 *
 * TIME is what time_text.h reads.
 */
#ifndef KLAMM_CLI_OFFSET_SPEC_H
#define KLAMM_CLI_OFFSET_SPEC_H

#include "base/bytes.h"

enum offset_kind { OFFSET_BEGINNING, OFFSET_END, OFFSET_AT, OFFSET_TAIL, OFFSET_TIME };

struct offset_spec {
	enum offset_kind kind;
	int64_t value;   /* offset, count before the end, or ms */
	int64_t stop_ms; /* -1: none */
};

/* Takes one -o; several may follow each other (s@ and e@). spec begins as OFFSET_SPEC_DEFAULT. */
MUST_CHECK int offset_spec_parse(const char *text, struct offset_spec *spec);
#define OFFSET_SPEC_DEFAULT ((struct offset_spec){OFFSET_BEGINNING, 0, -1})

#endif
