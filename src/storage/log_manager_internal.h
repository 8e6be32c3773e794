/*
 * log_manager_internal.h - struct log_manager, for the files that make it up.
 *
 *	log_manager.c		open and close, the table of logs, creation and deletion
 *	log_manager_load.c	whose the directories are, loading
 *	log_manager_tasks.c	what is due from time to time, checkpoints
 *	log_manager_metrics.c	the metrics of each log
 *	log_manager_room.c	directories whose disk is full
 *	log_manager_cleaner.c	which log is compacted next
 */
#ifndef KLAMM_STORAGE_LOG_MANAGER_INTERNAL_H
#define KLAMM_STORAGE_LOG_MANAGER_INTERNAL_H

#include <errno.h>

#include "base/lock.h"
#include "storage/checkpoint.h"
#include "storage/log_internal.h"
#include "storage/log_manager.h"

#define CLEAN_SHUTDOWN_MARK ".kafka_cleanshutdown"
#define BOOT_ID_FILE ".klamm_boot_id"
#define META_PROPERTIES "meta.properties"

struct managed_dir {
	struct log_dir dir;
	int lock_fd;     /* of .lock; -1 when not held */
	bool clean;      /* the mark was there */
	bool same_boot;  /* unclean, under this kernel */
	bool complained; /* of checkpoints that could not be written; whoever writes them */
	/* Under the manager's lock. */
	/* How often lines were taken out of the checkpoints, and which of it is written. */
	uint64_t removals;
	uint64_t removals_written;
	size_t log_count; /* for the choice of a directory */
	size_t to_load;
	size_t failed_logs;       /* could not be loaded or closed: no clean mark at the end */
	struct load_job *waiting; /* could not be loaded for want of room */
	/* A log could not be made or loaded for want of room, and there was none since. */
	_Atomic bool lacks_room;
	/* TASK_ROOM's own. */
	int64_t room_due_ms, room_came_ms, room_pause_ms;
	/*
	 * What the checkpoints say, or will say when they are written next. Logs that could not be
	 * loaded keep their lines.
	 */
	struct offset_table recovery_points;
	struct offset_table log_starts;
	struct offset_table high_watermarks;
	struct offset_table cleaner_offsets;
};

/* Tasks that must not run twice at once. */
enum log_task {
	TASK_RETENTION,
	TASK_CHECKPOINT,
	TASK_EXPIRY,
	TASK_TRASH,
	TASK_FLUSH,
	TASK_CLEAN,
	TASK_ROOM,
	TASK_COUNT,
};

struct log_manager {
	struct log_manager_options opt;
	struct log_context ctx;
	struct log_jobs jobs;
	struct managed_dir *dirs;
	size_t dir_count;
	char boot_id[64];

	struct lock lock;   /* LOCK_LOG_MANAGER: all below, and what managed_dir says */
	struct map logs;    /* name -> struct log, counted */
	struct map futures; /* the same for those being moved */
	struct map unready; /* name -> this manager: being loaded, or not loadable */
	size_t to_load;
	size_t loaded;
	bool loading;
	bool all_loaded;
	pthread_cond_t loading_ended;
	struct log_cleaner_settings cleaner; /* opt.cleaner at first */
	bool writing_checkpoints;            /* one thread at a time */
	pthread_cond_t checkpoints_written;
	_Atomic bool closing;

	struct log_manager_look *look; /* of a scrape under way; under LOCK_SCRAPE */

	/* The ticking thread's own. */
	int64_t due_ms[TASK_COUNT];
	int64_t cleaned_ms; /* when TASK_CLEAN was started last */
	int64_t recovery_due_ms, starts_due_ms, high_watermarks_due_ms;
	bool ticked;
	_Atomic bool running[TASK_COUNT];
	_Atomic unsigned checkpoints_due; /* bits: CHECKPOINT_DUE_* */
};

#define CHECKPOINT_DUE_RECOVERY 1u
#define CHECKPOINT_DUE_STARTS 2u
#define CHECKPOINT_DUE_HIGH_WATERMARKS 4u
#define CHECKPOINT_DUE_CLEANER 8u
#define CHECKPOINT_DUE_ALL 15u

/* All logs, each counted, to be given to log_manager_free_list(). Empty without memory. */
struct log **log_manager_list(struct log_manager *lm, bool futures, size_t *ret_count);
void log_manager_free_list(struct log **logs, size_t count);

/* The settings of a topic's logs. */
void log_manager_configure(struct log_manager *lm, const char *topic,
			   struct log_config *ret_config);

/*
 * Writes what has changed of `which`, of all directories that are online. Returns the first error
 * of those that stay online, which the next call tries again.
 */
int log_manager_write_checkpoints(struct log_manager *lm, unsigned which);
/* The same by a worker, as soon as there is one. */
void log_manager_checkpoint_soon(struct log_manager *lm, unsigned which);
/* Loads what md->waiting has, as room has come; then tells that there is room. */
void log_manager_load_waiting(struct log_manager *lm, struct managed_dir *md);
void log_manager_drop_waiting(struct managed_dir *md);
/* Does this status say that the disk, or somebody's share of it, is full? */
static inline bool
log_manager_is_full(int st)
{
	return st == -ENOSPC || st == -EDQUOT;
}
/* Looks whether there is room again where there was none. */
void log_manager_look_for_room(struct log_manager *lm);
struct log_cleaner_settings log_manager_cleaner_settings(struct log_manager *lm);
/* Compacts what is dirty, the dirtiest log first, until nothing is. */
void log_manager_clean(struct log_manager *lm);
void log_manager_add_collectors(struct log_manager *lm);

#endif
