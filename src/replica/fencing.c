#include "replica/fencing.h"

#include "base/ids.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/kerr.h"

int
fencing_check_controller(int64_t our_broker_epoch, int32_t *controller_epoch, int64_t broker_epoch,
			 int32_t epoch)
{
	if (broker_epoch != -1 && broker_epoch < our_broker_epoch)
		return K_STALE_BROKER_EPOCH;
	if (epoch < *controller_epoch)
		return K_STALE_CONTROLLER_EPOCH;
	*controller_epoch = epoch;
	return 0;
}

static bool
is_another_topic(const struct fencing_replica *ours, const struct uuid *topic_id)
{
	return !uuid_is_zero(topic_id) && !uuid_is_zero(&ours->topic_id) &&
	       !uuid_equal(topic_id, &ours->topic_id);
}

int
fencing_check_state(const struct fencing_replica *ours, int32_t broker_id,
		    const struct uuid *topic_id, const struct leader_and_isr_partition_state *state)
{
	if (ours->offline)
		return K_KAFKA_STORAGE_ERROR;
	if (is_another_topic(ours, topic_id))
		return K_INCONSISTENT_TOPIC_ID;
	if (state->leader_epoch <= ours->leader_epoch)
		return K_STALE_CONTROLLER_EPOCH;
	if (!ids_list_has(state->replicas, state->replicas_count, broker_id))
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	return 0;
}

int
fencing_check_stop(const struct fencing_replica *ours, int32_t leader_epoch)
{
	if (ours->offline)
		return K_KAFKA_STORAGE_ERROR;
	if (leader_epoch != FENCING_EPOCH_DURING_DELETE && leader_epoch != -1 &&
	    leader_epoch < ours->leader_epoch)
		return K_FENCED_LEADER_EPOCH;
	return 0;
}

int
fencing_check_reader(const struct fencing_replica *ours, const struct uuid *topic_id,
		     int32_t leader_epoch)
{
	/* An id of zero is one that they do say, and it is not ours. */
	if (topic_id != NULL && !uuid_is_zero(&ours->topic_id) &&
	    !uuid_equal(topic_id, &ours->topic_id))
		return K_INCONSISTENT_TOPIC_ID;
	if (leader_epoch != -1 && leader_epoch < ours->leader_epoch)
		return K_FENCED_LEADER_EPOCH;
	if (leader_epoch != -1 && leader_epoch > ours->leader_epoch)
		return K_UNKNOWN_LEADER_EPOCH;
	return 0;
}
