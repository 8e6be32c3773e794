#include "storage/log_dir.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "wire/kerr.h"

void
log_metrics_init(struct log_metrics *m)
{
	m->appended_bytes = metrics_get(METRIC_LOG_APPENDED_BYTES, "");
	m->appended_batches = metrics_get(METRIC_LOG_APPENDED_BATCHES, "");
	m->rolls = metrics_get(METRIC_LOG_ROLLS, "");
	m->deleted_segments = metrics_get(METRIC_LOG_DELETED_SEGMENTS, "");
	m->recovery_bytes = metrics_get(METRIC_LOG_RECOVERY_BYTES, "");
	m->truncated_bytes = metrics_get(METRIC_LOG_TRUNCATED_BYTES, "");
	m->flush_time = metrics_histogram(METRIC_LOG_FLUSH_TIME, "");
}

void
log_jobs_init(struct log_jobs *jobs)
{
	lock_init(&jobs->lock, LOCK_LOG_JOBS);
	pthread_cond_init(&jobs->idle, NULL);
	jobs->count = 0;
}

void
log_jobs_fini(struct log_jobs *jobs)
{
	pthread_cond_destroy(&jobs->idle);
	lock_fini(&jobs->lock);
}

void
log_jobs_submit(const struct log_context *ctx, mailbox_fn *fn, void *arg)
{
	lock_acquire(&ctx->jobs->lock);
	ctx->jobs->count++;
	lock_release(&ctx->jobs->lock);
	workers_submit(ctx->workers, fn, arg);
}

void
log_jobs_end(struct log_jobs *jobs)
{
	lock_acquire(&jobs->lock);
	if (--jobs->count == 0)
		pthread_cond_broadcast(&jobs->idle);
	lock_release(&jobs->lock);
}

void
log_jobs_wait(struct log_jobs *jobs)
{
	lock_acquire(&jobs->lock);
	while (jobs->count > 0)
		lock_wait(&jobs->lock, &jobs->idle);
	lock_release(&jobs->lock);
}

/* Does this error speak of the directory, rather than of this request or this process? */
static bool
is_fatal(int st)
{
	switch (-st) {
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
	case EAGAIN:
	case EINTR:
	case EMFILE:
	case ENFILE:
	case EINVAL:
	case EILSEQ:
	case ENODATA:
	case ECANCELED:
	case EOVERFLOW:
		return false;
	default:
		return st < 0;
	}
}

int
log_dir_judge(struct log_dir *dir, int st, const char *doing, const char *name)
{
	int online = 0;

	if (!is_fatal(st))
		return st;
	if (atomic_compare_exchange_strong(&dir->error, &online, -st))
		diag_error(DIAG_STORAGE, "log directory went offline",
			   "dir=%s while=\"%s\" partition=%s error=%s", dir->path, doing, name,
			   strerror(-st));
	return K_KAFKA_STORAGE_ERROR;
}

void
log_dir_report(struct log_dir *dir)
{
	int error = atomic_load(&dir->error);

	if (error == 0 || dir->ctx->dir_failed == NULL || atomic_exchange(&dir->reported, true))
		return;
	dir->ctx->dir_failed(dir->ctx->arg, dir, error);
}
