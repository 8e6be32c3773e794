/*
 * Directories whose disk is full. Appends find out by themselves when there is room again, for
 * somebody tries again. A log that could not be loaded, or a new one that could not be made, has
 * nobody: so for these the manager looks, once a second, whether it can write, loads what waits and
 * tells the broker, which asks the controller for what it refused.
 *
 * What is written to look is less than a log may need: where logs still find no room, the next look
 * comes later each time.
 */
#include <fcntl.h>

#include "base/diag.h"
#include "storage/log_manager_internal.h"

#define PROBE_FILE ".klamm_room"
#define PROBE_BYTES (64 << 10)
#define LOOK_MS 1000
#define PAUSE_MAX_MS 60000

static bool
has_room(struct log_manager *lm, struct managed_dir *md)
{
	static const uint8_t zeros[PROBE_BYTES];
	struct env *env = lm->opt.env;
	int st, fd = env_openat(env, md->dir.fd, PROBE_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		return false;
	st = env_pwrite(env, fd, zeros, sizeof(zeros), 0);
	env_close(env, fd);
	(void)env_unlinkat(env, md->dir.fd, PROBE_FILE, 0);
	return st == 0;
}

static void
room_came(struct log_manager *lm, struct managed_dir *md, int64_t now_ms)
{
	bool again = md->room_pause_ms != 0 && now_ms - md->room_came_ms < 2 * PAUSE_MAX_MS;

	md->room_pause_ms = again ? 2 * md->room_pause_ms : LOOK_MS;
	if (md->room_pause_ms > PAUSE_MAX_MS)
		md->room_pause_ms = PAUSE_MAX_MS;
	md->room_came_ms = now_ms;
	md->room_due_ms = now_ms + md->room_pause_ms;
	atomic_store(&md->lacks_room, false);
	diag_info(DIAG_STORAGE, "there is room again", "dir=%s", md->dir.path);
	log_manager_load_waiting(lm, md);
}

void
log_manager_look_for_room(struct log_manager *lm)
{
	int64_t now_ms = env_monotonic_ms(lm->opt.env);

	for (size_t i = 0; i < lm->dir_count && !atomic_load(&lm->closing); i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (!atomic_load(&md->lacks_room) || log_dir_is_offline(&md->dir) ||
		    now_ms < md->room_due_ms)
			continue;
		if (has_room(lm, md))
			room_came(lm, md, now_ms);
		else
			md->room_due_ms = now_ms + LOOK_MS;
	}
}
