/*
 * codec.h - decodes and encodes the messages that src/wire/schema declares.
 *
 * For each message X the generated header wire/generated/API.h declares struct X and
 *
 *	int X_decode(struct X *m, int version, struct wire_in *in);
 *	int X_encode(const struct X *m, int version, struct wire_out *out);
 *	void X_init(struct X *m);			the schema's defaults
 *
 * and for each struct Y inside a message
 *
 *	void Y_init(struct Y *m);
 *	struct Y *Y_new(struct arena *arena, int32_t count);	an array of Y with defaults, or NULL
 *
 * All of them are one interpreter over tables of fields. In C
 *
 *	string		struct str; decoded ones are copies in the arena, ended by a NUL
 *	bytes		struct slice, borrowed from the frame
 *	records		struct wire_records
 *	array		a pointer and, after it, NAME_count; -1 for null
 *	struct		the struct itself; a pointer where it is nullable in some version
 *
 * Zeroed memory is a message too: all numbers 0, arrays empty, strings null.
 *
 * Errors   -EBADMSG for bytes that are not the message, -ENOMEM at the arena's limit, -EINVAL for
 *          a message that cannot be written in this version or a version that does not exist. What
 *          and where is in wire_in and wire_out, for the one log line.
 * Threads  any; a wire_in or wire_out belongs to one.
 * Source   wire-protocol, sections 2 and 3; Kafka's MessageDataGenerator.
 */
#ifndef KLAMM_WIRE_CODEC_H
#define KLAMM_WIRE_CODEC_H

#include "base/arena.h"
#include "base/bytes.h"

enum wire_type {
	WIRE_BOOL,    /* bool */
	WIRE_INT8,    /* int8_t */
	WIRE_INT16,   /* int16_t */
	WIRE_UINT16,  /* uint16_t */
	WIRE_INT32,   /* int32_t */
	WIRE_UINT32,  /* uint32_t */
	WIRE_INT64,   /* int64_t */
	WIRE_FLOAT64, /* double */
	WIRE_UUID,    /* struct uuid */
	WIRE_STRING,  /* struct str */
	WIRE_BYTES,   /* struct slice */
	WIRE_RECORDS, /* struct wire_records */
	WIRE_STRUCT
};

/*
 * Record batches in a message, never copied by the codec unless they are few bytes: bytes in
 * memory, or a range of a file, whose meaning is that of the sender of the message. Null when both
 * data.data and file are NULL.
 */
struct wire_records {
	struct slice data; /* used when file is NULL; borrowed until the message is sent */
	void *file;        /* opaque here */
	int64_t pos;       /* in the file */
	size_t len;        /* in the file */
};

static inline size_t
wire_records_len(const struct wire_records *r)
{
	return r->file != NULL ? r->len : r->data.len;
}

/* Flags of a field. */
#define WIRE_ARRAY 0x01        /* of the type */
#define WIRE_IGNORABLE 0x02    /* may be lost in versions without it */
#define WIRE_NULL_DEFAULT 0x04 /* the default is null */
#define WIRE_POINTER 0x08      /* a struct that may be null */
#define WIRE_INFLEXIBLE 0x10   /* keeps the old encoding in flexible versions */
#define WIRE_SET_DEFAULT 0x20  /* the default is not all zero bytes */

struct wire_field {
	const char *name; /* Kafka's */
	const struct wire_struct *sub;
	int64_t number;  /* default of bool and integers */
	uint16_t offset; /* in the struct */
	uint8_t type;    /* enum wire_type */
	uint8_t flags;
	int8_t since, until;           /* versions that have it */
	int8_t null_since, null_until; /* versions in which it may be null; 1, 0 for none */
	uint16_t tag;                  /* of fields after regular_count */
};

struct wire_struct {
	const char *name; /* Kafka's */
	const struct wire_field *fields;
	uint16_t field_count;
	uint16_t regular_count; /* those without tag; tagged ones follow in order of tag */
	uint16_t size;          /* sizeof() */
	uint16_t min_bytes;     /* the fewest that an element takes on the wire, at least 1 */
};

