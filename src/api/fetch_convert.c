#include "api/fetch_convert.h"

#include <errno.h>

#include "wire/kerr.h"
#include "wire/legacy_message.h"
#include "wire/record_batch.h"

#define FIRST_VERSION_WITH_MAGIC_2 4
#define FIRST_VERSION_WITH_ZSTD 10
/* A batch of this many bytes when unpacked is not converted for a client of another age. */
#define CONVERTED_BYTES_MAX ((size_t)256 << 20)

int
fetch_refuse_old_client(int version, struct topic_configs *configs, const struct broker_conf *conf,
			struct log *log)
{
	struct log_config config;
	struct topic_conf tc;
	int st;

	if (version >= FIRST_VERSION_WITH_ZSTD)
		return 0;
	log_config_of(log, &config);
	if (config.compression == COMPRESSION_ZSTD)
		return K_UNSUPPORTED_COMPRESSION_TYPE;
	if (version >= FIRST_VERSION_WITH_MAGIC_2)
		return 0;
	st = topic_configs_effective(configs, conf, log_topic(log), &tc);
	if (st != 0)
		return st;
	st = tc.message_downconversion_enable ? 0 : K_UNSUPPORTED_VERSION;
	topic_conf_fini(&tc);
	return st;
}

/* Batches as they stand; legacy messages of a magic that the client knows are copied. */
static int
convert_batches(struct slice data, int8_t magic, int64_t fetch_offset, struct buf *out)
{
	while (data.len > 0) {
		struct record_batch batch;
		int st = record_batch_parse(data, &batch);

		if (st != 0) /* the last one was cut by the limit of the read */
			break;
		if (batch.magic < 2)
			buf_append(out, data.data, (size_t)batch.size_bytes);
		else if (record_batch_compression(&batch) == COMPRESSION_ZSTD)
			return K_UNSUPPORTED_COMPRESSION_TYPE;
		else if (!record_batch_is_control(&batch)) {
			st = record_batch_down_convert(&batch, magic, fetch_offset,
						       CONVERTED_BYTES_MAX, out);
			if (st != 0)
				return st;
		}
		data.data += batch.size_bytes;
		data.len -= (size_t)batch.size_bytes;
	}
	return out->failed ? -ENOMEM : 0;
}

int
fetch_convert(int version, int64_t fetch_offset, const struct log_read *read,
	      struct buf *ret_records)
{
	struct buf raw = {0}, converted = {0};
	uint8_t *room = buf_extend(&raw, (size_t)read->len);
	ssize_t n;
	int st;

	if (room == NULL)
		return -ENOMEM;
	n = log_file_pread(read->file, room, (size_t)read->len, read->pos);
	st = n < 0 ? (int)n
		   : convert_batches((struct slice){raw.data, (size_t)n}, version >= 2 ? 1 : 0,
				     fetch_offset, &converted);
	buf_fini(&raw);
	if (st != 0) {
		buf_fini(&converted);
		return st;
	}
	*ret_records = converted;
	return 0;
}
