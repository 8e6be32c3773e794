/*
 * codec_decode.c - reads messages by their tables.
 *
 * Invariants: no byte is read before it is known to be there; no memory is asked for an array
 * before its count was held against the bytes that are left, of which each element takes at least
 * min_bytes; all memory comes from the arena, whose limit bounds what a frame can make of us.
 */
#include <errno.h>

#include "wire/codec.h"
#include "wire/varint.h"

/* How one message is read: fixed for the whole of it. */
struct mode {
	int version;
	bool flexible;
};

static int decode_struct(struct wire_in *in, const struct wire_struct *s, struct mode mode,
			 char *base);

void
wire_in_init(struct wire_in *in, struct slice frame, struct arena *arena)
{
	*in = (struct wire_in){
	    .start = frame.data,
	    .next = frame.data,
	    .end = frame.data + frame.len,
	    .arena = arena,
	};
}

static int
fail(struct wire_in *in, const char *why)
{
	if (in->failed_why == NULL) {
		in->failed_why = why;
		in->failed_pos = (size_t)(in->next - in->start);
	}
	return -EBADMSG;
}

static int
no_memory(struct wire_in *in)
{
	fail(in, "more memory needed than a message may have");
	return -ENOMEM;
}

static inline const uint8_t *
take(struct wire_in *in, size_t n)
{
	const uint8_t *p = in->next;

	if (n > wire_in_left(in))
		return NULL;
	in->next += n;
	return p;
}

/* How many bytes a value of a fixed size has; 0 for the others. */
static inline size_t
fixed_bytes(uint8_t type)
{
	static const uint8_t bytes[] = {
	    [WIRE_BOOL] = 1,   [WIRE_INT8] = 1,   [WIRE_INT16] = 2, [WIRE_UINT16] = 2,
	    [WIRE_INT32] = 4,  [WIRE_UINT32] = 4, [WIRE_INT64] = 8, [WIRE_FLOAT64] = 8,
	    [WIRE_UUID] = 16,  [WIRE_STRING] = 0, [WIRE_BYTES] = 0, [WIRE_RECORDS] = 0,
	    [WIRE_STRUCT] = 0,
	};

	return bytes[type];
}

static inline void
store_fixed(uint8_t type, const uint8_t *p, char *to)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (type) {
	case WIRE_BOOL:
		*(bool *)to = *p != 0;
		break;
	case WIRE_INT8:
		*(int8_t *)to = (int8_t)*p;
		break;
	case WIRE_INT16:
	case WIRE_UINT16:
		v16 = get_be16(p);
		memcpy(to, &v16, 2);
		break;
	case WIRE_INT32:
	case WIRE_UINT32:
		v32 = get_be32(p);
		memcpy(to, &v32, 4);
		break;
	case WIRE_INT64:
	case WIRE_FLOAT64:
		v64 = get_be64(p);
		memcpy(to, &v64, 8);
		break;
	default:
		memcpy(to, p, sizeof(struct uuid));
		break;
	}
}

/*
 * A length or count, -1 for null: compact ones are one more than the value, the others have
 * fixed bytes, two for strings.
 */
static int
take_length(struct wire_in *in, bool compact, size_t fixed, bool nullable, int64_t *ret_len)
{
	const uint8_t *p;
	uint32_t v;
	int64_t len;

	if (compact) {
		if (!uvarint_read(&in->next, in->end, &v))
			return fail(in, "cut off or too long length");
		len = (int64_t)v - 1;
	} else {
		p = take(in, fixed);
		if (p == NULL)
			return fail(in, "cut off length");
		len = fixed == 2 ? (int16_t)get_be16(p) : (int32_t)get_be32(p);
	}
	if (len < -1)
		return fail(in, "negative length");
	if (len == -1 && !nullable)
		return fail(in, "null where there must be a value");
	*ret_len = len;
	return 0;
}

static int
decode_string(struct wire_in *in, bool compact, bool nullable, struct str *to)
{
	const uint8_t *p;
	int64_t len;
	char *copy;
	int st;

	st = take_length(in, compact, 2, nullable, &len);
	if (st != 0)
		return st;
	if (len < 0) {
		*to = (struct str){NULL, 0};
		return 0;
	}
	if (len > INT16_MAX)
		return fail(in, "string of more than 32767 bytes");
	p = take(in, (size_t)len);
	if (p == NULL)
		return fail(in, "string longer than the message");
	if (len == 0) {
		*to = (struct str){"", 0};
		return 0;
	}
	copy = arena_strdup(in->arena, (const char *)p, (size_t)len);
	if (copy == NULL)
		return no_memory(in);
	*to = (struct str){copy, (size_t)len};
	return 0;
}

