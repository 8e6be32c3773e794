/*
 * missing_replica.h - why a replica is not in the ISR: what DescribeLogDirs' tag 10000 tells.
 */
#ifndef KLAMM_WIRE_MISSING_REPLICA_H
#define KLAMM_WIRE_MISSING_REPLICA_H

enum missing_reason {
	MISSING_UNKNOWN = 0,
	MISSING_NOT_REGISTERED = 1,    /* its broker is not there */
	MISSING_DIRECTORY_OFFLINE = 2, /* the log directory there has failed */
	MISSING_NEVER_FETCHED = 3,     /* not since the leader was elected */
	MISSING_STOPPED_FETCHING = 4,  /* not for longer than replica.lag.time.max.ms */
	MISSING_CATCHING_UP = 5,       /* it lacks records, and takes them */
	MISSING_THROTTLED = 6,         /* the same, as fast as it may */
	MISSING_ABOUT_TO_JOIN = 7,     /* it has all: the controller has yet to admit it */
	MISSING_NOT_IN_ISR = 8, /* it is there, but may lack records that were acknowledged */
};

#endif
