/*
 * log_dump.c - klamm log dump: which files, and what each of them is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/dump.h"
#include "storage/checkpoint.h"
#include "storage/leader_epochs.h"
#include "storage/partition_metadata.h"

static struct {
	struct text_list files;
	bool print_data;
	bool deep;
	bool sanity;
	bool verify;
	bool offsets_decoder;
	bool transaction_decoder;
	bool json;
	int64_t max_bytes;
} opt;

void
dump_fault(struct dump *d, const char *fmt, ...)
{
	va_list args;

	d->faults++;
	fflush(stdout); /* in its place among what is printed */
	fprintf(stderr, "%s: ", d->path);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void
dump_unreadable(struct dump *d, int st)
{
	dump_fault(d, "cannot read it: %s", strerror(-st));
}

void
dump_line(struct buf *out)
{
	buf_append_u8(out, '\n');
	if (!out->failed)
		fwrite(out->data, 1, out->len, stdout);
	out->len = 0;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

bool
dump_base_offset(const char *path, int64_t *ret_offset)
{
	const char *name = base_name(path);
	char digits[21];

	if (strspn(name, "0123456789") != 20 || name[20] != '.')
		return false;
	memcpy(digits, name, 20);
	digits[20] = '\0';
	return parse_int(digits, 0, INT64_MAX, ret_offset) == 0;
}

bool
dump_sibling(const char *path, const char *suffix, char *text, size_t size)
{
	size_t len = (size_t)(base_name(path) - path) + 20;
	int n = snprintf(text, size, "%.*s%s", (int)len, path, suffix);

	return n > 0 && (size_t)n < size;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* What a file is, by its name; .deleted, .cleaned and .swap change nothing. */
static const struct file_kind {
	const char *end;
	bool segment_file; /* begins with 20 digits */
	void (*dump)(struct dump *d);
} file_kinds[] = {
    {".log", true, dump_segment},
    {".index", true, dump_offset_index},
    {".timeindex", true, dump_time_index},
    {".txnindex", true, dump_txn_index},
    {".snapshot", true, dump_snapshot},
    {CHECKPOINT_RECOVERY_POINT, false, dump_offset_checkpoint},
    {CHECKPOINT_LOG_START, false, dump_offset_checkpoint},
    {CHECKPOINT_HIGH_WATERMARK, false, dump_offset_checkpoint},
    {CHECKPOINT_CLEANER, false, dump_offset_checkpoint},
    {LEADER_EPOCH_CHECKPOINT, false, dump_leader_epochs},
    {PARTITION_METADATA, false, dump_partition_metadata},
    {"meta.properties", false, dump_properties},
};

static const struct file_kind *
kind_of(const char *path)
{
	static const char *const stages[] = {".deleted", ".cleaned", ".swap"};
	char name[NAME_MAX + 1];
	int64_t offset;

	snprintf(name, sizeof(name), "%s", base_name(path));
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		if (ends_with(name, stages[i]))
			name[strlen(name) - strlen(stages[i])] = '\0';
	}
	for (size_t i = 0; i < ARRAY_LEN(file_kinds); i++) {
		const struct file_kind *kind = &file_kinds[i];

		if (kind->segment_file
			? ends_with(name, kind->end) && dump_base_offset(name, &offset)
			: strcmp(name, kind->end) == 0)
			return kind;
	}
	return NULL;
}

static void
dump_file(struct dump *d, const char *path, const struct file_kind *kind)
{
	d->path = path;
	if (!d->json)
		printf("Dumping %s\n", path);
	kind->dump(d);
}

static int
is_known(const struct dirent *entry)
{
	return kind_of(entry->d_name) != NULL;
}

/* All files of a partition's directory, or the checkpoints of a log directory. */
static int
dump_directory(struct dump *d, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_known, alphasort);

	if (count < 0) {
		complain("cannot read %s: %s", path, strerror(errno));
		return CLI_REFUSED;
	}
	if (count == 0)
		complain("%s: nothing in it is a file of a log", path);
	for (int i = 0; i < count; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s%s%s", path, ends_with(path, "/") ? "" : "/",
			 entries[i]->d_name);
		dump_file(d, file, kind_of(file));
		free(entries[i]);
	}
	free(entries);
	return count > 0 ? CLI_DONE : CLI_REFUSED;
}

