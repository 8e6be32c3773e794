/*
 * replica_metrics.h - what is counted of all partitions when somebody scrapes.
 *
 * Threads  the scraping one; it looks at each partition in turn, under its lock.
 */
#ifndef KLAMM_REPLICA_REPLICA_METRICS_H
#define KLAMM_REPLICA_REPLICA_METRICS_H

#include "replica/replica_manager.h"

/* Until metrics_remove_collectors(rm). */
void replica_metrics_add(struct replica_manager *rm);

#endif
