/*
 * trash.h - files and directories that were renamed for deletion and go after a delay.
 *
 * A response may still be reading a deleted segment, and an operator may want a deleted topic back:
 * so files are renamed at once and removed file.delete.delay.ms later. What is left when the
 * process ends is removed at the next start.
 *
 * Threads  any: LOCK_TRASH.
 * Source   storage-format, sections 7.5 and 13.
 */
#ifndef KLAMM_STORAGE_TRASH_H
#define KLAMM_STORAGE_TRASH_H

#include "storage/segment.h"

struct trash;

MUST_CHECK int trash_open(struct env *env, struct trash **ret_trash);
/* What still waits stays on the disk. Accepts NULL. */
void trash_close(struct trash *t);
/* A segment whose files have been renamed; takes the caller's reference. due_ms: monotonic. */
void trash_add_segment(struct trash *t, struct segment *seg, int64_t due_ms);
/* A partition's directory below root_fd; the name is copied. */
void trash_add_dir(struct trash *t, int root_fd, const char *name, int64_t due_ms);
/* Removes what is due. Errors are logged: the files go at the next start. */
void trash_run(struct trash *t, int64_t now_ms);
/* How many things wait. */
size_t trash_count(struct trash *t);

/* Removes a directory below root_fd and the plain files in it. 0 also when there is none. */
MUST_CHECK int trash_remove_dir(struct env *env, int root_fd, const char *name);

#endif
