/* Offsets in a file: what --export prints and --from-file takes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/offsets_csv.h"

static int
parse(const char *text, struct offsets_csv *csv, struct buf *why)
{
	return offsets_csv_parse(csv, (struct slice){(const uint8_t *)text, strlen(text)}, why);
}

static void
assert_row(const struct offsets_csv *csv, size_t i, const char *group, const char *topic,
	   int32_t partition, int64_t offset)
{
	assert_true(i < csv->count);
	if (group == NULL)
		assert_null(csv->rows[i].group);
	else
		assert_string_equal(csv->rows[i].group, group);
	assert_string_equal(csv->rows[i].topic, topic);
	assert_int_equal(csv->rows[i].partition, partition);
	assert_int_equal(csv->rows[i].offset, offset);
}

static void
lines_without_a_group_are_read_and_sorted(void **state)
{
	struct offsets_csv csv;
	struct buf why = {0};

	(void)state;
	assert_int_equal(parse("b,10,5\nb,9,9223372036854775807\n\na,0,0", &csv, &why), 0);
	assert_false(csv.with_group);
	assert_int_equal(csv.count, 3);
	assert_row(&csv, 0, NULL, "a", 0, 0);
	assert_row(&csv, 1, NULL, "b", 9, INT64_MAX);
	assert_row(&csv, 2, NULL, "b", 10, 5);
	assert_int_equal(csv.rows[0].line, 4);
	offsets_csv_fini(&csv);
}

static void
lines_with_a_group_are_read(void **state)
{
	struct offsets_csv csv;
	struct buf why = {0};

	(void)state;
	assert_int_equal(parse("g2,t,0,7\ng1,t,0,8\n", &csv, &why), 0);
	assert_true(csv.with_group);
	assert_int_equal(csv.count, 2);
	assert_row(&csv, 0, "g1", "t", 0, 8);
	assert_row(&csv, 1, "g2", "t", 0, 7);
	offsets_csv_fini(&csv);
}

static void
a_groups_rows_are_found(void **state)
{
	const struct offsets_csv_row *rows;
	struct offsets_csv csv;
	struct buf why = {0};
	size_t count;

	(void)state;
	assert_int_equal(parse("b,t,1,1\nb,t,0,2\na,t,0,3\nc,t,0,4\n", &csv, &why), 0);
	rows = offsets_csv_of_group(&csv, "b", &count);
	assert_int_equal(count, 2);
	assert_int_equal(rows[0].offset, 2);
	rows = offsets_csv_of_group(&csv, "c", &count);
	assert_int_equal(count, 1);
	assert_int_equal(rows[0].offset, 4);
	(void)offsets_csv_of_group(&csv, "bb", &count);
	assert_int_equal(count, 0);
	(void)offsets_csv_of_group(&csv, "d", &count);
	assert_int_equal(count, 0);
	offsets_csv_fini(&csv);
	assert_int_equal(parse("t,1,1\nt,0,2\n", &csv, &why), 0);
	(void)offsets_csv_of_group(&csv, "any", &count);
	assert_int_equal(count, 2);
	offsets_csv_fini(&csv);
}

static void
quotes_blanks_line_ends_and_a_byte_order_mark_are_understood(void **state)
{
	struct offsets_csv csv;
	struct buf why = {0};

	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf\"a \"\"b\"\", c\",\"t\",\"1\",\"2\"\r\n"
			       " g , t , 3 , 4 \r\n\"x\ny\",t,5,6",
			       &csv, &why),
			 0);
	assert_int_equal(csv.count, 3);
	assert_row(&csv, 0, "a \"b\", c", "t", 1, 2);
	assert_row(&csv, 1, "g", "t", 3, 4);
	assert_row(&csv, 2, "x\ny", "t", 5, 6);
	offsets_csv_fini(&csv);
}

static void
a_mistake_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} bad[] = {
	    {"", "line 1: there is no offset"},
	    {"\n\n", "line 3: there is no offset"},
	    {"t,0,1\nt,1", "line 2: a line is topic,partition,offset"},
	    {"t", "line 1: a line is topic,partition,offset"},
	    {"g,t,0,1,2", "line 1: there are more than four fields"},
	    {"t,0,1,", "line 1: the offset is no number"},
	    {"t,x,1", "line 1: the partition is no number"},
	    {"t,-1,1", "line 1: the partition is no number"},
	    {"t,2147483648,1", "line 1: the partition is no number"},
	    {"t,,1", "line 1: the partition is no number"},
	    {"t,0,-1", "line 1: the offset is no number"},
	    {"t,0,1.5", "line 1: the offset is no number"},
	    {"t,0,9223372036854775808", "line 1: the offset is no number"},
	    {"t,0,", "line 1: the offset is no number"},
	    {"TOPIC,PARTITION,OFFSET\nt,0,1", "line 1: the partition is no number"},
	    {",0,1", "line 1: the topic is empty"},
	    {"\"\",t,0,1", "line 1: the group is empty"},
	    {"t,0,1\ng,t,0,1", "line 2: lines with and without a group are mixed"},
	    {"g,t,0,1\nt,0,1", "line 2: lines with and without a group are mixed"},
	    {"t,0,1\nt,1,2\n\nt,0,3", "lines 1 and 4: partition t-0 stands twice"},
	    {"t,0,1\n\"t,1,2\n", "line 2: a quote is not closed"},
	    {"\"t\"x,0,1", "line 1: something follows a closing quote"},
	    {"\"t\" ,0,1", "line 1: something follows a closing quote"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct offsets_csv csv;
		struct buf why = {0};

		assert_int_equal(parse(bad[i].text, &csv, &why), -EINVAL);
		assert_memory_equal(buf_text(&why), bad[i].why, strlen(bad[i].why));
		assert_null(csv.rows);
		buf_fini(&why);
	}
}

static void
a_nul_byte_is_refused(void **state)
{
	struct offsets_csv csv;
	struct buf why = {0};

	(void)state;
	assert_int_equal(
	    offsets_csv_parse(&csv, (struct slice){(const uint8_t *)"t,0,1\0", 6}, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "NUL"));
	buf_fini(&why);
}

static void
what_is_written_is_read_again(void **state)
{
	static const char *const groups[] = {"plain",   "with, comma", "\"quoted\"",
					     " blank ", "new\nline",   "\t"};
	struct buf out = {0}, why = {0};
	struct offsets_csv csv;
	bool found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		offsets_csv_append(&out, groups[i], "t", (int32_t)i, INT64_MAX);
	assert_memory_equal(buf_text(&out), "plain,t,0,9223372036854775807\n", 30);
	assert_int_equal(offsets_csv_parse(&csv, buf_slice(&out), &why), 0);
	assert_int_equal(csv.count, 6);
	for (size_t i = 0; i < csv.count; i++) {
		found = false;
		for (size_t j = 0; j < csv.count; j++)
			found |= strcmp(csv.rows[j].group, groups[i]) == 0 &&
				 csv.rows[j].partition == (int32_t)i;
		assert_true(found);
	}
	offsets_csv_fini(&csv);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_without_a_group_are_read_and_sorted),
	    cmocka_unit_test(lines_with_a_group_are_read),
	    cmocka_unit_test(a_groups_rows_are_found),
	    cmocka_unit_test(quotes_blanks_line_ends_and_a_byte_order_mark_are_understood),
	    cmocka_unit_test(a_mistake_is_told_with_its_line),
	    cmocka_unit_test(a_nul_byte_is_refused),
	    cmocka_unit_test(what_is_written_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
