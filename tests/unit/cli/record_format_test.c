/* kcat's format tokens, the JSON envelope, and the escapes in both. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/record_format.h"
#include "cli/text_escape.h"

#define BYTES(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

static const struct record_header headers[] = {
    {"colour", {(const uint8_t *)"red", 3}},
    {"empty", {(const uint8_t *)"", 0}},
    {"null", {NULL, 0}},
};

static struct record_view
a_record(void)
{
	return (struct record_view){.topic = "orders",
				    .key = BYTES("k1"),
				    .value = BYTES("hello"),
				    .headers = headers,
				    .header_count = 3,
				    .offset = 42,
				    .timestamp_ms = 1732104000123,
				    .partition = 3,
				    .broker = 1,
				    .timestamp_type = TIMESTAMP_CREATE};
}

static void
assert_formats(const char *format, const char *null_text, struct record_view r,
	       struct slice expected)
{
	struct record_format f;
	struct buf out = {0};
	size_t at;

	assert_int_equal(record_format_parse(format, &f, &at), 0);
	f.null_text = null_text;
	record_format_append(&f, &r, &out);
	assert_int_equal(out.len, expected.len);
	if (expected.len > 0)
		assert_memory_equal(out.data, expected.data, expected.len);
	record_format_fini(&f);
	buf_fini(&out);
}

static void
each_token_prints_its_part_of_the_record(void **state)
{
	(void)state;
	assert_formats("%t/%p/%o", NULL, a_record(), BYTES("orders/3/42"));
	assert_formats("%k=%s (%K, %S) %T\\n", NULL, a_record(),
		       BYTES("k1=hello (2, 5) 1732104000123\n"));
	assert_formats("%R%s", NULL, a_record(), BYTES("\0\0\0\5hello"));
	assert_formats("%h", NULL, a_record(), BYTES("colour=red,empty=,null=NULL"));
	assert_formats("100%%", NULL, a_record(), BYTES("100%"));
	assert_formats("", NULL, a_record(), BYTES(""));
}

static void
escapes_in_a_format_are_bytes(void **state)
{
	(void)state;
	assert_formats("a\\tb\\r\\n\\x41\\101\\\\\\0%p", NULL, a_record(),
		       BYTES("a\tb\r\nAA\\\0"
			     "3"));
}

static void
null_is_told_from_empty(void **state)
{
	struct record_view r = a_record();

	(void)state;
	r.key = (struct slice){NULL, 0};
	r.value = BYTES("");
	assert_formats("[%k|%K|%s|%S|%R]", NULL, r, BYTES("[|-1||0|\0\0\0\0]"));
	assert_formats("[%k|%K|%s|%S]", "NULL", r, BYTES("[NULL|-1||0]"));
	r.value = (struct slice){NULL, 0};
	assert_formats("[%s|%S|%R]", NULL, r, BYTES("[|-1|\xff\xff\xff\xff]"));
}

static void
a_format_that_is_wrong_is_refused_with_the_place(void **state)
{
	static const struct {
		const char *format;
		size_t at;
	} bad[] = {{"%q", 0}, {"ab%", 2}, {"%s\\", 2}, {"x\\xg0", 1}, {"\\x1", 0}};
	struct record_format f;
	size_t at;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		at = 99;
		assert_int_equal(record_format_parse(bad[i].format, &f, &at), -EINVAL);
		assert_int_equal(at, bad[i].at);
	}
}

static void
assert_json(struct record_view r, const char *expected)
{
	struct buf out = {0};

	record_json_append(&r, &out);
	assert_string_equal(buf_text(&out), expected);
	buf_fini(&out);
}

static void
the_envelope_is_that_of_kcat(void **state)
{
	(void)state;
	assert_json(a_record(),
		    "{\"topic\":\"orders\",\"partition\":3,\"offset\":42,\"tstype\":\"create\","
		    "\"ts\":1732104000123,\"broker\":1,\"headers\":[\"colour\",\"red\",\"empty\","
		    "\"\",\"null\",null],\"key\":\"k1\",\"payload\":\"hello\"}\n");
}

static void
the_envelope_keeps_bytes_that_are_no_text(void **state)
{
	static const struct record_header raw[] = {{"raw", {(const uint8_t *)"\xff", 1}}};
	struct record_view r = a_record();

	(void)state;
	r.headers = raw;
	r.header_count = 1;
	r.key = (struct slice){NULL, 0};
	r.value = BYTES("\xff\x01");
	r.timestamp_type = TIMESTAMP_LOG_APPEND;
	assert_json(r, "{\"topic\":\"orders\",\"partition\":3,\"offset\":42,"
		       "\"tstype\":\"logappend\",\"ts\":1732104000123,\"broker\":1,"
		       "\"headers\":[\"raw\",{\"base64\":\"/w==\"}],\"key\":null,"
		       "\"payload_base64\":\"/wE=\"}\n");
}

static void
assert_json_string(struct slice bytes, const char *expected)
{
	struct buf out = {0};

	json_append_string(&out, bytes);
	assert_string_equal(buf_text(&out), expected);
	buf_fini(&out);
}

static void
json_strings_escape_what_they_must(void **state)
{
	(void)state;
	assert_json_string(BYTES("plain"), "\"plain\"");
	assert_json_string(BYTES("a\"b\\c\n\t\r\x01\x7f\0z"),
			   "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u007f\\u0000z\"");
	assert_json_string(BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
			   "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void
base64_pads_each_remainder(void **state)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} cases[] = {{{(const uint8_t *)"", 0}, "\"\""},
		     {{(const uint8_t *)"f", 1}, "\"Zg==\""},
		     {{(const uint8_t *)"fo", 2}, "\"Zm8=\""},
		     {{(const uint8_t *)"foo", 3}, "\"Zm9v\""},
		     {{(const uint8_t *)"foob", 4}, "\"Zm9vYg==\""}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = {0};

		json_append_base64(&out, cases[i].bytes);
		assert_string_equal(buf_text(&out), cases[i].text);
		buf_fini(&out);
	}
}

static void
utf8_is_told_from_what_looks_like_it(void **state)
{
	(void)state;
	assert_true(text_is_utf8(BYTES("")));
	assert_true(text_is_utf8(BYTES("abc\xc3\xa9\xed\x9f\xbf\xf4\x8f\xbf\xbf")));
	assert_false(text_is_utf8(BYTES("\x80")));
	assert_false(text_is_utf8(BYTES("\xc0\x80")));         /* overlong */
	assert_false(text_is_utf8(BYTES("\xe0\x80\xaf")));     /* overlong */
	assert_false(text_is_utf8(BYTES("\xed\xa0\x80")));     /* a surrogate */
	assert_false(text_is_utf8(BYTES("\xf4\x90\x80\x80"))); /* above U+10FFFF */
	assert_false(text_is_utf8(BYTES("\xe2\x82")));         /* cut */
}

static void
what_is_printed_cannot_steer_a_terminal(void **state)
{
	struct buf out = {0};

	(void)state;
	text_append_printable(&out, BYTES("a\033[2J\n\xc2\x9b\xff\xc3\xa9"));
	assert_string_equal(buf_text(&out), "a\\x1b[2J\\x0a\\xc2\\x9b\\xff\xc3\xa9");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_token_prints_its_part_of_the_record),
	    cmocka_unit_test(escapes_in_a_format_are_bytes),
	    cmocka_unit_test(null_is_told_from_empty),
	    cmocka_unit_test(a_format_that_is_wrong_is_refused_with_the_place),
	    cmocka_unit_test(the_envelope_is_that_of_kcat),
	    cmocka_unit_test(the_envelope_keeps_bytes_that_are_no_text),
	    cmocka_unit_test(json_strings_escape_what_they_must),
	    cmocka_unit_test(base64_pads_each_remainder),
	    cmocka_unit_test(utf8_is_told_from_what_looks_like_it),
	    cmocka_unit_test(what_is_printed_cannot_steer_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
