/*
 * Java's RFC 2253 form: the last component first; the nine attribute types that RFC 2253 names by
 * their keyword, any other by its number; string values escaped with a backslash, values of types
 * without a keyword, or that are no string, as "#" and the hex of their DER encoding. Characters
 * beyond ASCII stay as they are, in UTF-8.
 *
 * A rule applies when its pattern matches the whole name. Its replacement then replaces every
 * match, as Java's replaceAll does: "$n" is a group, "\" takes the next character literally. A
 * "$n" beyond the last group loses digits until it names one; if it cannot, it stays as it is.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "security/principal.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#define MATCH_LIMIT 1000000

struct rule {
	struct rule *next;
	pcre2_code *whole;   /* matches the whole name only */
	pcre2_code *pattern; /* NULL: DEFAULT */
	char *replacement;
	char letter_case; /* 'L', 'U' or 0 */
};

struct principal_rules {
	struct rule *first;
};

/* ---- the distinguished name ---- */

static const char *
keyword_of(const ASN1_OBJECT *type)
{
	static const struct {
		int nid;
		const char *keyword;
	} keywords[] = {
	    {NID_commonName, "CN"},        {NID_countryName, "C"},
	    {NID_localityName, "L"},       {NID_stateOrProvinceName, "ST"},
	    {NID_organizationName, "O"},   {NID_organizationalUnitName, "OU"},
	    {NID_streetAddress, "STREET"}, {NID_domainComponent, "DC"},
	    {NID_userId, "UID"},
	};
	int nid = OBJ_obj2nid(type);

	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (keywords[i].nid == nid)
			return keywords[i].keyword;
	return NULL;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\r';
}

/* Text as Java escapes it: '#' and '=' everywhere, more than RFC 2253 asks for. */
static void
append_escaped(struct buf *out, const uint8_t *text, size_t len)
{
	size_t first = 0, last = len;

	while (first < len && is_blank(text[first]))
		first++;
	while (last > first && is_blank(text[last - 1]))
		last--;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0') {
			buf_append(out, "\\00", 3);
			continue;
		}
		if (i < first || i >= last || strchr(",=+<>#;\"\\", text[i]) != NULL)
			buf_append_u8(out, '\\');
		buf_append_u8(out, text[i]);
	}
}

static int
append_hex(struct buf *out, const ASN1_STRING *value)
{
	/* The DER encoding of the value itself, with its tag and length. */
	ASN1_TYPE type = {0};
	unsigned char *der = NULL;
	int len;

	type.type = ASN1_STRING_type(value);
	type.value.asn1_string = (ASN1_STRING *)(uintptr_t)value;
	len = i2d_ASN1_TYPE(&type, &der);
	if (len < 0) {
		ERR_clear_error();
		return -EINVAL;
	}
	buf_append_u8(out, '#');
	for (int i = 0; i < len; i++)
		buf_printf(out, "%02x", der[i]);
	OPENSSL_free(der);
	return 0;
}

static int
append_attribute(struct buf *out, const X509_NAME_ENTRY *entry)
{
	const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(entry);
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
	const char *keyword = keyword_of(type);
	unsigned char *text = NULL;
	char number[128];
	int len;

	if (keyword == NULL) {
		OBJ_obj2txt(number, sizeof(number), type, 1);
		buf_printf(out, "%s=", number);
		return append_hex(out, value);
	}
	buf_printf(out, "%s=", keyword);
	len = ASN1_STRING_to_UTF8(&text, value);
	if (len < 0) {
		ERR_clear_error();
		return append_hex(out, value);
	}
	append_escaped(out, text, (size_t)len);
	OPENSSL_free(text);
	return 0;
}

int
principal_subject(const X509 *cert, struct buf *out)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int count = X509_NAME_entry_count(name), previous = -1;

	/* Entries of one relative name share a set; within it their order stays. */
	for (int last = count - 1; last >= 0;) {
		int set = X509_NAME_ENTRY_set(X509_NAME_get_entry(name, last)), first = last;

		while (first > 0 &&
		       X509_NAME_ENTRY_set(X509_NAME_get_entry(name, first - 1)) == set)
			first--;
		for (int i = first; i <= last; i++) {
			int st;

			if (previous >= 0)
				buf_append_u8(out, previous == set ? '+' : ',');
			previous = set;
			st = append_attribute(out, X509_NAME_get_entry(name, i));
			if (st != 0)
				return st;
		}
		last = first - 1;
	}
	return out->failed ? -ENOMEM : 0;
}

