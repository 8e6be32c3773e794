/*
 * codec_encode.c - writes messages by their tables.
 *
 * A field that a version does not have is left out when it has its default or is ignorable;
 * otherwise the message cannot be written in this version, as in Kafka. A string or bytes that are
 * null where the version knows no null are written as empty.
 *
 * The size of a tagged field goes before it, as a varint: the field is written first and moved up
 * by as many bytes as its size then needs. Records are never inside a tagged field.
 */
#include <errno.h>
#include <stdlib.h>

#include "wire/codec.h"
#include "wire/varint.h"

struct mode {
	int version;
	bool flexible;
};

static int encode_struct(struct wire_out *out, const struct wire_struct *s, struct mode mode,
			 const char *base);
static bool struct_is_default(const struct wire_struct *s, const char *base);

void
wire_out_init(struct wire_out *out, struct buf *buf)
{
	*out = (struct wire_out){.buf = buf};
}

void
wire_out_fini(struct wire_out *out)
{
	free(out->insertions);
	*out = (struct wire_out){.buf = out->buf};
}

int
wire_out_flatten(const struct wire_out *out, struct buf *to)
{
	size_t done = 0;

	for (size_t i = 0; i < out->insertion_count; i++) {
		const struct wire_insertion *ins = &out->insertions[i];

		buf_append(to, out->buf->data + done, ins->at - done);
		buf_append(to, ins->records.data.data, ins->records.data.len);
		done = ins->at;
	}
	buf_append(to, out->buf->data + done, out->buf->len - done);
	return to->failed ? -ENOMEM : 0;
}

static int
fail(struct wire_out *out, const char *why)
{
	if (out->failed_why == NULL)
		out->failed_why = why;
	return -EINVAL;
}

/* Room for n bytes, or NULL with buf->failed set, which wire_encode() looks at in the end. */
static inline uint8_t *
extend(struct wire_out *out, size_t n)
{
	struct buf *b = out->buf;
	uint8_t *p;

	if (n > b->cap - b->len)
		return buf_extend(b, n);
	p = b->data + b->len;
	b->len += n;
	return p;
}

static void
put_uvarint(struct wire_out *out, uint32_t v)
{
	uint8_t bytes[VARINT_MAX_BYTES];
	size_t n = (size_t)(uvarint_write(bytes, v) - bytes);
	uint8_t *p = extend(out, n);

	if (p != NULL)
		memcpy(p, bytes, n);
}

static int
put_length(struct wire_out *out, bool compact, size_t fixed, int64_t len)
{
	uint8_t *p;

	if (len > (fixed == 2 ? INT16_MAX : INT32_MAX))
		return fail(out, "longer than the protocol can tell");
	if (compact) {
		put_uvarint(out, (uint32_t)(len + 1));
		return 0;
	}
	p = extend(out, fixed);
	if (p != NULL && fixed == 2)
		put_be16(p, (uint16_t)len);
	else if (p != NULL)
		put_be32(p, (uint32_t)len);
	return 0;
}

static int
put_bytes(struct wire_out *out, bool compact, size_t fixed, bool nullable, const void *data,
	  size_t len)
{
	uint8_t *p;
	int st;

	if (data == NULL && nullable)
		return put_length(out, compact, fixed, -1);
	if (data == NULL)
		len = 0;
	st = put_length(out, compact, fixed, (int64_t)len);
	if (st != 0 || len == 0)
		return st;
	p = extend(out, len);
	if (p != NULL)
		memcpy(p, data, len);
	return 0;
}

static int
note_insertion(struct wire_out *out, const struct wire_records *r)
{
	if (out->insertion_count == out->insertion_cap) {
		size_t cap = out->insertion_cap == 0 ? 4 : out->insertion_cap * 2;
		struct wire_insertion *grown =
		    reallocarray(out->insertions, cap, sizeof(*out->insertions));

		if (grown == NULL)
			return -ENOMEM;
		out->insertions = grown;
		out->insertion_cap = cap;
	}
	out->insertions[out->insertion_count++] = (struct wire_insertion){out->buf->len, *r};
	out->inserted_bytes += wire_records_len(r);
	return 0;
}

static int
put_records(struct wire_out *out, bool compact, bool nullable, const struct wire_records *r)
{
	size_t len = wire_records_len(r);
	int st;

	if (r->file == NULL && len <= WIRE_COPY_MAX)
		return put_bytes(out, compact, 4, nullable, r->data.data, len);
	st = put_length(out, compact, 4, (int64_t)len);
	if (st != 0 || len == 0)
		return st;
	return note_insertion(out, r);
}

