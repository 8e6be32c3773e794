/*
 * rcu.h - liburcu, with what it orders between threads said in words that ThreadSanitizer knows.
 *
 * liburcu is not built with the sanitizer and orders memory by assembler, so the sanitizer sees
 * neither that readers have ended when a grace period is over, nor that what is found in a table
 * was complete before it was put there. Here both are told to it; in other builds nothing is added.
 *
 * Threads  any.
 * Source   liburcu's urcu-bp.
 */
#ifndef KLAMM_BASE_RCU_H
#define KLAMM_BASE_RCU_H

#include <urcu-bp.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KLAMM_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define KLAMM_TSAN 1
#endif

#ifdef KLAMM_TSAN
#include <sanitizer/tsan_interface.h>
extern char rcu_readers; /* stands for all of them */
#define RCU_TELL_BEFORE(what) __tsan_release((void *)(uintptr_t)(what))
#define RCU_TELL_AFTER(what) __tsan_acquire((void *)(uintptr_t)(what))
#else
#define RCU_TELL_BEFORE(what) ((void)(what))
#define RCU_TELL_AFTER(what) ((void)(what))
#endif

static inline void
rcu_read_begin(void)
{
	urcu_bp_read_lock();
}

static inline void
rcu_read_end(void)
{
#ifdef KLAMM_TSAN
	RCU_TELL_BEFORE(&rcu_readers);
#endif
	urcu_bp_read_unlock();
}

/* A grace period is over: first thing in what call_rcu() calls. */
static inline void
rcu_readers_have_ended(void)
{
#ifdef KLAMM_TSAN
	RCU_TELL_AFTER(&rcu_readers);
#endif
}

static inline void
rcu_wait_for_readers(void)
{
	urcu_bp_synchronize_rcu();
	rcu_readers_have_ended();
}

/* object is complete and is about to be put where readers find it; a reader has found it. */
static inline void
rcu_publish(const void *object)
{
	RCU_TELL_BEFORE(object);
}

static inline void
rcu_found(const void *object)
{
	RCU_TELL_AFTER(object);
}

#endif
