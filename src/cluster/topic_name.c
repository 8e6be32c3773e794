#include "cluster/topic_name.h"

#include <ctype.h>

const char *
topic_name_refusal(struct str name)
{
	if (name.len == 0)
		return "a topic name must not be empty";
	if (str_equal(name, str_of(".")) || str_equal(name, str_of("..")))
		return "a topic name must not be '.' or '..'";
	if (name.len > TOPIC_NAME_MAX)
		return "a topic name must not be longer than 249 characters";
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];

		if (c >= 0x80 || (!isalnum(c) && c != '.' && c != '_' && c != '-'))
			return "a topic name may hold letters, digits, '.', '_' and '-' only";
	}
	return NULL;
}

bool
topic_name_is_internal(struct str name)
{
	return str_equal(name, str_of(TOPIC_CONSUMER_OFFSETS)) ||
	       str_equal(name, str_of(TOPIC_TRANSACTION_STATE));
}

bool
topic_names_collide(const char *a, const char *b)
{
	for (; *a != '\0' && *b != '\0'; a++, b++) {
		char x = *a == '.' ? '_' : *a, y = *b == '.' ? '_' : *b;

		if (x != y)
			return false;
	}
	return *a == *b;
}