static int
dump_path(struct dump *d, const char *path)
{
	const struct file_kind *kind;
	struct stat stat;
	int st;

	st = env_fstatat(d->env, AT_FDCWD, path, &stat);
	if (st != 0) {
		complain("cannot read %s: %s", path, strerror(-st));
		return CLI_REFUSED;
	}
	if (S_ISDIR(stat.st_mode))
		return dump_directory(d, path);
	kind = kind_of(path);
	if (kind == NULL) {
		complain("%s: its name is that of no file of a log", path);
		return CLI_REFUSED;
	}
	dump_file(d, path, kind);
	return CLI_DONE;
}

/* --files takes several, parted by commas. */
static int
dump_list(struct dump *d, const char *list)
{
	int result = CLI_DONE;

	while (*list != '\0') {
		size_t len = strcspn(list, ",");
		char path[PATH_MAX];

		if (len > 0 && len < sizeof(path)) {
			memcpy(path, list, len);
			path[len] = '\0';
			if (dump_path(d, path) != CLI_DONE)
				result = CLI_REFUSED;
		}
		list += len;
		list += *list == ',';
	}
	return result;
}

static int
run(int argc, char **argv)
{
	struct dump d = {.env = env_system(),
			 .deep = opt.deep || opt.print_data,
			 .print_data = opt.print_data,
			 .sanity_only = opt.sanity,
			 .verify_only = opt.verify,
			 .json = opt.json,
			 .max_bytes = opt.max_bytes};
	int result = CLI_DONE;

	if (opt.offsets_decoder && opt.transaction_decoder)
		return usage_error("one decoder at a time");
	if (opt.offsets_decoder || opt.transaction_decoder) {
		d.decoder = opt.offsets_decoder ? DUMP_OFFSETS : DUMP_TRANSACTIONS;
		d.deep = d.print_data = true;
	}
	if (argc == 0 && opt.files.count == 0)
		return usage_error("which files? Give their paths, or a partition's directory");
	for (int i = 0; i < argc; i++) {
		if (dump_path(&d, argv[i]) != CLI_DONE)
			result = CLI_REFUSED;
	}
	for (size_t i = 0; i < opt.files.count; i++) {
		if (dump_list(&d, opt.files.items[i]) != CLI_DONE)
			result = CLI_REFUSED;
	}
	return d.faults > 0 ? CLI_REFUSED : result;
}

static const struct option_row options[] = {
    {0, "files", "FILE[,...]", "Files, as Kafka's DumpLogSegments takes them.", OPTION_LIST,
     &opt.files},
    {0, "deep", NULL, "Records, not only batches; broken ones are found then.", OPTION_FLAG,
     &opt.deep},
    {0, "deep-iteration", NULL, "The same.", OPTION_FLAG, &opt.deep},
    {0, "print-data-log", NULL, "Records with their keys and values.", OPTION_FLAG,
     &opt.print_data},
    {0, "offsets-decoder", NULL, "Keys and values are those of __consumer_offsets.", OPTION_FLAG,
     &opt.offsets_decoder},
    {0, "transaction-log-decoder", NULL, "Keys and values are those of __transaction_state.",
     OPTION_FLAG, &opt.transaction_decoder},
    {0, "index-sanity-check", NULL,
     "Of indexes only what a broker checks at its start: whether they would be made anew.",
     OPTION_FLAG, &opt.sanity},
    {0, "verify-index-only", NULL, "Of indexes only what does not match the log.", OPTION_FLAG,
     &opt.verify},
    {0, "max-bytes", "N", "Only the first N bytes of a .log file.", OPTION_INT, &opt.max_bytes, 1,
     INT64_MAX},
    {0, "json", NULL, "One JSON object a line.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command log_dump_command = {
    .name = "log dump",
    .summary = "Tell what the files of a log hold, and check them",
    .args = "[OPTION...] FILE|DIRECTORY...",
    .text = "Reads .log, .index, .timeindex, .txnindex and .snapshot files, checkpoints,\n"
	    "partition.metadata and meta.properties, without a broker and without changing them.\n"
	    "Of a directory, all of these. The layout is that of Kafka's DumpLogSegments.\n"
	    "Exits with 1 when something is corrupt.\n\n"
	    "Examples:\n"
	    "  klamm log dump /var/lib/klamm/orders-0\n"
	    "  klamm log dump --print-data-log orders-0/00000000000000000000.log\n"
	    "  klamm log dump --index-sanity-check orders-0/00000000000000000000.index\n"
	    "  klamm log dump --offsets-decoder __consumer_offsets-7/*.log\n",
    .options = options,
    .run = run,
};
