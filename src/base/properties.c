#include "base/properties.h"

#include <errno.h>
#include <stdlib.h>

struct reader {
	const char *at, *end;
	int line;
	struct buf key, value;
};

void
properties_fini(struct properties *props)
{
	struct map_iter iter = {0};
	char *text;

	while ((text = map_next(&props->texts, &iter)) != NULL)
		free(text);
	map_fini(&props->texts);
}

const char *
properties_get(const struct properties *props, const char *key)
{
	return map_get_text(&props->texts, key);
}

int
properties_set(struct properties *props, const char *key, const char *value)
{
	char *copy = strdup(value);
	void *old;
	int st;

	if (copy == NULL)
		return -ENOMEM;
	st = map_put_text(&props->texts, key, copy, &old);
	free(st == 0 ? old : copy);
	return st;
}

void
properties_remove(struct properties *props, const char *key)
{
	free(map_remove_text(&props->texts, key));
}

int
properties_copy(const struct properties *from, struct properties *to)
{
	struct map_iter iter = {0};
	const char *text;

	while ((text = map_next(&from->texts, &iter)) != NULL) {
		int st = properties_set(to, map_iter_key(&iter).data, text);

		if (st != 0)
			return st;
	}
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f' || c == '\r';
}

static void
skip_blanks(struct reader *r)
{
	while (r->at < r->end && is_blank(*r->at))
		r->at++;
}

static void
append_utf8(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_append_u8(out, (uint8_t)code);
	} else if (code < 0x800) {
		buf_append_u8(out, (uint8_t)(0xc0 | code >> 6));
		buf_append_u8(out, (uint8_t)(0x80 | (code & 63)));
	} else {
		buf_append_u8(out, (uint8_t)(0xe0 | code >> 12));
		buf_append_u8(out, (uint8_t)(0x80 | (code >> 6 & 63)));
		buf_append_u8(out, (uint8_t)(0x80 | (code & 63)));
	}
}

/* After a backslash: one escape, or a joined line, whose leading blanks do not count. */
static int
read_escape(struct reader *r, struct buf *out)
{
	static const char names[] = "tnrf", bytes[] = "\t\n\r\f";
	const char *name;
	uint32_t code = 0;
	char c;

	if (r->at == r->end)
		return 0;
	c = *r->at++;
	if (c == '\r' && r->at < r->end && *r->at == '\n')
		c = *r->at++;
	if (c == '\n') {
		r->line++;
		skip_blanks(r);
		return 0;
	}
	if (c == 'u') {
		for (int i = 0; i < 4; i++, r->at++) {
			static const char digits[] = "0123456789abcdef";
			const char *digit;

			if (r->at == r->end || *r->at == '\0')
				return -EINVAL;
			digit = strchr(digits, *r->at | (*r->at >= 'A' ? 0x20 : 0));
			if (digit == NULL)
				return -EINVAL;
			code = code << 4 | (uint32_t)(digit - digits);
		}
		append_utf8(out, code);
		return 0;
	}
	name = strchr(names, c);
	buf_append_u8(out, (uint8_t)(name != NULL && c != '\0' ? bytes[name - names] : c));
	return 0;
}

/* Reads up to the end of the logical line, or for a key up to its separator. */
static int
read_text(struct reader *r, struct buf *out, bool is_key)
{
	out->len = 0;
	while (r->at < r->end && *r->at != '\n') {
		char c = *r->at;

		if (is_key && (c == '=' || c == ':' || is_blank(c)))
			break;
		r->at++;
		if (c == '\\') {
			int st = read_escape(r, out);

			if (st != 0)
				return st;
		} else if (c != '\0') {
			buf_append_u8(out, (uint8_t)c);
		}
	}
	return 0;
}

static int
read_pair(struct reader *r, struct properties *props)
{
	const char *key, *value;
	int st;

	st = read_text(r, &r->key, true);
	if (st != 0)
		return st;
	skip_blanks(r);
	if (r->at < r->end && (*r->at == '=' || *r->at == ':'))
		r->at++;
	skip_blanks(r);
	st = read_text(r, &r->value, false);
	if (st != 0)
		return st;
	while (r->value.len > 0 && is_blank((char)r->value.data[r->value.len - 1]))
		r->value.len--;
	key = buf_text(&r->key);
	value = buf_text(&r->value);
	if (key == NULL || value == NULL)
		return -ENOMEM;
	return properties_set(props, key, value);
}

int
properties_parse(struct properties *props, struct slice text, int *ret_line)
{
	struct reader r = {.at = (const char *)text.data, .line = 1};
	int st = 0;

	r.end = r.at + text.len;
	while (st == 0 && r.at < r.end) {
		skip_blanks(&r);
		if (r.at == r.end)
			break;
		if (*r.at == '#' || *r.at == '!') {
			while (r.at < r.end && *r.at != '\n')
				r.at++;
		} else if (*r.at != '\n') {
			st = read_pair(&r, props);
		}
		if (st == 0 && r.at < r.end && *r.at == '\n') {
			r.at++;
			r.line++;
		}
	}
	buf_fini(&r.key);
	buf_fini(&r.value);
	if (st == -EINVAL)
		*ret_line = r.line;
	return st;
}
