#include "zk/znode_controller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTROLLER "/controller"
#define CONTROLLER_EPOCH "/controller_epoch"

int
znode_controller_get(struct zk *zk, bool watch, int32_t *ret_broker_id)
{
	struct zk_op op = {.kind = ZK_EXISTS, .path = CONTROLLER, .watch = watch};
	struct zk_request request = {.ops = &op, .op_count = 1};
	struct buf value = {0};
	int32_t broker_id = -1;
	json_t *object;
	int st = zk_run(zk, &request, 1);

	/* The existence watch fires for the creation too; the read below needs none. */
	if (st == 0)
		st = op.st;
	if (st == 0)
		st = zk_get(zk, CONTROLLER, false, &value, NULL);
	if (st == 0) {
		object = znode_parse(buf_slice(&value));
		st = object == NULL ? -EBADMSG : znode_get_int(object, "brokerid", &broker_id);
		json_decref(object);
	}
	buf_fini(&value);
	if (st == 0 || st == -ENOENT)
		*ret_broker_id = st == 0 ? broker_id : -1;
	return st == -ENOENT ? 0 : st;
}

int
znode_controller_epoch(struct zk *zk, int32_t *ret_epoch, int32_t *ret_epoch_version)
{
	struct buf value = {0};
	struct zk_stat stat;
	const char *text;
	char *end;
	long epoch;
	int st = zk_get(zk, CONTROLLER_EPOCH, false, &value, &stat);

	if (st != 0)
		return st;
	text = buf_text(&value);
	st = -EBADMSG;
	if (text != NULL) {
		epoch = strtol(text, &end, 10);
		if (end != text && *end == '\0' && epoch >= 0 && epoch < INT32_MAX) {
			*ret_epoch = (int32_t)epoch;
			*ret_epoch_version = stat.version;
			st = 0;
		}
	}
	buf_fini(&value);
	return st;
}

struct zk_op
znode_controller_fence(int32_t epoch_version)
{
	return (struct zk_op){.kind = ZK_CHECK, .path = CONTROLLER_EPOCH, .version = epoch_version};
}

/* Reads the epoch, making the node when there was never a controller. */
static int
epoch_or_first(struct zk *zk, int32_t *ret_epoch, int32_t *ret_epoch_version)
{
	int st = znode_controller_epoch(zk, ret_epoch, ret_epoch_version);

	if (st != -ENOENT)
		return st;
	st = zk_create(zk, CONTROLLER_EPOCH, (struct slice){(const uint8_t *)"0", 1}, ZK_PERSISTENT,
		       NULL);
	if (st != 0 && st != -EEXIST)
		return st;
	return znode_controller_epoch(zk, ret_epoch, ret_epoch_version);
}

/* After a conflict: it may be our own write whose answer was lost. */
static int
was_that_us(struct zk *zk, int32_t broker_id, int32_t epoch, int32_t *ret_epoch_version)
{
	int32_t controller, epoch_now, version;
	int st = znode_controller_get(zk, false, &controller);

	if (st == 0)
		st = znode_controller_epoch(zk, &epoch_now, &version);
	if (st != 0)
		return st;
	if (controller != broker_id || epoch_now != epoch)
		return -EEXIST;
	*ret_epoch_version = version;
	return 0;
}

int
znode_controller_elect(struct zk *zk, int32_t broker_id, int64_t now_ms, int32_t *ret_epoch,
		       int32_t *ret_epoch_version)
{
	char now[24], epoch_text[16];
	struct buf value = {0};
	int32_t epoch, version;
	int st = epoch_or_first(zk, &epoch, &version);

	if (st != 0)
		return st;
	snprintf(now, sizeof(now), "%lld", (long long)now_ms);
	snprintf(epoch_text, sizeof(epoch_text), "%d", ++epoch);
	znode_format(json_pack("{s:i,s:i,s:s,s:i}", "version", 2, "brokerid", broker_id,
			       "timestamp", now, "kraftControllerEpoch", -1),
		     &value);
	if (value.failed) {
		buf_fini(&value);
		return -ENOMEM;
	}
	struct zk_op ops[2] = {
	    {.kind = ZK_CREATE,
	     .path = CONTROLLER,
	     .data = buf_slice(&value),
	     .mode = ZK_EPHEMERAL},
	    {.kind = ZK_SET,
	     .path = CONTROLLER_EPOCH,
	     .data = {(const uint8_t *)epoch_text, strlen(epoch_text)},
	     .version = version},
	};
	struct zk_request request = {.ops = ops, .op_count = 2};

	st = zk_run(zk, &request, 1);
	if (st == 0)
		st = request.st;
	version = ops[1].stat.version;
	if (st == -EEXIST || st == -ESTALE)
		st = was_that_us(zk, broker_id, epoch, &version);
	zk_op_fini(&ops[0]);
	zk_op_fini(&ops[1]);
	buf_fini(&value);
	if (st == 0) {
		*ret_epoch = epoch;
		*ret_epoch_version = version;
	}
	return st;
}

int
znode_controller_resign(struct zk *zk, int32_t epoch_version)
{
	struct zk_op ops[2] = {
	    znode_controller_fence(epoch_version),
	    {.kind = ZK_DELETE, .path = CONTROLLER, .version = ZK_ANY_VERSION},
	};
	struct zk_request request = {.ops = ops, .op_count = 2};
	int st = zk_run(zk, &request, 1);

	return st != 0 ? st : request.st;
}
