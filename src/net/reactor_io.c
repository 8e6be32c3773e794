/*
 * Block sizes are 512, 640, 768, 896, 1024, 1280 ... 2 MiB: at most a quarter is unused. Larger
 * requests are rare enough for the allocator. The trim runs every TRIM_MS while blocks are cached
 * and frees those that lay unused since the last one.
 */
#include "net/reactor_io.h"

#include <stdlib.h>

#include "base/diag.h"
#include "net/reactor.h"

#define CLASS_MIN_SHIFT 9
#define CLASS_MAX_BYTES ((size_t)2 << 20)
#define CACHE_MAX_BYTES ((size_t)8 << 20)
#define TRIM_MS 2000

/* The class that holds size (> 0, <= CLASS_MAX_BYTES), and its block size. */
static int
class_of(size_t size, size_t *ret_cap)
{
	size_t base, quarter;
	int shift;

	if (size <= (size_t)1 << CLASS_MIN_SHIFT) {
		*ret_cap = (size_t)1 << CLASS_MIN_SHIFT;
		return 0;
	}
	shift = 63 - __builtin_clzll(size - 1);
	base = (size_t)1 << shift;
	quarter = (size - 1 - base) / (base / 4);
	*ret_cap = base + (quarter + 1) * (base / 4);
	return (shift - CLASS_MIN_SHIFT) * 4 + (int)quarter + 1;
}

static void
free_blocks(struct reactor_io *io, int index, uint32_t count)
{
	struct io_class *c = &io->classes[index];
	size_t base = (size_t)1 << (CLASS_MIN_SHIFT + (index == 0 ? 0 : (index - 1) / 4));
	size_t cap = index == 0 ? base : base + ((size_t)(index - 1) % 4 + 1) * (base / 4);

	while (count-- > 0) {
		struct io_block *b = c->first;

		c->first = b->next;
		c->count--;
		io->cached_bytes -= cap;
		free(b);
	}
}

static void
trim(struct timer *timer, void *arg)
{
	struct reactor_io *io = arg;

	for (int i = 0; i < IO_CLASS_COUNT; i++) {
		free_blocks(io, i, io->classes[i].low);
		io->classes[i].low = io->classes[i].count;
	}
	if (io->cached_bytes > 0)
		reactor_arm(io->reactor, timer, reactor_now_ms(io->reactor) + TRIM_MS);
}

struct reactor_io *
reactor_io_open(struct reactor *r)
{
	struct reactor_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	io->reactor = r;
	timer_init(&io->trim, trim, io);
	return io;
}

void
reactor_io_close(struct reactor_io *io)
{
	if (io == NULL)
		return;
	if (io->connections > 0)
		diag_error(DIAG_NET, "requests were never answered", "connections=%d",
			   io->connections);
	for (int i = 0; i < IO_CLASS_COUNT; i++)
		free_blocks(io, i, io->classes[i].count);
	free(io->scratch);
	free(io);
}

uint8_t *
reactor_io_scratch(struct reactor_io *io)
{
	if (io->scratch == NULL)
		io->scratch = malloc(IO_SCRATCH_BYTES);
	return io->scratch;
}

void *
reactor_io_get(struct reactor_io *io, size_t size, size_t *ret_cap)
{
	struct io_class *c;
	struct io_block *b;

	if (size > CLASS_MAX_BYTES) {
		*ret_cap = size;
		return malloc(size);
	}
	c = &io->classes[class_of(size, ret_cap)];
	b = c->first;
	if (b == NULL)
		return malloc(*ret_cap);
	c->first = b->next;
	c->count--;
	if (c->low > c->count)
		c->low = c->count;
	io->cached_bytes -= *ret_cap;
	return b;
}

void
reactor_io_put(struct reactor_io *io, void *block, size_t cap)
{
	struct io_class *c;
	struct io_block *b = block;
	size_t same;

	if (cap > CLASS_MAX_BYTES || io->cached_bytes + cap > CACHE_MAX_BYTES) {
		free(block);
		return;
	}
	c = &io->classes[class_of(cap, &same)];
	b->next = c->first;
	c->first = b;
	c->count++;
	io->cached_bytes += cap;
	if (!timer_armed(&io->trim))
		reactor_arm(io->reactor, &io->trim, reactor_now_ms(io->reactor) + TRIM_MS);
}