/* ---- the rules ---- */

static void
rule_free(struct rule *rule)
{
	pcre2_code_free(rule->whole);
	pcre2_code_free(rule->pattern);
	free(rule->replacement);
	free(rule);
}

static int
compile(const char *pattern, size_t len, uint32_t options, char *err, size_t err_len,
	pcre2_code **ret_code)
{
	PCRE2_UCHAR message[128];
	PCRE2_SIZE at;
	int error;

	*ret_code = pcre2_compile((PCRE2_SPTR)pattern, len, options | PCRE2_UTF, &error, &at, NULL);
	if (*ret_code != NULL)
		return 0;
	pcre2_get_error_message(error, message, sizeof(message));
	snprintf(err, err_len, "ssl.principal.mapping.rules: the pattern '%.*s' is wrong: %s",
		 (int)len, pattern, (const char *)message);
	return -EINVAL;
}

/* The end of a part that runs to the next unescaped '/', or NULL. */
static const char *
part_end(const char *p)
{
	for (; *p != '\0' && *p != '/'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '/' ? p : NULL;
}

/* Reads "RULE:pattern/replacement/[LU]" at *text; what follows up to the comma must be blank. */
static int
parse_rule(const char **text, char *err, size_t err_len, struct rule *rule)
{
	const char *pattern = *text + strlen("RULE:"), *start = *text;
	const char *end = part_end(pattern), *replacement, *p;
	int st;

	replacement = end == NULL ? NULL : end + 1;
	p = replacement == NULL ? NULL : part_end(replacement);
	if (p == NULL) {
		snprintf(err, err_len,
			 "ssl.principal.mapping.rules: '%s' is not RULE:pattern/replacement/[LU]",
			 start);
		return -EINVAL;
	}
	rule->replacement = strndup(replacement, (size_t)(p - replacement));
	if (rule->replacement == NULL)
		return -ENOMEM;
	p++;
	if (*p == 'L' || *p == 'U')
		rule->letter_case = *p++;
	p += strspn(p, " \t");
	if (*p != ',' && *p != '\0') {
		snprintf(err, err_len,
			 "ssl.principal.mapping.rules: '%s' is not expected after a rule", p);
		return -EINVAL;
	}
	*text = p;
	st = compile(pattern, (size_t)(end - pattern), 0, err, err_len, &rule->pattern);
	if (st == 0)
		st = compile(pattern, (size_t)(end - pattern), PCRE2_ANCHORED | PCRE2_ENDANCHORED,
			     err, err_len, &rule->whole);
	return st;
}

int
principal_rules_open(const char *rules, char *err, size_t err_len,
		     struct principal_rules **ret_rules)
{
	struct principal_rules *pr = calloc(1, sizeof(*pr));
	struct rule **last;
	const char *p = rules == NULL || rules[0] == '\0' ? "DEFAULT" : rules;
	int st = 0;

	if (pr == NULL)
		return -ENOMEM;
	err[0] = '\0';
	last = &pr->first;
	while (st == 0) {
		struct rule *rule;

		p += strspn(p, ", \t\r\n");
		if (*p == '\0')
			break;
		rule = calloc(1, sizeof(*rule));
		if (rule == NULL) {
			st = -ENOMEM;
			break;
		}
		*last = rule;
		last = &rule->next;
		if (strncmp(p, "DEFAULT", 7) == 0 && strchr(", \t\r\n", p[7]) != NULL) {
			p += 7;
		} else if (strncmp(p, "RULE:", 5) == 0) {
			st = parse_rule(&p, err, err_len, rule);
		} else {
			snprintf(err, err_len,
				 "ssl.principal.mapping.rules: '%s' begins with neither DEFAULT "
				 "nor RULE:",
				 p);
			st = -EINVAL;
		}
	}
	if (st != 0)
		principal_rules_close(pr);
	else
		*ret_rules = pr;
	return st;
}

void
principal_rules_close(struct principal_rules *pr)
{
	if (pr == NULL)
		return;
	while (pr->first != NULL) {
		struct rule *next = pr->first->next;

		rule_free(pr->first);
		pr->first = next;
	}
	free(pr);
}

/* The group that "$digits" names, and how many digits belong to it; -1: none, it is literal. */
static int
group_of(const char *digits, uint32_t group_count, int *ret_digits)
{
	int group = 0, used = 0;

	if (group_count == 0)
		return -1;
	while (used < 4 && isdigit((unsigned char)digits[used])) {
		int next = group * 10 + (digits[used] - '0');

		if (used > 0 && next > (int)group_count)
			break;
		group = next;
		used++;
	}
	*ret_digits = used;
	return used == 0 || group > (int)group_count ? -1 : group;
}

static void
append_replacement(struct buf *out, const struct rule *rule, const char *name, const PCRE2_SIZE *at,
		   uint32_t group_count)
{
	const char *p = rule->replacement;

	while (*p != '\0') {
		int digits = 0, group;

		if (*p == '\\' && p[1] != '\0') {
			buf_append_u8(out, (uint8_t)p[1]);
			p += 2;
			continue;
		}
		group = *p == '$' ? group_of(p + 1, group_count, &digits) : -1;
		if (group < 0) {
			buf_append_u8(out, (uint8_t)*p++);
			continue;
		}
		if (at[2 * group] != PCRE2_UNSET)
			buf_append(out, name + at[2 * group], at[2 * group + 1] - at[2 * group]);
		p += 1 + digits;
	}
}

/* Every match of the pattern in name, replaced; the first one is sure to be there. */
static void
replace_all(struct buf *out, const struct rule *rule, const char *name, size_t len,
	    pcre2_match_data *match, pcre2_match_context *limits)
{
	uint32_t group_count;
	size_t pos = 0, from = 0;

	pcre2_pattern_info(rule->pattern, PCRE2_INFO_CAPTURECOUNT, &group_count);
	while (from <= len &&
	       pcre2_match(rule->pattern, (PCRE2_SPTR)name, len, from, 0, match, limits) > 0) {
		const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);

		buf_append(out, name + pos, at[0] - pos);
		append_replacement(out, rule, name, at, group_count);
		pos = at[1];
		from = at[1] > at[0] ? at[1] : at[1] + 1;
		while (from < len && ((uint8_t)name[from] & 0xc0) == 0x80)
			from++;
	}
	buf_append(out, name + pos, len - pos);
}

