/*
 * text_escape.h - bytes as text and back: delimiters, JSON strings, what is safe on a terminal.
 */
#ifndef KLAMM_CLI_TEXT_ESCAPE_H
#define KLAMM_CLI_TEXT_ESCAPE_H

#include "base/bytes.h"

/*
 * Appends what text means with \n \r \t \\ \0 \xHH and octal \NNN as in kcat; any other character
 * after a backslash stands for itself. -EINVAL: a backslash at the end, or \x without two digits.
 */
MUST_CHECK int text_unescape(const char *text, struct buf *out);
/* One escape: *text points behind the backslash and is moved behind the escape. */
MUST_CHECK int text_unescape_one(const char **text, uint8_t *ret_byte);

/* Whether bytes are UTF-8: no overlong forms, no surrogates. */
bool text_is_utf8(struct slice bytes);
/* Appends a JSON string, quotes included. bytes are UTF-8. */
void json_append_string(struct buf *out, struct slice bytes);
/* The same for any bytes, as base64 (RFC 4648). */
void json_append_base64(struct buf *out, struct slice bytes);
/* Appends what a terminal shows as it is: control characters and what is no UTF-8 as \xHH. */
void text_append_printable(struct buf *out, struct slice bytes);

#endif