/* Values of a fixed size. False for other types. */
static inline bool
put_fixed(struct wire_out *out, uint8_t type, const char *from)
{
	uint8_t *p;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (type) {
	case WIRE_BOOL:
	case WIRE_INT8:
		p = extend(out, 1);
		if (p != NULL)
			*p = (uint8_t)*from;
		return true;
	case WIRE_INT16:
	case WIRE_UINT16:
		memcpy(&v16, from, 2);
		p = extend(out, 2);
		if (p != NULL)
			put_be16(p, v16);
		return true;
	case WIRE_INT32:
	case WIRE_UINT32:
		memcpy(&v32, from, 4);
		p = extend(out, 4);
		if (p != NULL)
			put_be32(p, v32);
		return true;
	case WIRE_INT64:
	case WIRE_FLOAT64:
		memcpy(&v64, from, 8);
		p = extend(out, 8);
		if (p != NULL)
			put_be64(p, v64);
		return true;
	case WIRE_UUID:
		p = extend(out, sizeof(struct uuid));
		if (p != NULL)
			memcpy(p, from, sizeof(struct uuid));
		return true;
	default:
		return false;
	}
}

static const size_t element_sizes[] = {
    [WIRE_BOOL] = sizeof(bool),
    [WIRE_INT8] = 1,
    [WIRE_INT16] = 2,
    [WIRE_UINT16] = 2,
    [WIRE_INT32] = 4,
    [WIRE_UINT32] = 4,
    [WIRE_INT64] = 8,
    [WIRE_FLOAT64] = 8,
    [WIRE_UUID] = sizeof(struct uuid),
    [WIRE_STRING] = sizeof(struct str),
    [WIRE_BYTES] = sizeof(struct slice),
    [WIRE_RECORDS] = sizeof(struct wire_records),
};

static int
encode_value(struct wire_out *out, const struct wire_field *f, bool nullable, struct mode mode,
	     const char *from)
{
	bool compact = mode.flexible && (f->flags & WIRE_INFLEXIBLE) == 0;

	if (put_fixed(out, f->type, from))
		return 0;
	switch (f->type) {
	case WIRE_STRING: {
		const struct str *s = (const void *)from;

		return put_bytes(out, compact, 2, nullable, s->data, s->len);
	}
	case WIRE_BYTES: {
		const struct slice *s = (const void *)from;

		return put_bytes(out, compact, 4, nullable, s->data, s->len);
	}
	case WIRE_RECORDS:
		return put_records(out, compact, nullable, (const void *)from);
	default:
		return encode_struct(out, f->sub, mode, from);
	}
}

static int
encode_array(struct wire_out *out, const struct wire_field *f, bool nullable, struct mode mode,
	     const char *from)
{
	size_t size = f->type == WIRE_STRUCT ? f->sub->size : element_sizes[f->type];
	const char *items;
	int32_t count;
	int st;

	memcpy(&items, from, sizeof(items));
	memcpy(&count, from + sizeof(void *), sizeof(count));
	if (count < 0 && !nullable)
		return fail(out, "null in a version that knows no null");
	st = put_length(out, mode.flexible, 4, count < 0 ? -1 : count);
	for (int32_t i = 0; st == 0 && i < count; i++)
		st = encode_value(out, f, false, mode, items + (size_t)i * size);
	return st;
}

static int
encode_pointer(struct wire_out *out, const struct wire_field *f, bool nullable, struct mode mode,
	       const char *from)
{
	const char *sub;
	uint8_t *p;

	memcpy(&sub, from, sizeof(sub));
	if (sub == NULL && !nullable)
		return fail(out, "null in a version that knows no null");
	if (nullable) {
		p = extend(out, 1);
		if (p != NULL)
			*p = sub == NULL ? 0xff : 1;
	}
	return sub == NULL ? 0 : encode_struct(out, f->sub, mode, sub);
}

static int
encode_field(struct wire_out *out, const struct wire_field *f, struct mode mode, const char *from)
{
	bool nullable = mode.version >= f->null_since && mode.version <= f->null_until;

	if ((f->flags & WIRE_ARRAY) != 0)
		return encode_array(out, f, nullable, mode, from);
	if ((f->flags & WIRE_POINTER) != 0)
		return encode_pointer(out, f, nullable, mode, from);
	return encode_value(out, f, nullable, mode, from);
}

static bool
number_is_default(const struct wire_field *f, const char *from)
{
	size_t n = element_sizes[f->type];
	uint64_t v = 0;
	uint64_t mask = n == 8 ? UINT64_MAX : (1ull << (8 * n)) - 1;

	memcpy(&v, from, n); /* little-endian */
	return v == ((uint64_t)f->number & mask);
}