/* 0, -ENOENT when it does not match, -ENOMEM. */
static int
apply(const struct rule *rule, const char *name, size_t len, struct buf *out)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_match_data *match = pcre2_match_data_create_from_pattern(rule->pattern, NULL);
	size_t start = out->len;
	int st = -ENOMEM;

	if (limits == NULL || match == NULL)
		goto out;
	pcre2_set_match_limit(limits, MATCH_LIMIT);
	st = -ENOENT;
	if (pcre2_match(rule->whole, (PCRE2_SPTR)name, len, 0, 0, match, limits) <= 0)
		goto out;
	replace_all(out, rule, name, len, match, limits);
	for (size_t i = start; i < out->len && rule->letter_case != 0; i++)
		if (out->data[i] < 0x80)
			out->data[i] = (uint8_t)(rule->letter_case == 'L' ? tolower(out->data[i])
									  : toupper(out->data[i]));
	st = out->failed ? -ENOMEM : 0;
out:
	pcre2_match_data_free(match);
	pcre2_match_context_free(limits);
	return st;
}

int
principal_map(const struct principal_rules *pr, const char *dn, struct buf *out)
{
	size_t len = strlen(dn);

	for (const struct rule *rule = pr->first; rule != NULL; rule = rule->next) {
		int st;

		if (rule->pattern == NULL) {
			buf_append(out, dn, len);
			return out->failed ? -ENOMEM : 0;
		}
		st = apply(rule, dn, len, out);
		if (st != -ENOENT)
			return st;
	}
	return -ENOENT;
}

int
principal_of_certificate(const struct principal_rules *pr, const X509 *cert, struct buf *out)
{
	struct buf dn = {0};
	int st;

	if (cert == NULL) {
		buf_append(out, PRINCIPAL_ANONYMOUS, strlen(PRINCIPAL_ANONYMOUS));
		return out->failed ? -ENOMEM : 0;
	}
	st = principal_subject(cert, &dn);
	buf_append(out, "User:", 5);
	if (st == 0)
		st = buf_text(&dn) == NULL ? -ENOMEM : principal_map(pr, buf_text(&dn), out);
	buf_fini(&dn);
	return st;
}
