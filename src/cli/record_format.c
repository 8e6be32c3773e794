/*
 * record_format.c - how consume prints a record.
 */
#include "cli/record_format.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/text_escape.h"

static struct format_item *
add_item(struct record_format *f, char token)
{
	struct format_item *items;

	if (token == 0 && f->count > 0 && f->items[f->count - 1].token == 0)
		return &f->items[f->count - 1];
	items = realloc(f->items, (f->count + 1) * sizeof(*items));
	if (items == NULL)
		return NULL;
	f->items = items;
	items[f->count] = (struct format_item){.token = token};
	return &items[f->count++];
}

static int
add_text(struct record_format *f, uint8_t byte)
{
	struct format_item *item = add_item(f, 0);

	if (item == NULL)
		return -ENOMEM;
	buf_append_u8(&item->text, byte);
	return item->text.failed ? -ENOMEM : 0;
}

int
record_format_parse(const char *text, struct record_format *ret_format, size_t *ret_at)
{
	struct record_format f = {0};
	const char *p = text;
	int st = 0;

	while (st == 0 && *p != '\0') {
		const char *at = p;
		uint8_t byte = (uint8_t)*p++;

		if (byte == '%' && *p != '%') {
			if (*p == '\0' || strchr("sSRkKhtpoT", *p) == NULL)
				st = -EINVAL;
			else if (add_item(&f, *p++) == NULL)
				st = -ENOMEM;
		} else {
			if (byte == '%')
				p++;
			else if (byte == '\\')
				st = text_unescape_one(&p, &byte);
			if (st == 0)
				st = add_text(&f, byte);
		}
		if (st == -EINVAL)
			*ret_at = (size_t)(at - text);
	}
	if (st != 0) {
		record_format_fini(&f);
		return st;
	}
	*ret_format = f;
	return 0;
}

void
record_format_fini(struct record_format *f)
{
	for (size_t i = 0; i < f->count; i++)
		buf_fini(&f->items[i].text);
	free(f->items);
	*f = (struct record_format){0};
}

static void
append_bytes(const struct record_format *f, struct slice bytes, struct buf *out)
{
	if (bytes.data != NULL)
		buf_append(out, bytes.data, bytes.len);
	else if (f->null_text != NULL)
		buf_append(out, f->null_text, strlen(f->null_text));
}

static void
append_headers(const struct record_format *f, const struct record_view *r, struct buf *out)
{
	for (size_t i = 0; i < r->header_count; i++) {
		buf_printf(out, "%s%s=", i == 0 ? "" : ",", r->headers[i].name);
		if (r->headers[i].value.data == NULL && f->null_text == NULL)
			buf_append(out, "NULL", 4);
		else
			append_bytes(f, r->headers[i].value, out);
	}
}

static long long
length_of(struct slice bytes)
{
	return bytes.data == NULL ? -1 : (long long)bytes.len;
}

static void
append_token(const struct record_format *f, char token, const struct record_view *r,
	     struct buf *out)
{
	switch (token) {
	case 's':
		append_bytes(f, r->value, out);
		break;
	case 'S':
		buf_printf(out, "%lld", length_of(r->value));
		break;
	case 'R':
		buf_append_be32(out, (uint32_t)length_of(r->value));
		break;
	case 'k':
		append_bytes(f, r->key, out);
		break;
	case 'K':
		buf_printf(out, "%lld", length_of(r->key));
		break;
	case 'h':
		append_headers(f, r, out);
		break;
	case 't':
		buf_append(out, r->topic, strlen(r->topic));
		break;
	case 'p':
		buf_printf(out, "%d", r->partition);
		break;
	case 'o':
		buf_printf(out, "%lld", (long long)r->offset);
		break;
	case 'T':
		buf_printf(out, "%lld", (long long)r->timestamp_ms);
		break;
	default:
		break;
	}
}

void
record_format_append(const struct record_format *f, const struct record_view *r, struct buf *out)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct format_item *item = &f->items[i];

		if (item->token == 0)
			buf_append(out, item->text.data, item->text.len);
		else
			append_token(f, item->token, r, out);
	}
}

/* ---- JSON ---- */

static void
append_text(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text));
}

/* ,"NAME":... or ,"NAME_base64":... */
static void
append_member(struct buf *out, const char *name, struct slice bytes)
{
	bool utf8 = bytes.data == NULL || text_is_utf8(bytes);

	buf_printf(out, ",\"%s%s\":", name, utf8 ? "" : "_base64");
	if (bytes.data == NULL)
		append_text(out, "null");
	else if (utf8)
		json_append_string(out, bytes);
	else
		json_append_base64(out, bytes);
}

static void
append_header_json(struct buf *out, const struct record_header *h)
{
	struct slice name = {(const uint8_t *)h->name, strlen(h->name)};

	if (text_is_utf8(name))
		json_append_string(out, name);
	else
		json_append_base64(out, name);
	append_text(out, ",");
	if (h->value.data == NULL) {
		append_text(out, "null");
	} else if (text_is_utf8(h->value)) {
		json_append_string(out, h->value);
	} else {
		append_text(out, "{\"base64\":");
		json_append_base64(out, h->value);
		append_text(out, "}");
	}
}

void
record_json_append(const struct record_view *r, struct buf *out)
{
	append_text(out, "{\"topic\":");
	json_append_string(out, (struct slice){(const uint8_t *)r->topic, strlen(r->topic)});
	buf_printf(out, ",\"partition\":%d,\"offset\":%lld,\"tstype\":\"%s\",\"ts\":%lld",
		   r->partition, (long long)r->offset,
		   r->timestamp_type == TIMESTAMP_CREATE       ? "create"
		   : r->timestamp_type == TIMESTAMP_LOG_APPEND ? "logappend"
							       : "unknown",
		   (long long)r->timestamp_ms);
	buf_printf(out, ",\"broker\":%d", r->broker);
	if (r->header_count > 0) {
		append_text(out, ",\"headers\":[");
		for (size_t i = 0; i < r->header_count; i++) {
			if (i > 0)
				append_text(out, ",");
			append_header_json(out, &r->headers[i]);
		}
		append_text(out, "]");
	}
	append_member(out, "key", r->key);
	append_member(out, "payload", r->value);
	append_text(out, "}\n");
}