/* A message as a whole. */
struct wire_schema {
	struct wire_struct root;
	int8_t since, until;   /* valid versions */
	int8_t flexible_since; /* INT8_MAX for never */
};

struct wire_in {
	const uint8_t *start;
	const uint8_t *next;
	const uint8_t *end;
	struct arena *arena;
	const char *failed_field; /* NULL until something failed */
	const char *failed_why;
	size_t failed_pos;
};

/* frame and arena are borrowed, and what is decoded lives as long as both. */
void wire_in_init(struct wire_in *in, struct slice frame, struct arena *arena);

static inline size_t
wire_in_left(const struct wire_in *in)
{
	return (size_t)(in->end - in->next);
}

/* Records that go between the bytes before and after position `at` of the buffer. */
struct wire_insertion {
	size_t at;
	struct wire_records records;
};

struct wire_out {
	struct buf *buf; /* borrowed: appended to */
	struct wire_insertion *insertions;
	size_t insertion_count;
	size_t insertion_cap;
	size_t inserted_bytes;
	const char *failed_field; /* NULL until something failed */
	const char *failed_why;
};

/* Records in memory up to this many bytes are copied into the buffer. */
#define WIRE_COPY_MAX 1024

void wire_out_init(struct wire_out *out, struct buf *buf);
void wire_out_fini(struct wire_out *out);
/* Appends the whole to to, insertions in their places, which must all be in memory. 0 or -ENOMEM.
 */
MUST_CHECK int wire_out_flatten(const struct wire_out *out, struct buf *to);

/* What the generated functions call. */
MUST_CHECK int wire_decode(const struct wire_schema *schema, void *m, int version,
			   struct wire_in *in);
MUST_CHECK int wire_encode(const struct wire_schema *schema, const void *m, int version,
			   struct wire_out *out);
void wire_init(const struct wire_struct *s, void *m);
void *wire_new(const struct wire_struct *s, struct arena *arena, int32_t count);

/*
 * Records of internal topics: keys and values begin with their version. Reading gives -EINVAL for
 * a version that this schema does not have, and borrows from data and arena.
 */
MUST_CHECK int wire_data_read(const struct wire_schema *schema, void *m, struct slice data,
			      struct arena *arena, int *ret_version);
MUST_CHECK int wire_data_write(const struct wire_schema *schema, const void *m, int version,
			       struct buf *out);

#define WIRE_STRUCT_FUNCTIONS(name)                                                                \
	extern const struct wire_struct name##_struct;                                             \
	static inline void name##_init(struct name *m)                                             \
	{                                                                                          \
		wire_init(&name##_struct, m);                                                      \
	}                                                                                          \
	static inline struct name *name##_new(struct arena *arena, int32_t count)                  \
	{                                                                                          \
		return wire_new(&name##_struct, arena, count);                                     \
	}

#define WIRE_MESSAGE_FUNCTIONS(name)                                                               \
	extern const struct wire_schema name##_schema;                                             \
	static inline void name##_init(struct name *m)                                             \
	{                                                                                          \
		wire_init(&name##_schema.root, m);                                                 \
	}                                                                                          \
	MUST_CHECK static inline int name##_decode(struct name *m, int version,                    \
						   struct wire_in *in)                             \
	{                                                                                          \
		return wire_decode(&name##_schema, m, version, in);                                \
	}                                                                                          \
	MUST_CHECK static inline int name##_encode(const struct name *m, int version,              \
						   struct wire_out *out)                           \
	{                                                                                          \
		return wire_encode(&name##_schema, m, version, out);                               \
	}

/* For messages of kind "data": X_read() and X_write() beside the above. */
#define WIRE_DATA_FUNCTIONS(name)                                                                  \
	WIRE_MESSAGE_FUNCTIONS(name)                                                               \
	MUST_CHECK static inline int name##_read(struct name *m, struct slice data,                \
						 struct arena *arena, int *ret_version)            \
	{                                                                                          \
		return wire_data_read(&name##_schema, m, data, arena, ret_version);                \
	}                                                                                          \
	MUST_CHECK static inline int name##_write(const struct name *m, int version,               \
						  struct buf *out)                                 \
	{                                                                                          \
		return wire_data_write(&name##_schema, m, version, out);                           \
	}

#endif
