/*
 * time_text.c - times and durations as ISO 8601 writes them.
 */
#include "cli/time_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/command.h"

/* Exactly n digits. */
static bool
take_digits(const char **p, int n, int min, int max, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*p)[i]))
			return false;
		value = value * 10 + (*p)[i] - '0';
	}
	*p += n;
	*ret_value = value;
	return value >= min && value <= max;
}

static bool
take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01, for years from 1970. */
static int64_t
days_since_epoch(int year, int month, int day)
{
	int64_t days = day - 1;

	for (int m = 1; m < month; m++)
		days += days_in_month(year, m);
	for (int y = 1970; y < year; y++)
		days += days_in_month(y, 2) == 29 ? 366 : 365;
	return days;
}

/* "", "Z", "+01:00", "-0530" */
static bool
take_zone(const char **p, int *ret_minutes)
{
	int hours, minutes, sign;

	*ret_minutes = 0;
	if (**p == '\0' || take_char(p, 'Z') || take_char(p, 'z'))
		return true;
	if (**p != '+' && **p != '-')
		return false;
	sign = *(*p)++ == '-' ? -1 : 1;
	if (!take_digits(p, 2, 0, 23, &hours))
		return false;
	(void)take_char(p, ':');
	if (!take_digits(p, 2, 0, 59, &minutes))
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

static int
parse_iso8601(const char *p, int64_t *ret_ms)
{
	int year, month, day, hour = 0, minute = 0, second = 0, milli = 0, zone = 0;

	if (!take_digits(&p, 4, 1970, 9999, &year) || !take_char(&p, '-') ||
	    !take_digits(&p, 2, 1, 12, &month) || !take_char(&p, '-') ||
	    !take_digits(&p, 2, 1, days_in_month(year, month), &day))
		return -EINVAL;
	if (take_char(&p, 'T') || take_char(&p, 't') || take_char(&p, ' ')) {
		if (!take_digits(&p, 2, 0, 23, &hour) || !take_char(&p, ':') ||
		    !take_digits(&p, 2, 0, 59, &minute))
			return -EINVAL;
		if (take_char(&p, ':') && !take_digits(&p, 2, 0, 59, &second))
			return -EINVAL;
		if (take_char(&p, '.')) {
			int scale = 100;

			if (!isdigit((unsigned char)*p))
				return -EINVAL;
			for (; isdigit((unsigned char)*p); p++, scale /= 10)
				milli += (*p - '0') * scale;
		}
	}
	if (!take_zone(&p, &zone) || *p != '\0')
		return -EINVAL;
	*ret_ms = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - zone) * 60000 +
		  second * 1000 + milli;
	return 0;
}

int
time_parse(const char *text, int64_t *ret_ms)
{
	if (parse_int(text, 0, INT64_MAX, ret_ms) == 0)
		return 0;
	return parse_iso8601(text, ret_ms);
}

/* ---- durations ---- */

#define DIGITS_MAX 15

/* One or more digits. */
static bool
take_number(const char **p, int64_t *ret_value)
{
	int64_t value = 0;
	int digits = 0;

	for (; isdigit((unsigned char)**p); (*p)++) {
		if (++digits > DIGITS_MAX)
			return false;
		value = value * 10 + **p - '0';
	}
	*ret_value = value;
	return digits > 0;
}

/* What follows the point of the seconds, if there is one: up to nine digits, cut to ms. */
static bool
take_fraction(const char **p, int64_t *ret_ms)
{
	int scale = 100;

	*ret_ms = 0;
	if (!take_char(p, '.') && !take_char(p, ','))
		return true;
	for (int digits = 0; isdigit((unsigned char)**p); (*p)++, scale /= 10) {
		if (++digits > 9)
			return false;
		*ret_ms += (**p - '0') * scale;
	}
	return true;
}

/* The units of a duration in the order in which they may stand. */
static const struct {
	char letter;
	bool in_time; /* behind the T */
	int64_t ms;
} units[] = {
    {'D', false, 86400000},
    {'H', true, 3600000},
    {'M', true, 60000},
    {'S', true, 1000},
};

static int
unit_of(char letter, bool in_time)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (units[i].letter == toupper((unsigned char)letter) &&
		    units[i].in_time == in_time)
			return (int)i;
	}
	return -1;
}

int
duration_parse(const char *p, int64_t *ret_ms)
{
	int64_t total = 0, number, fraction, ms;
	bool in_time = false, unit_last = false;
	int next = 0;

	if (!take_char(&p, 'P') && !take_char(&p, 'p'))
		return -EINVAL;
	while (*p != '\0') {
		const char *before;
		int unit;

		if (!in_time && (take_char(&p, 'T') || take_char(&p, 't'))) {
			in_time = true;
			unit_last = false;
			continue;
		}
		if (!take_number(&p, &number))
			return -EINVAL;
		before = p;
		if (!take_fraction(&p, &fraction))
			return -EINVAL;
		unit = unit_of(*p, in_time);
		if (unit < next || (p != before && units[unit].letter != 'S'))
			return -EINVAL;
		if (__builtin_mul_overflow(number, units[unit].ms, &ms) ||
		    __builtin_add_overflow(total, ms + fraction, &total))
			return -EINVAL;
		next = unit + 1;
		unit_last = true;
		p++;
	}
	if (!unit_last)
		return -EINVAL;
	*ret_ms = total;
	return 0;
}

/* ---- writing ---- */

const char *
time_format(int64_t ms, char *text, size_t size)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, size, "?");
	return text;
}

const char *
duration_format(int64_t ms, char *text, size_t size)
{
	static const struct {
		const char *name;
		int64_t ms;
	} scale[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	size_t i = 0;
	int64_t rest;

	if (ms < 0)
		ms = 0;
	while (i < ARRAY_LEN(scale) - 1 && ms < scale[i].ms)
		i++;
	rest = i < 3 ? ms % scale[i].ms / scale[i + 1].ms : 0;
	if (rest > 0)
		snprintf(text, size, "%lld %s %lld %s", (long long)(ms / scale[i].ms),
			 scale[i].name, (long long)rest, scale[i + 1].name);
	else
		snprintf(text, size, "%lld %s", (long long)(ms / scale[i].ms), scale[i].name);
	return text;
}
