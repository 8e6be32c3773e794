#include "cluster/internal_topic.h"

#define REPLACEMENT 0xfffd

/* Takes one character off text. Returns its code point, REPLACEMENT for a byte that begins none. */
static uint32_t
next_character(struct str *text)
{
	static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
	uint8_t first = (uint8_t)text->data[0];
	size_t more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	uint32_t c = first < 0x80 ? first : first & (0x3fu >> more);

	text->data++;
	text->len--;
	if (more == 0)
		return c;
	if (first < 0xc2 || first > 0xf4 || text->len < more)
		return REPLACEMENT;
	for (size_t i = 0; i < more; i++) {
		uint8_t byte = (uint8_t)text->data[i];

		if ((byte & 0xc0) != 0x80)
			return REPLACEMENT;
		c = c << 6 | (byte & 0x3f);
	}
	if (c < smallest[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return REPLACEMENT;
	text->data += more;
	text->len -= more;
	return c;
}

int32_t
internal_topic_partition_for(struct str id, int32_t count)
{
	uint32_t hash = 0;

	while (id.len > 0) {
		uint32_t c = next_character(&id);

		if (c >= 0x10000) { /* as two surrogates */
			c -= 0x10000;
			hash = hash * 31 + (0xd800 + (c >> 10));
			c = 0xdc00 + (c & 0x3ff);
		}
		hash = hash * 31 + c;
	}
	if (hash == 0x80000000u)
		return 0;
	return (int32_t)((hash & 0x80000000u) != 0 ? -hash : hash) % count;
}
