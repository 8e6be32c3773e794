/*
 * A partition's directory with anything in its files: opening it ends in a status, or in a log that
 * can be read to its end, appended to, and opened again with the same content.
 *
 *	0  1  bits: 1 the stop was clean, 2 the kernel is the same, 4 a second segment
 *	1  8  lengths of the files that follow, 2 bytes each: .log, .index, .timeindex, .snapshot
 *	9     their content; what is left is the second segment's log
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "tests/fuzz/fuzz.h"
#include "wire/kerr.h"
#include "wire/record_batch_builder.h"

#define SECOND_BASE 50

static struct log_context ctx;
static struct log_dir dir;
static struct log_jobs jobs;
static char root[64];

static void
setup(void)
{
	if (ctx.env != NULL)
		return;
	diag_set_level(DIAG_STORAGE, DIAG_OFF);
	snprintf(root, sizeof(root), "/tmp/klamm-fuzz-XXXXXX");
	FUZZ_CHECK(mkdtemp(root) != NULL);
	ctx.env = env_system();
	log_jobs_init(&jobs);
	log_metrics_init(&ctx.metrics);
	ctx.jobs = &jobs;
	FUZZ_CHECK(file_cache_open(ctx.env, 16, &ctx.files) == 0);
	FUZZ_CHECK(trash_open(ctx.env, &ctx.trash) == 0);
	FUZZ_CHECK(workers_open("fuzz", 1, &ctx.workers) == 0);
	dir.ctx = &ctx;
	dir.path = root;
	dir.fd = open(root, O_RDONLY | O_DIRECTORY);
	FUZZ_CHECK(dir.fd >= 0);
}

static void
write_file(const char *name, struct slice content)
{
	int fd = openat(dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, content.data, content.len) == (ssize_t)content.len);
	close(fd);
}

static struct slice
take(struct slice *rest, size_t len)
{
	struct slice part = {rest->data, len < rest->len ? len : rest->len};

	rest->data += part.len;
	rest->len -= part.len;
	return part;
}

/* Walks the log as a reader would. Returns how many bytes there were. */
static int64_t
read_to_end(struct log *log)
{
	int64_t offset = log_start_offset(log);
	int64_t bytes = 0;

	while (offset < log_end_offset(log)) {
		struct batch_info info;
		struct log_read read;
		struct slice all;
		uint8_t *data;
		int st = log_read(log, offset, 1 << 16, true, LOG_READ_LOG_END, false, &read);

		/* What was not verified may turn out not to be readable. */
		if (st != 0)
			return -1;
		if (read.len == 0)
			break;
		data = malloc((size_t)read.len);
		FUZZ_CHECK(data != NULL);
		FUZZ_CHECK(pread(log_file_fd(read.file), data, (size_t)read.len, read.pos) ==
			   read.len);
		log_file_put(read.file);
		all = (struct slice){data, (size_t)read.len};
		FUZZ_CHECK(batch_info_read(all, &info) == 0);
		FUZZ_CHECK(info.last_offset >= offset);
		offset = info.last_offset + 1;
		bytes += info.size_bytes;
		free(data);
	}
	return bytes;
}

static void
use(struct log *log)
{
	struct log_append_result result;
	struct log_timestamp_offset found;
	struct record_batch_builder b;
	struct log_append append = {0};
	struct buf bytes = {0};
	int64_t end = log_end_offset(log);

	FUZZ_CHECK(log_start_offset(log) <= end);
	FUZZ_CHECK(log_high_watermark(log) <= end);
	(void)read_to_end(log);
	(void)!log_offset_for_timestamp(log, 1000, &found);
	(void)!log_offset_for_timestamp(log, LOG_TIMESTAMP_MAX, &found);
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	record_batch_builder_append(&b, 1, (struct slice){(const uint8_t *)"k", 1},
				    (struct slice){(const uint8_t *)"v", 1}, NULL, 0);
	FUZZ_CHECK(record_batch_builder_finish(&b, &bytes) == 0);
	record_batch_builder_fini(&b);
	append.records = bytes.data;
	append.len = bytes.len;
	if (end < INT64_MAX - 10 && log_append_as_leader(log, &append, NULL, &result, NULL) == 0)
		FUZZ_CHECK(result.first_offset == end && log_end_offset(log) == end + 1);
	buf_fini(&bytes);
}

static void
forget_log(struct log *log)
{
	log_jobs_wait(&jobs);
	log_put(log);
	trash_run(ctx.trash, INT64_MAX);
	atomic_store(&dir.error, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_load load = {.config = log_config_default};
	struct slice rest = {data + 9, size - 9};
	struct log *log;
	int64_t bytes, end;

	if (size < 9)
		return 0;
	setup();
	load.config.index_interval_bytes = 64;
	load.config.file_delete_delay_ms = 0;
	load.clean = data[0] & 1;
	load.same_boot = data[0] & 2;
	FUZZ_CHECK(mkdirat(dir.fd, "t-0", 0755) == 0);
	write_file("t-0/00000000000000000000.log", take(&rest, get_be16(data + 1)));
	write_file("t-0/00000000000000000000.index", take(&rest, get_be16(data + 3)));
	write_file("t-0/00000000000000000000.timeindex", take(&rest, get_be16(data + 5)));
	write_file("t-0/00000000000000000005.snapshot", take(&rest, get_be16(data + 7)));
	if (data[0] & 4)
		write_file("t-0/00000000000000000050.log", rest);
	if (log_load(&dir, "t-0", "t", 0, false, &load, &log) == 0) {
		bytes = read_to_end(log);
		end = log_end_offset(log);
		/* Under the same kernel only what lies after the last index entry is verified. */
		if (!load.clean && !load.same_boot)
			FUZZ_CHECK(bytes >= 0);
		forget_log(log);
		/* The same again, as after another kill: nothing may have changed. */
		if (!load.clean && log_load(&dir, "t-0", "t", 0, false, &load, &log) == 0) {
			FUZZ_CHECK(load.same_boot ||
				   (log_end_offset(log) == end && read_to_end(log) == bytes));
			use(log);
			forget_log(log);
		}
	}
	atomic_store(&dir.error, 0);
	trash_run(ctx.trash, INT64_MAX);
	FUZZ_CHECK(trash_remove_dir(ctx.env, dir.fd, "t-0") == 0);
	return 0;
}