static int
decode_bytes(struct wire_in *in, bool compact, bool nullable, struct slice *to)
{
	const uint8_t *p;
	int64_t len;
	int st;

	st = take_length(in, compact, 4, nullable, &len);
	if (st != 0)
		return st;
	if (len < 0) {
		*to = (struct slice){NULL, 0};
		return 0;
	}
	p = take(in, (size_t)len);
	if (p == NULL)
		return fail(in, "bytes longer than the message");
	*to = (struct slice){p, (size_t)len};
	return 0;
}

/* A struct that may be null: one byte tells whether it follows. */
static int
decode_pointer(struct wire_in *in, const struct wire_field *f, bool nullable, struct mode mode,
	       char *to)
{
	const uint8_t *p = NULL;
	char *sub;

	if (nullable) {
		p = take(in, 1);
		if (p == NULL)
			return fail(in, "cut off before a struct");
		if ((int8_t)*p < 0)
			return 0; /* stays NULL */
	}
	sub = arena_alloc(in->arena, f->sub->size);
	if (sub == NULL)
		return no_memory(in);
	memcpy(to, &sub, sizeof(sub));
	return decode_struct(in, f->sub, mode, sub);
}

static inline size_t
element_size(const struct wire_field *f)
{
	switch (f->type) {
	case WIRE_STRING:
		return sizeof(struct str);
	case WIRE_BYTES:
		return sizeof(struct slice);
	case WIRE_STRUCT:
		return f->sub->size;
	default:
		return fixed_bytes(f->type);
	}
}

static int
decode_elements(struct wire_in *in, const struct wire_field *f, struct mode mode, bool compact,
		char *items, int64_t count)
{
	size_t size = element_size(f);
	const uint8_t *p;
	int st = 0;

	if (fixed_bytes(f->type) != 0) { /* their room was checked with the count */
		p = take(in, (size_t)count * size);
		for (int64_t i = 0; p != NULL && i < count; i++, items += size, p += size)
			store_fixed(f->type, p, items);
		return 0;
	}
	for (int64_t i = 0; st == 0 && i < count; i++, items += size) {
		if (f->type == WIRE_STRUCT)
			st = decode_struct(in, f->sub, mode, items);
		else if (f->type == WIRE_STRING)
			st = decode_string(in, compact, false, (struct str *)(void *)items);
		else
			st = decode_bytes(in, compact, false, (struct slice *)(void *)items);
	}
	return st;
}

static int
decode_array(struct wire_in *in, const struct wire_field *f, bool nullable, struct mode mode,
	     char *to)
{
	bool compact = mode.flexible;
	size_t min_bytes = f->type == WIRE_STRUCT ? f->sub->min_bytes : fixed_bytes(f->type);
	int64_t count;
	int32_t count32;
	char *items;
	int st;

	st = take_length(in, compact, 4, nullable, &count);
	if (st != 0)
		return st;
	if (min_bytes == 0)
		min_bytes = 1;
	if (count > 0 && (uint64_t)count > wire_in_left(in) / min_bytes)
		return fail(in, "array with more elements than the message has room for");
	count32 = (int32_t)count;
	memcpy(to + sizeof(void *), &count32, sizeof(count32));
	if (count <= 0)
		return 0;
	items = arena_calloc(in->arena, (size_t)count, element_size(f));
	if (items == NULL)
		return no_memory(in);
	memcpy(to, &items, sizeof(items));
	return decode_elements(in, f, mode, compact, items, count);
}

static int
decode_field(struct wire_in *in, const struct wire_field *f, struct mode mode, char *to)
{
	bool nullable = mode.version >= f->null_since && mode.version <= f->null_until;
	bool compact = mode.flexible && (f->flags & WIRE_INFLEXIBLE) == 0;
	const uint8_t *p;
	size_t n;

	if ((f->flags & WIRE_ARRAY) != 0)
		return decode_array(in, f, nullable, mode, to);
	n = fixed_bytes(f->type);
	if (n != 0) {
		p = take(in, n);
		if (p == NULL)
			return fail(in, "cut off");
		store_fixed(f->type, p, to);
		return 0;
	}
	switch (f->type) {
	case WIRE_STRING:
		return decode_string(in, compact, nullable, (struct str *)(void *)to);
	case WIRE_BYTES:
		return decode_bytes(in, compact, nullable, (struct slice *)(void *)to);
	case WIRE_RECORDS:
		return decode_bytes(in, compact, nullable,
				    &((struct wire_records *)(void *)to)->data);
	default:
		if ((f->flags & WIRE_POINTER) != 0)
			return decode_pointer(in, f, nullable, mode, to);
		return decode_struct(in, f->sub, mode, to);
	}
}

static const struct wire_field *
find_tag(const struct wire_struct *s, int version, uint32_t tag)
{
	for (uint16_t i = s->regular_count; i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];

		if (f->tag == tag && version >= f->since && version <= f->until)
			return f;
	}
	return NULL;
}

