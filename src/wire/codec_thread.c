#include "wire/codec_thread.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_key;

static void
end_thread(void *arg)
{
	struct codec_thread *t = arg;

	for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
		buf_fini(&t->decompressors[codec].block);
	if (t->have_inflate)
		inflateEnd(&t->inflate);
	if (t->have_deflate)
		deflateEnd(&t->deflate);
	ZSTD_freeDCtx(t->zstd_d);
	ZSTD_freeCCtx(t->zstd_c);
	LZ4F_freeCompressionContext(t->lz4_c);
	free(t->walk_window);
	free(t);
}

static void
make_key(void)
{
	have_key = pthread_key_create(&key, end_thread) == 0;
}

/* The main thread runs no key destructors when the process exits. */
__attribute__((destructor)) static void
end_last_thread(void)
{
	struct codec_thread *t = have_key ? pthread_getspecific(key) : NULL;

	if (t != NULL) {
		pthread_setspecific(key, NULL);
		end_thread(t);
	}
}

struct codec_thread *
codec_thread(void)
{
	struct codec_thread *t;

	pthread_once(&once, make_key);
	if (!have_key)
		return NULL;
	t = pthread_getspecific(key);
	if (t == NULL) {
		t = calloc(1, sizeof(*t));
		if (t != NULL && pthread_setspecific(key, t) != 0) {
			free(t);
			t = NULL;
		}
	}
	return t;
}
