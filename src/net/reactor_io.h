/*
 * reactor_io.h - the buffers that all connections of one reactor share.
 *
 * A scratch buffer for what is read or put together and used up within one turn, and a cache of
 * blocks for requests, so that a request costs no trip to the allocator. Unused blocks go back
 * after a few quiet seconds.
 *
 * Threads  the reactor's. A block is plain malloc memory: another thread may free() it.
 */
#ifndef KLAMM_NET_REACTOR_IO_H
#define KLAMM_NET_REACTOR_IO_H

#include "base/bytes.h"
#include "base/timers.h"

struct reactor;

#define IO_SCRATCH_BYTES 65536
#define IO_CLASS_COUNT 49 /* 512 bytes to 2 MiB, four steps an octave */

struct io_block {
	struct io_block *next;
};

struct reactor_io {
	struct reactor *reactor;
	uint8_t *scratch;
	struct io_class {
		struct io_block *first;
		uint32_t count;
		uint32_t low; /* fewest there were since the last trim */
	} classes[IO_CLASS_COUNT];
	size_t cached_bytes;
	int connections; /* that are not freed yet */
	struct timer trim;
};

/* reactor.c opens one per reactor and closes it: reactor_io() there hands it out. */
struct reactor_io *reactor_io_open(struct reactor *r);
struct reactor_io *reactor_io(struct reactor *r);
void reactor_io_close(struct reactor_io *io);

/* IO_SCRATCH_BYTES for the current call only; NULL without memory. */
uint8_t *reactor_io_scratch(struct reactor_io *io);

/* At least size bytes, not zeroed. ret_cap: how many they are. NULL without memory. */
void *reactor_io_get(struct reactor_io *io, size_t size, size_t *ret_cap);
/* cap: as reactor_io_get() gave it. */
void reactor_io_put(struct reactor_io *io, void *block, size_t cap);

#endif