/* Tagged fields: known ones must fill exactly the size they tell; unknown ones are skipped. */
static int
decode_tags(struct wire_in *in, const struct wire_struct *s, struct mode mode, char *base)
{
	uint32_t count;

	if (!uvarint_read(&in->next, in->end, &count))
		return fail(in, "cut off before the tagged fields");
	while (count-- > 0) {
		const uint8_t *message_end = in->end;
		const struct wire_field *f;
		uint32_t tag;
		uint32_t size;
		int st;

		if (!uvarint_read(&in->next, in->end, &tag) ||
		    !uvarint_read(&in->next, in->end, &size) || size > wire_in_left(in))
			return fail(in, "tagged field longer than the message");
		f = find_tag(s, mode.version, tag);
		if (f == NULL) {
			in->next += size;
			continue;
		}
		in->end = in->next + size;
		st = decode_field(in, f, mode, base + f->offset);
		if (st == 0 && in->next != in->end)
			st = fail(in, "tagged field shorter than its size");
		in->end = message_end;
		if (st != 0) {
			if (in->failed_field == NULL)
				in->failed_field = f->name;
			return st;
		}
	}
	return 0;
}

static inline void
set_default(const struct wire_field *f, char *to)
{
	int32_t null_count = -1;

	if ((f->flags & WIRE_ARRAY) != 0) {
		memcpy(to + sizeof(void *), &null_count, sizeof(null_count));
		return;
	}
	switch (f->type) {
	case WIRE_BOOL:
		*(bool *)to = f->number != 0;
		break;
	case WIRE_INT8:
	case WIRE_INT16:
	case WIRE_UINT16:
	case WIRE_INT32:
	case WIRE_UINT32:
	case WIRE_INT64:
		memcpy(to, &f->number, fixed_bytes(f->type)); /* little-endian */
		break;
	case WIRE_STRING:
		*(struct str *)(void *)to = (struct str){"", 0};
		break;
	case WIRE_BYTES:
		*(struct slice *)(void *)to = (struct slice){(const uint8_t *)"", 0};
		break;
	default:
		wire_init(f->sub, to);
		break;
	}
}

/* base: zeroed. */
static int
decode_struct(struct wire_in *in, const struct wire_struct *s, struct mode mode, char *base)
{
	const struct wire_field *f = s->fields;
	const struct wire_field *regular_end = f + s->regular_count;
	const struct wire_field *end = f + s->field_count;
	int st;

	for (; f < regular_end; f++) {
		if (mode.version < f->since || mode.version > f->until) {
			if ((f->flags & WIRE_SET_DEFAULT) != 0)
				set_default(f, base + f->offset);
			continue;
		}
		st = decode_field(in, f, mode, base + f->offset);
		if (st != 0) {
			if (in->failed_field == NULL)
				in->failed_field = f->name;
			return st;
		}
	}
	for (; f < end; f++) {
		if ((f->flags & WIRE_SET_DEFAULT) != 0)
			set_default(f, base + f->offset);
	}
	return mode.flexible ? decode_tags(in, s, mode, base) : 0;
}

void
wire_init(const struct wire_struct *s, void *m)
{
	memset(m, 0, s->size);
	for (uint16_t i = 0; i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];

		if ((f->flags & WIRE_SET_DEFAULT) != 0)
			set_default(f, (char *)m + f->offset);
	}
}

void *
wire_new(const struct wire_struct *s, struct arena *arena, int32_t count)
{
	char *items = count < 0 ? NULL : arena_calloc(arena, (size_t)count, s->size);

	for (int32_t i = 0; items != NULL && i < count; i++)
		wire_init(s, items + (size_t)i * s->size);
	return items;
}

int
wire_decode(const struct wire_schema *schema, void *m, int version, struct wire_in *in)
{
	int st = -EINVAL;

	memset(m, 0, schema->root.size);
	if (version < schema->since || version > schema->until)
		fail(in, "no such version");
	else
		st = decode_struct(in, &schema->root,
				   (struct mode){version, version >= schema->flexible_since}, m);
	if (st != 0 && in->failed_field == NULL)
		in->failed_field = schema->root.name;
	return st;
}

int
wire_data_read(const struct wire_schema *schema, void *m, struct slice data, struct arena *arena,
	       int *ret_version)
{
	struct wire_in in;
	int version;
	int st;

	if (data.len < 2)
		return -EBADMSG;
	version = (int16_t)get_be16(data.data);
	wire_in_init(&in, (struct slice){data.data + 2, data.len - 2}, arena);
	st = wire_decode(schema, m, version, &in);
	if (st == 0)
		*ret_version = version;
	return st;
}
