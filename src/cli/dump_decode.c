/*
 * dump_decode.c - the records of __consumer_offsets and __transaction_state, by their schemas.
 *
 * A key begins with its version, which tells what the record is. A null value is a tombstone.
 */
#include "cli/dump.h"

#include "base/arena.h"
#include "cli/text_escape.h"
#include "wire/generated/consumer_offsets.h"
#include "wire/generated/transaction_state.h"

#define DECODE_MAX ((size_t)16 << 20)

static void
append_str(struct buf *out, struct str text, bool json)
{
	struct slice bytes = {(const uint8_t *)text.data, text.len};

	if (!json)
		text_append_printable(out, bytes);
	else if (text.data == NULL)
		buf_printf(out, "null");
	else if (text_is_utf8(bytes))
		json_append_string(out, bytes);
	else
		json_append_base64(out, bytes);
}

static bool
offset_commit(struct slice key, struct slice value, bool json, struct arena *arena, struct buf *out)
{
	struct offset_commit_value v;
	struct offset_commit_key k;
	int version;

	if (offset_commit_key_read(&k, key, arena, &version) != 0 ||
	    (value.data != NULL && offset_commit_value_read(&v, value, arena, &version) != 0))
		return false;
	buf_printf(out, json ? ",\"offset_commit\":{\"group\":" : " key: offset_commit group=");
	append_str(out, k.group, json);
	buf_printf(out, json ? ",\"topic\":" : " topic=");
	append_str(out, k.topic, json);
	buf_printf(out,
		   json ? ",\"partition\":%d,\"value\":" : " partition=%d payload: ", k.partition);
	if (value.data == NULL) {
		buf_printf(out, json ? "null}" : "<tombstone>");
		return true;
	}
	buf_printf(out,
		   json ? "{\"offset\":%lld,\"leader_epoch\":%d,\"commit_timestamp\":%lld,"
			  "\"metadata\":"
			: "offset=%lld leaderEpoch=%d commitTimestamp=%lld metadata=",
		   (long long)v.offset, v.leader_epoch, (long long)v.commit_timestamp);
	append_str(out, v.metadata, json);
	if (json)
		buf_printf(out, "}}");
	return true;
}

static bool
group_metadata(struct slice key, struct slice value, bool json, struct arena *arena,
	       struct buf *out)
{
	struct group_metadata_value v;
	struct group_metadata_key k;
	int version;

	if (group_metadata_key_read(&k, key, arena, &version) != 0 ||
	    (value.data != NULL && group_metadata_value_read(&v, value, arena, &version) != 0))
		return false;
	buf_printf(out, json ? ",\"group_metadata\":{\"group\":" : " key: group_metadata group=");
	append_str(out, k.group, json);
	buf_printf(out, json ? ",\"value\":" : " payload: ");
	if (value.data == NULL) {
		buf_printf(out, json ? "null}" : "<tombstone>");
		return true;
	}
	buf_printf(out,
		   json ? "{\"generation\":%d,\"protocol_type\":" : "generation=%d protocolType=",
		   v.generation);
	append_str(out, v.protocol_type, json);
	buf_printf(out, json ? ",\"protocol\":" : " protocol=");
	append_str(out, v.protocol, json);
	buf_printf(out, json ? ",\"leader\":" : " leader=");
	append_str(out, v.leader, json);
	buf_printf(out, json ? ",\"members\":[" : " members=[");
	for (int32_t i = 0; i < v.members_count; i++) {
		if (i > 0)
			buf_append_u8(out, ',');
		append_str(out, v.members[i].member_id, json);
	}
	buf_printf(out, json ? "]}}" : "]");
	return true;
}

static const char *
transaction_status(int status)
{
	static const char *const names[] = {"Empty",        "Ongoing",          "PrepareCommit",
					    "PrepareAbort", "CompleteCommit",   "CompleteAbort",
					    "Dead",         "PrepareEpochFence"};

	return status >= 0 && (size_t)status < ARRAY_LEN(names) ? names[status] : "unknown";
}

static void
append_partitions(struct buf *out, const struct transaction_log_value *v, bool json)
{
	for (int32_t i = 0, n = 0; i < v->transaction_partitions_count; i++) {
		const struct partitions_schema *p = &v->transaction_partitions[i];

		for (int32_t j = 0; j < p->partition_ids_count; j++, n++) {
			buf_printf(out, json ? "%s[" : "%s", n > 0 ? "," : "");
			append_str(out, p->topic, json);
			buf_printf(out, json ? ",%d]" : "-%d", p->partition_ids[j]);
		}
	}
}

static bool
transaction(struct slice key, struct slice value, bool json, struct arena *arena, struct buf *out)
{
	struct transaction_log_value v;
	struct transaction_log_key k;
	int version;

	if (transaction_log_key_read(&k, key, arena, &version) != 0 ||
	    (value.data != NULL && transaction_log_value_read(&v, value, arena, &version) != 0))
		return false;
	buf_printf(out, json ? ",\"transaction\":{\"transactional_id\":"
			     : " key: transaction_metadata transactionalId=");
	append_str(out, k.transactional_id, json);
	buf_printf(out, json ? ",\"value\":" : " payload: ");
	if (value.data == NULL) {
		buf_printf(out, json ? "null}" : "<tombstone>");
		return true;
	}
	buf_printf(out,
		   json ? "{\"producer_id\":%lld,\"producer_epoch\":%d,\"state\":\"%s\","
			  "\"timeout_ms\":%d,\"last_update_timestamp\":%lld,\"partitions\":["
			: "producerId:%lld,producerEpoch:%d,state=%s,txnTimeoutMs=%d,"
			  "txnLastUpdateTimestamp=%lld,partitions=[",
		   (long long)v.producer_id, v.producer_epoch,
		   transaction_status(v.transaction_status), v.transaction_timeout_ms,
		   (long long)v.transaction_last_update_timestamp_ms);
	append_partitions(out, &v, json);
	buf_printf(out, json ? "]}}" : "]");
	return true;
}

bool
dump_decode(enum dump_decoder decoder, struct slice key, struct slice value, bool json,
	    struct buf *out)
{
	struct arena arena;
	size_t before = out->len;
	bool known = false;
	int version;

	if (key.len < 2)
		return false;
	version = get_be16(key.data);
	arena_init(&arena, DECODE_MAX);
	if (decoder == DUMP_TRANSACTIONS)
		known = version == 0 && transaction(key, value, json, &arena, out);
	else if (version <= 1)
		known = offset_commit(key, value, json, &arena, out);
	else if (version == 2)
		known = group_metadata(key, value, json, &arena, out);
	arena_fini(&arena);
	if (!known)
		out->len = before;
	return known;
}
