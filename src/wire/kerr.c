/*
 * kerr.c - one table, filled from kerr.def and indexed by the code plus one.
 */
#include "wire/kerr.h"

#include <errno.h>
#include <stddef.h>

#include "base/bytes.h"

struct kerr_info {
	const char *name;
	const char *text;
	bool retriable;
};

static const struct kerr_info kerr_infos[] = {
#define KERR(number, name, text) [(number) + 1] = {#name, text, false},
#define KERR_RETRIABLE(number, name, text) [(number) + 1] = {#name, text, true},
#include "wire/kerr.def"
#undef KERR
};

static const struct kerr_info *
kerr_find(int code)
{
	static const struct kerr_info none = {"UNKNOWN", "an error code that is not known here",
					      false};

	if (code == K_UNKNOWN_SERVER_ERROR)
		code = -1;
	if (code < -1 || code + 1 >= (int)ARRAY_LEN(kerr_infos))
		return &none;
	return kerr_infos[code + 1].name != NULL ? &kerr_infos[code + 1] : &none;
}

int16_t
kerr_of(int st)
{
	if (st == K_UNKNOWN_SERVER_ERROR || st > INT16_MAX)
		return -1;
	if (st >= 0)
		return (int16_t)st;
	switch (-st) {
	case EIO:
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case ENOENT:
	case ENXIO:
	case ENODEV:
	case EBADF:
	case ESTALE:
		return K_KAFKA_STORAGE_ERROR;
	default:
		return -1;
	}
}

int
kerr_status(int16_t code)
{
	return code < 0 ? (int)K_UNKNOWN_SERVER_ERROR : code;
}

const char *
kerr_name(int code)
{
	return kerr_find(code)->name;
}

const char *
kerr_text(int code)
{
	return kerr_find(code)->text;
}

bool
kerr_retriable(int code)
{
	return kerr_find(code)->retriable;
}
