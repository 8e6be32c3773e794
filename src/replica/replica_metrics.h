/*
 * replica_metrics.h - what is counted of all partitions when somebody scrapes.
 *
 * Threads  the scraping one; it looks at each partition once, under its lock.
 */
#ifndef KLAMM_REPLICA_REPLICA_METRICS_H
#define KLAMM_REPLICA_REPLICA_METRICS_H

#include "replica/replica_manager.h"

struct replica_metrics;

/* Aborts without memory. */
struct replica_metrics *replica_metrics_open(struct replica_manager *rm, struct env *env);
/* Nothing is counted any more. Accepts NULL. */
void replica_metrics_close(struct replica_metrics *m);

#endif