/* A null string is as good as an empty one, where that is the default: zeroed memory has it. */
static bool
is_default(const struct wire_field *f, const char *from)
{
	bool null_default = (f->flags & WIRE_NULL_DEFAULT) != 0;
	const void *data;
	size_t len;
	int32_t count;

	if ((f->flags & WIRE_ARRAY) != 0) {
		memcpy(&count, from + sizeof(void *), sizeof(count));
		return null_default ? count < 0 : count == 0;
	}
	switch (f->type) {
	case WIRE_UUID:
		return uuid_is_zero((const void *)from);
	case WIRE_STRING:
	case WIRE_BYTES:
		memcpy(&data, from, sizeof(data));
		memcpy(&len, from + offsetof(struct slice, len), sizeof(len));
		return null_default ? data == NULL : len == 0;
	case WIRE_RECORDS:
		return wire_records_len((const void *)from) == 0;
	case WIRE_STRUCT:
		if ((f->flags & WIRE_POINTER) == 0)
			return struct_is_default(f->sub, from);
		memcpy(&data, from, sizeof(data));
		return data == NULL;
	default:
		return number_is_default(f, from);
	}
}

static bool
struct_is_default(const struct wire_struct *s, const char *base)
{
	for (uint16_t i = 0; i < s->field_count; i++) {
		if (!is_default(&s->fields[i], base + s->fields[i].offset))
			return false;
	}
	return true;
}

static int
name_failure(struct wire_out *out, const struct wire_field *f, int st)
{
	if (st != 0 && out->failed_field == NULL)
		out->failed_field = f->name;
	return st;
}

/* Writes tag, size and field; the size is known only after the field. */
static int
encode_tag(struct wire_out *out, const struct wire_field *f, struct mode mode, const char *base)
{
	uint8_t size_bytes[VARINT_MAX_BYTES];
	size_t start;
	size_t size;
	size_t n;
	int st;

	put_uvarint(out, f->tag);
	start = out->buf->len;
	st = encode_field(out, f, mode, base + f->offset);
	if (st != 0 || out->buf->failed)
		return name_failure(out, f, st);
	size = out->buf->len - start;
	if (size > INT32_MAX)
		return name_failure(out, f, fail(out, "longer than the protocol can tell"));
	n = (size_t)(uvarint_write(size_bytes, (uint32_t)size) - size_bytes);
	if (extend(out, n) == NULL)
		return 0;
	memmove(out->buf->data + start + n, out->buf->data + start, size);
	memcpy(out->buf->data + start, size_bytes, n);
	return 0;
}

static bool
field_in_version(const struct wire_field *f, int version)
{
	return version >= f->since && version <= f->until;
}

static int
encode_tags(struct wire_out *out, const struct wire_struct *s, struct mode mode, const char *base)
{
	uint32_t count = 0;
	int st = 0;

	for (uint16_t i = s->regular_count; i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];

		if (field_in_version(f, mode.version) && !is_default(f, base + f->offset))
			count++;
	}
	put_uvarint(out, count);
	for (uint16_t i = s->regular_count; count > 0 && st == 0 && i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];

		if (field_in_version(f, mode.version) && !is_default(f, base + f->offset))
			st = encode_tag(out, f, mode, base);
	}
	return st;
}

static int
encode_struct(struct wire_out *out, const struct wire_struct *s, struct mode mode, const char *base)
{
	int st;

	for (uint16_t i = 0; i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];

		if (!field_in_version(f, mode.version)) {
			if ((f->flags & WIRE_IGNORABLE) == 0 && !is_default(f, base + f->offset))
				return name_failure(
				    out, f, fail(out, "has a value but no place in this version"));
			continue;
		}
		if (i >= s->regular_count)
			continue;
		st = encode_field(out, f, mode, base + f->offset);
		if (st != 0)
			return name_failure(out, f, st);
	}
	return mode.flexible ? encode_tags(out, s, mode, base) : 0;
}

int
wire_encode(const struct wire_schema *schema, const void *m, int version, struct wire_out *out)
{
	int st;

	if (version < schema->since || version > schema->until) {
		out->failed_field = schema->root.name;
		return fail(out, "no such version");
	}
	st = encode_struct(out, &schema->root,
			   (struct mode){version, version >= schema->flexible_since}, m);
	return st == 0 && out->buf->failed ? -ENOMEM : st;
}

int
wire_data_write(const struct wire_schema *schema, const void *m, int version, struct buf *out)
{
	struct wire_out w;
	int st;

	buf_append_be16(out, (uint16_t)version);
	wire_out_init(&w, out);
	st = wire_encode(schema, m, version, &w);
	wire_out_fini(&w);
	return st;
}
