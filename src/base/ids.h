/*
 * ids.h - lists of ids as messages have them: replicas, members of an ISR.
 */
#ifndef KLAMM_BASE_IDS_H
#define KLAMM_BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool
ids_list_has(const int32_t *ids, int32_t count, int32_t id)
{
	for (int32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

#endif
