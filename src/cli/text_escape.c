/*
 * text_escape.c - bytes as text and back.
 */
#include "cli/text_escape.h"

#include <errno.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
text_unescape_one(const char **text, uint8_t *ret_byte)
{
	const char *p = *text;
	int value;

	switch (*p) {
	case '\0':
		return -EINVAL;
	case 'n':
		value = '\n';
		break;
	case 'r':
		value = '\r';
		break;
	case 't':
		value = '\t';
		break;
	case 'x':
		if (hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
			return -EINVAL;
		value = hex_digit(p[1]) * 16 + hex_digit(p[2]);
		p += 2;
		break;
	case '0' ... '7':
		value = 0;
		for (int i = 0; i < 3 && *p >= '0' && *p <= '7'; i++)
			value = value * 8 + *p++ - '0';
		p--;
		break;
	default:
		value = (unsigned char)*p;
		break;
	}
	*text = p + 1;
	*ret_byte = (uint8_t)value;
	return 0;
}

int
text_unescape(const char *text, struct buf *out)
{
	while (*text != '\0') {
		uint8_t byte = (uint8_t)*text++;

		if (byte == '\\' && text_unescape_one(&text, &byte) != 0)
			return -EINVAL;
		buf_append_u8(out, byte);
	}
	return out->failed ? -ENOMEM : 0;
}

/* The length of the UTF-8 character that bytes begin with, 0 when there is none. */
static size_t
utf8_length(const uint8_t *p, size_t len)
{
	uint32_t value;
	size_t need;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		need = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		need = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (len < need)
		return 0;
	value = p[0] & (0xffu >> (need + 1));
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (p[i] & 0x3fu);
	}
	if ((need == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))) ||
	    (need == 4 && (value < 0x10000 || value > 0x10ffff)))
		return 0;
	return need;
}

bool
text_is_utf8(struct slice bytes)
{
	size_t i = 0;

	while (i < bytes.len) {
		size_t n = utf8_length(bytes.data + i, bytes.len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

void
json_append_string(struct buf *out, struct slice bytes)
{
	size_t from = 0;

	buf_append_u8(out, '"');
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t c = bytes.data[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buf_append(out, bytes.data + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_append(out, "\\n", 2);
		else if (c == '\t')
			buf_append(out, "\\t", 2);
		else if (c == '\r')
			buf_append(out, "\\r", 2);
		else
			buf_printf(out, "\\u%04x", c);
	}
	buf_append(out, bytes.data + from, bytes.len - from);
	buf_append_u8(out, '"');
}

void
json_append_base64(struct buf *out, struct slice bytes)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_append_u8(out, '"');
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
		uint32_t group = (uint32_t)bytes.data[i] << 16;
		char text[4];

		if (n > 1)
			group |= (uint32_t)bytes.data[i + 1] << 8;
		if (n > 2)
			group |= bytes.data[i + 2];
		for (size_t j = 0; j < 4; j++)
			text[j] = j <= n ? digits[group >> (18 - 6 * j) & 63] : '=';
		buf_append(out, text, sizeof(text));
	}
	buf_append_u8(out, '"');
}

void
text_append_printable(struct buf *out, struct slice bytes)
{
	size_t i = 0;

	while (i < bytes.len) {
		const uint8_t *p = bytes.data + i;
		size_t n = utf8_length(p, bytes.len - i);
		/* U+0080 to U+009f are control characters too. */
		bool control =
		    p[0] < 0x20 || p[0] == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);

		if (n == 0)
			n = 1;
		else if (!control) {
			buf_append(out, p, n);
			i += n;
			continue;
		}
		for (size_t j = 0; j < n; j++)
			buf_printf(out, "\\x%02x", p[j]);
		i += n;
	}
}
