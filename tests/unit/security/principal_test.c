#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/asn1.h>

#include "security/principal.h"

struct entry {
	const char *type;
	const char *value;
	int set; /* as X509_NAME_add_entry_by_txt(): 0 a new relative name, -1 the one before */
};

static void
assert_subject(const struct entry *entries, size_t count, const char *expected)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	struct buf b = {0};

	for (size_t i = 0; i < count; i++)
		assert_int_equal(X509_NAME_add_entry_by_txt(name, entries[i].type, MBSTRING_UTF8,
							    (const uint8_t *)entries[i].value, -1,
							    -1, entries[i].set),
				 1);
	assert_int_equal(principal_subject(cert, &b), 0);
	assert_string_equal(buf_text(&b) == NULL ? "" : buf_text(&b), expected);
	buf_fini(&b);
	X509_free(cert);
}
#define ASSERT_SUBJECT(expected, ...)                                                              \
	assert_subject((struct entry[]){__VA_ARGS__},                                              \
		       sizeof((struct entry[]){__VA_ARGS__}) / sizeof(struct entry), expected)

static void
a_subject_is_written_last_component_first(void **state)
{
	(void)state;
	ASSERT_SUBJECT("CN=writeuser,OU=Unknown,O=Unknown,L=Unknown,ST=Unknown,C=DE",
		       {"C", "DE", 0}, {"ST", "Unknown", 0}, {"L", "Unknown", 0},
		       {"O", "Unknown", 0}, {"OU", "Unknown", 0}, {"CN", "writeuser", 0});
	ASSERT_SUBJECT("UID=u1,STREET=s,DC=example,DC=org", {"DC", "org", 0}, {"DC", "example", 0},
		       {"street", "s", 0}, {"UID", "u1", 0});
}

static void
special_characters_are_escaped_as_java_escapes_them(void **state)
{
	(void)state;
	ASSERT_SUBJECT("CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i\\#j",
		       {"CN", "a,b+c\"d\\e<f>g;h=i#j", 0});
	ASSERT_SUBJECT("CN=\\ \\ a b\\ ", {"CN", "  a b ", 0});
	ASSERT_SUBJECT("CN=J\xc3\xbcrgen", {"CN", "J\xc3\xbcrgen", 0});
}

static void
types_without_a_keyword_are_numbers_with_their_encoding(void **state)
{
	(void)state;
	/* An IA5String of "a@b". */
	ASSERT_SUBJECT("CN=x,1.2.840.113549.1.9.1=#1603614062", {"emailAddress", "a@b", 0},
		       {"CN", "x", 0});
}

static void
values_of_one_component_are_joined_by_plus(void **state)
{
	(void)state;
	ASSERT_SUBJECT("CN=a+OU=b,O=c", {"O", "c", 0}, {"CN", "a", 0}, {"OU", "b", -1});
}

static void
assert_maps(const char *rules, const char *dn, const char *expected)
{
	struct principal_rules *pr;
	struct buf b = {0};
	char err[256];
	int st;

	if (principal_rules_open(rules, err, sizeof(err), &pr) != 0)
		fail_msg("%s: %s", rules, err);
	st = principal_map(pr, dn, &b);
	if (expected == NULL)
		assert_int_equal(st, -ENOENT);
	else
		assert_string_equal(buf_text(&b), expected);
	buf_fini(&b);
	principal_rules_close(pr);
}

/* The cases of KIP-371 and of Kafka's documentation. */
static void
the_first_rule_that_matches_the_whole_name_is_applied(void **state)
{
	static const char rules[] =
	    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,"
	    "RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L,"
	    "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT";

	(void)state;
	assert_maps(rules, "CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke");
	assert_maps(rules, "CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme");
	assert_maps(rules, "cn=JohnSmith,o=x", "johnsmith");
	assert_maps(rules, "OU=JavaSoft,O=Sun Microsystems", "OU=JavaSoft,O=Sun Microsystems");
	assert_maps(NULL, "CN=a", "CN=a");
	assert_maps("RULE:^CN=(.*)$/$1/U", "CN=abc", "ABC");
	assert_maps("RULE:^CN=([^,]*)$/$1/", "CN=abc,O=x", NULL);
}

static void
replacements_follow_javas_rules(void **state)
{
	(void)state;
	assert_maps("RULE:^CN=(.)(.)$/$2\\$1$1/", "CN=ab", "b$1a");
	/* No such group: digits are dropped until there is one, or it stays as it is. */
	assert_maps("RULE:^CN=(.)(.)$/$12/", "CN=ab", "a2");
	assert_maps("RULE:^CN=(.)(.)$/$1@$4/", "CN=ab", "a@$4");
	assert_maps("RULE:^CN=(.)(.)$/$0!/", "CN=ab", "CN=ab!");
	assert_maps("RULE:^CN=a\\/b$/slash/", "CN=a/b", "slash");
	/* Matched as a whole, then replaced match by match. */
	assert_maps("RULE:(.)*?/<$1>/", "ab", "<>a<>b<>");
}

static void
mistakes_in_rules_are_told(void **state)
{
	static const struct {
		const char *rules, *says;
	} cases[] = {
	    {"RULE:^CN=(.*$/$1/", "the pattern"},
	    {"RULE:^CN=(.*)$", "RULE:pattern/replacement/[LU]"},
	    {"RULE:a/b", "RULE:pattern/replacement/[LU]"},
	    {"default", "neither DEFAULT"},
	    {"DEFAULT,foo", "neither DEFAULT"},
	    {"RULE:a/b/LU", "not expected"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct principal_rules *pr;
		char err[256];

		assert_int_equal(principal_rules_open(cases[i].rules, err, sizeof(err), &pr),
				 -EINVAL);
		if (strstr(err, cases[i].says) == NULL)
			fail_msg("'%s' says '%s'", cases[i].rules, err);
	}
}

static void
a_client_without_certificate_is_anonymous(void **state)
{
	struct principal_rules *pr;
	struct buf b = {0};
	char err[256];

	(void)state;
	assert_int_equal(principal_rules_open("RULE:^CN=(.*)$/$1/", err, sizeof(err), &pr), 0);
	assert_int_equal(principal_of_certificate(pr, NULL, &b), 0);
	assert_string_equal(buf_text(&b), "User:ANONYMOUS");
	buf_fini(&b);
	principal_rules_close(pr);
}

static void
a_pattern_that_would_run_for_ever_does_not_match(void **state)
{
	char dn[64] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";

	(void)state;
	assert_maps("RULE:(a*)*b/x/,DEFAULT", dn, dn);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_subject_is_written_last_component_first),
	    cmocka_unit_test(special_characters_are_escaped_as_java_escapes_them),
	    cmocka_unit_test(types_without_a_keyword_are_numbers_with_their_encoding),
	    cmocka_unit_test(values_of_one_component_are_joined_by_plus),
	    cmocka_unit_test(the_first_rule_that_matches_the_whole_name_is_applied),
	    cmocka_unit_test(replacements_follow_javas_rules),
	    cmocka_unit_test(mistakes_in_rules_are_told),
	    cmocka_unit_test(a_client_without_certificate_is_anonymous),
	    cmocka_unit_test(a_pattern_that_would_run_for_ever_does_not_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
