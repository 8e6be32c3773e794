/*
 * Dispatch. A call is taken from a list that each thread keeps, with an arena whose first chunk
 * stays: a small request is decoded, carried out and answered without malloc() but for the reply.
 */
#include "api/api.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "base/diag.h"
#include "replica/fetch_session.h"
#include "storage/file_cache.h"

/* A decoded message takes at most so much more memory than its frame. */
#define ARENA_BYTES_MIN ((size_t)1 << 20)
#define ARENA_BYTES_PER_FRAME_BYTE 16
#define SPARE_CALLS_MAX 64

static _Thread_local struct api_call *spare_calls[SPARE_CALLS_MAX];
static _Thread_local size_t spare_call_count;
static pthread_key_t spare_calls_key; /* its destructor frees the list of a thread that ends */
static pthread_once_t spare_calls_once = PTHREAD_ONCE_INIT;

static const struct api_entry entries[] = {
#define API(key_, handler, min_, max_, caller, authorisation_)                                     \
	{.key = key_,                                                                              \
	 .min = min_,                                                                              \
	 .max = max_,                                                                              \
	 .authorisation = authorisation_,                                                          \
	 .handle = api_##handler},
#include "api/api.def"
#undef API
};

/* Calls */

static void
free_spare_calls(void *arg)
{
	(void)arg;
	while (spare_call_count > 0) {
		struct api_call *call = spare_calls[--spare_call_count];

		arena_fini(&call->arena);
		free(call);
	}
}

static void
make_spare_calls_key(void)
{
	if (pthread_key_create(&spare_calls_key, free_spare_calls) != 0)
		abort();
}

static struct api_call *
call_new(struct api *api, struct net_request *req)
{
	struct api_call *call;

	if (spare_call_count > 0) {
		call = spare_calls[--spare_call_count];
	} else {
		call = calloc(1, sizeof(*call));
		if (call == NULL)
			return NULL;
		arena_init(&call->arena, 0);
	}
	call->arena.limit = ARENA_BYTES_MIN + req->len * ARENA_BYTES_PER_FRAME_BYTE;
	call->api = api;
	call->req = req;
	call->reactor = connection_reactor(req->conn);
	atomic_store_explicit(&call->references, 1, memory_order_relaxed);
	atomic_store_explicit(&call->woken, false, memory_order_relaxed);
	req->user = call;
	return call;
}

static void
call_put(struct api_call *call)
{
	struct arena arena;

	if (atomic_fetch_sub(&call->references, 1) != 1)
		return;
	arena_reset(&call->arena);
	arena = call->arena;
	memset(call, 0, sizeof(*call));
	call->arena = arena;
	if (spare_call_count < SPARE_CALLS_MAX &&
	    (spare_call_count > 0 || pthread_setspecific(spare_calls_key, spare_calls) == 0)) {
		spare_calls[spare_call_count++] = call;
		return;
	}
	arena_fini(&call->arena);
	free(call);
}

static void
stop_waiting_for_metadata(struct api_call *call)
{
	struct api *api = call->api;

	lock_acquire(&api->waiting_lock);
	*call->prev_waiting = call->next_waiting;
	if (call->next_waiting != NULL)
		call->next_waiting->prev_waiting = call->prev_waiting;
	lock_release(&api->waiting_lock);
	call->waits_for_metadata = false;
}

static int64_t
now_us(const struct api_call *call)
{
	return env_monotonic_us(call->api->settings.env);
}

/* It waits no longer. */
static void
end_parking(struct api_call *call, int64_t now)
{
	if (call->parked_us != 0)
		call->elapsed_us[API_PHASE_REMOTE] += now - call->parked_us;
	call->parked_us = 0;
}

/* What was neither queued nor parked was work. */
static void
count_time(struct api_call *call)
{
	struct histogram *phases = call->entry->phases;
	int64_t now = now_us(call), total = now - call->req->received_us;
	int64_t *elapsed = call->elapsed_us;

	end_parking(call, now);
	elapsed[API_PHASE_LOCAL] = total - elapsed[API_PHASE_QUEUE] - elapsed[API_PHASE_REMOTE];
	for (int phase = 0; phase < API_PHASE_SEND; phase++)
		histogram_observe(&phases[phase], elapsed[phase]);
	histogram_observe(call->entry->time, total);
	call->req->sending = &phases[API_PHASE_SEND];
	call->req->answered_us = now;
}

/* The end of every call, before its request ends. On the reactor. */
static void
call_end(struct api_call *call)
{
	assert(!call->ended);
	call->ended = true;
	if (call->parked)
		reactor_cancel(call->reactor, &call->timer);
	if (call->waits_for_metadata)
		stop_waiting_for_metadata(call);
	if (call->finish != NULL)
		call->finish(call);
	count_time(call);
	call->req->user = NULL;
}

static void
put_file(void *file)
{
	log_file_put(file);
}

/* Adds one piece of records that the encoder left out. */
static void
add_records(struct net_reply *reply, const struct wire_records *records)
{
	struct buf copy = {0};
	int fd;

	if (records->file == NULL) {
		buf_append(&copy, records->data.data, records->data.len);
		net_reply_add_buf(reply, &copy);
		return;
	}
	fd = log_file_fd(records->file);
	if (fd < 0) {
		log_file_put(records->file);
		reply->failed = true;
		return;
	}
	net_reply_add_file(reply, fd, records->pos, records->len, put_file, records->file);
}

/* From the encoder's one buffer and what goes into it to the parts of a reply. */
static void
make_reply(struct wire_out *out, struct net_reply *reply)
{
	size_t at = 0;

	if (out->insertion_count == 0) {
		net_reply_add_buf(reply, out->buf);
		return;
	}
	for (size_t i = 0; i < out->insertion_count; i++) {
		struct buf piece = {0};

		if (out->insertions[i].at > at) {
			buf_append(&piece, out->buf->data + at, out->insertions[i].at - at);
			net_reply_add_buf(reply, &piece);
		}
		add_records(reply, &out->insertions[i].records);
		at = out->insertions[i].at;
	}
	if (out->buf->len > at) {
		struct buf piece = {0};

		buf_append(&piece, out->buf->data + at, out->buf->len - at);
		net_reply_add_buf(reply, &piece);
	}
}

void
api_answer(struct api_call *call, const void *response)
{
	const struct api_entry *entry = call->entry;
	struct net_request *req = call->req;
	struct net_reply reply;
	struct wire_out out;
	struct buf buf = {0};
	int st;

	net_reply_init(&reply);
	wire_out_init(&out, &buf);
	buf_append_be32(&buf, (uint32_t)call->head.correlation_id);
	if (wire_response_header_version(entry->wire, api_version(call)) == 1)
		buf_append_u8(&buf, 0); /* no tagged fields */
	st = wire_encode(entry->wire->response, response, api_version(call), &out);
	make_reply(&out, &reply);
	call_end(call);
	if (st != 0 || buf.failed || reply.failed) {
		diag_error(DIAG_API, "cannot encode an answer",
			   "api=%s version=%d field=%s reason=%s", entry->wire->name,
			   api_version(call), out.failed_field == NULL ? "-" : out.failed_field,
			   out.failed_why == NULL ? "memory" : out.failed_why);
		net_reply_fini(&reply);
		net_request_close(req);
	} else {
		net_request_answer(req, &reply);
	}
	buf_fini(&buf);
	wire_out_fini(&out);
	call_put(call);
}

void
api_no_answer(struct api_call *call)
{
	struct net_request *req = call->req;

	call_end(call);
	net_request_done(req);
	call_put(call);
}

void
api_close_connection(struct api_call *call)
{
	struct net_request *req = call->req;

	call_end(call);
	net_request_close(req);
	call_put(call);
}

void
api_out_of_memory(struct api_call *call)
{
	char name[CONNECTION_NAME_LEN];

	diag_warn(DIAG_API, "closed a connection whose request needs too much memory",
		  "peer=%s api=%s bytes=%zu", connection_name(call->req->conn, name, sizeof(name)),
		  call->entry->wire->name, call->req->len);
	api_close_connection(call);
}

/* Parking */

/* What it does now is work; if nothing ends the waiting it goes on. */
static void
run_resume(struct api_call *call, bool timed_out)
{
	end_parking(call, now_us(call));
	api_hold(call);
	call->resume(call, timed_out);
	if (!call->ended && call->parked && call->parked_us == 0)
		call->parked_us = now_us(call);
	api_release(call);
}

static void
on_timer(struct timer *timer, void *arg)
{
	struct api_call *call = arg;

	(void)timer;
	run_resume(call, true);
}

void
api_park(struct api_call *call, int64_t timeout_ms, api_resume_fn *resume)
{
	int64_t now = reactor_now_ms(call->reactor);

	call->resume = resume;
	if (!call->parked)
		timer_init(&call->timer, on_timer, call);
	call->parked = true;
	if (call->parked_us == 0)
		call->parked_us = now_us(call);
	if (timeout_ms < 0)
		timeout_ms = 0;
	reactor_arm(call->reactor, &call->timer, now + timeout_ms);
}

static void
run_wake(void *arg)
{
	struct api_call *call = arg;

	atomic_store(&call->woken, false);
	if (!call->ended && call->parked)
		run_resume(call, false);
	call_put(call);
}

void
api_wake(struct api_call *call)
{
	if (atomic_exchange(&call->woken, true))
		return; /* on its way already */
	atomic_fetch_add(&call->references, 1);
	reactor_post(call->reactor, run_wake, call);
}

void
api_hold(struct api_call *call)
{
	atomic_fetch_add(&call->references, 1);
}

void
api_release(struct api_call *call)
{
	call_put(call);
}

void
api_wait_for_metadata(struct api_call *call)
{
	struct api *api = call->api;

	if (call->waits_for_metadata)
		return;
	call->waits_for_metadata = true;
	lock_acquire(&api->waiting_lock);
	call->next_waiting = api->waiting;
	call->prev_waiting = &api->waiting;
	if (api->waiting != NULL)
		api->waiting->prev_waiting = &call->next_waiting;
	api->waiting = call;
	lock_release(&api->waiting_lock);
}

void
api_metadata_changed(struct api *api)
{
	lock_acquire(&api->waiting_lock);
	for (struct api_call *call = api->waiting; call != NULL; call = call->next_waiting)
		api_wake(call);
	lock_release(&api->waiting_lock);
}

/* Work elsewhere */

struct errand {
	int64_t submitted_us;
	struct api_call *call;
	void (*work)(struct api_call *call);
	void (*work_with_zk)(struct api_call *call, struct zk *zk);
	void (*back)(struct api_call *call);
};

static void
run_back(void *arg)
{
	struct errand *errand = arg;
	struct api_call *call = errand->call;
	void (*back)(struct api_call *) = errand->back;

	free(errand);
	back(call);
}

static void
end_queueing(const struct errand *errand)
{
	errand->call->elapsed_us[API_PHASE_QUEUE] += now_us(errand->call) - errand->submitted_us;
}

static void
run_work(void *arg)
{
	struct errand *errand = arg;

	end_queueing(errand);
	errand->work(errand->call);
	reactor_post(errand->call->reactor, run_back, errand);
}

static void
run_work_with_zk(void *arg, struct zk *zk)
{
	struct errand *errand = arg;

	end_queueing(errand);
	errand->work_with_zk(errand->call, zk);
	reactor_post(errand->call->reactor, run_back, errand);
}

static struct errand *
errand_new(struct api_call *call, void (*back)(struct api_call *call))
{
	struct errand *errand = calloc(1, sizeof(*errand));

	if (errand == NULL)
		abort();
	if (call->parked) { /* nobody resumes it while the work goes on */
		reactor_cancel(call->reactor, &call->timer);
		call->parked = false;
	}
	errand->submitted_us = now_us(call);
	end_parking(call, errand->submitted_us);
	errand->call = call;
	errand->back = back;
	return errand;
}

void
api_work(struct api_call *call, void (*work)(struct api_call *call),
	 void (*back)(struct api_call *call))
{
	struct errand *errand = errand_new(call, back);

	errand->work = work;
	workers_submit(call->api->settings.workers, run_work, errand);
}

void
api_work_on_controller(struct api_call *call, void (*work)(struct api_call *call, struct zk *zk),
		       void (*back)(struct api_call *call))
{
	struct errand *errand = errand_new(call, back);

	errand->work_with_zk = work;
	controller_submit(call->api->settings.controller, run_work_with_zk, errand);
}

/* Requests */

static void
refuse(struct net_request *req, const struct frame_head *head, const char *why)
{
	char name[CONNECTION_NAME_LEN];

	diag_warn(DIAG_API, "closed a connection for a request that is not served",
		  "peer=%s reason=%s key=%d version=%d bytes=%zu",
		  connection_name(req->conn, name, sizeof(name)), why, head->api_key,
		  head->api_version, req->len);
	net_request_close(req);
}

static void
refuse_undecodable(struct api_call *call, const struct wire_in *in)
{
	char name[CONNECTION_NAME_LEN];

	diag_warn(DIAG_API, "closed a connection for a request that does not decode",
		  "peer=%s api=%s version=%d field=%s reason=%s position=%zu bytes=%zu",
		  connection_name(call->req->conn, name, sizeof(name)), call->entry->wire->name,
		  api_version(call), in->failed_field == NULL ? "-" : in->failed_field,
		  in->failed_why == NULL ? "memory" : in->failed_why, in->failed_pos,
		  call->req->len);
	api_close_connection(call);
}

static void
on_request(void *arg, struct net_request *req)
{
	struct api *api = arg;
	struct api_entry *entry;
	struct api_call *call;
	struct frame_head head = {0};
	struct wire_in in;
	int st;

	st = frame_peek((struct slice){req->bytes, req->len}, &head);
	entry = st == 0 && head.api_key >= 0 && head.api_key <= API_KEY_MAX
		    ? api->by_key[head.api_key]
		    : NULL;
	if (entry == NULL) {
		refuse(req, &head, st != 0 ? "no header" : "unknown API");
		return;
	}
	if (entry->key != API_VERSIONS &&
	    (head.api_version < entry->min || head.api_version > entry->max)) {
		refuse(req, &head, "unknown version");
		return;
	}
	call = call_new(api, req);
	if (call == NULL) {
		refuse(req, &head, "no memory");
		return;
	}
	call->entry = entry;
	metric_add(entry->requests, 1);
	wire_in_init(&in, (struct slice){req->bytes, req->len}, &call->arena);
	st = frame_decode_request_header(&in, &call->head);
	if (st == 0) {
		call->request = arena_alloc(&call->arena, entry->wire->request->root.size);
		if (call->request == NULL)
			st = -ENOMEM;
	}
	/* An unknown version of ApiVersions is answered without a look at its body. */
	if (st == 0 && wire_api_has_version(entry->wire, api_version(call)))
		st = wire_decode(entry->wire->request, call->request, api_version(call), &in);
	if (st != 0) {
		metric_add(entry->errors, 1);
		refuse_undecodable(call, &in);
		return;
	}
	entry->handle(call, call->request);
}

static void
on_closed(void *arg, struct net_request *req)
{
	struct api_call *call = req->user;

	struct api *api = arg;

	if (call == NULL || !call->parked || call->ended)
		return;
	if (call->droppable)
		api_close_connection(call);
	else if (atomic_load(&api->shutting_down))
		run_resume(call, true);
}

const struct net_handler *
api_handler(struct api *api)
{
	return &api->handler;
}

static void
collect_phases(struct metrics_scrape *scrape, void *arg)
{
	static const char *const names[] = {"queue", "local", "remote", "send"};
	const struct api *api = arg;

	for (size_t i = 0; i < api->entry_count; i++)
		for (int phase = 0; phase < API_PHASE_COUNT; phase++) {
			const struct api_entry *entry = &api->entries[i];
			const char *labels[] = {entry->wire->name, names[phase]};

			if (histogram_sum_us(&entry->phases[phase]) > 0)
				metrics_sample_histogram(scrape, labels, 2, &entry->phases[phase]);
		}
}

int
api_open(const struct api_settings *settings, struct api **ret_api)
{
	struct api *api = calloc(1, sizeof(*api));

	if (api == NULL)
		return -ENOMEM;
	api->settings = *settings;
	api->handler =
	    (struct net_handler){.on_request = on_request, .on_closed = on_closed, .arg = api};
	pthread_once(&spare_calls_once, make_spare_calls_key);
	lock_init(&api->waiting_lock, LOCK_API);
	api->entries = calloc(ARRAY_LEN(entries), sizeof(*api->entries));
	api->phases = calloc(ARRAY_LEN(entries) * API_PHASE_COUNT, sizeof(*api->phases));
	if (api->entries == NULL || api->phases == NULL ||
	    fetch_sessions_open(
		settings->env,
		(size_t)conf_store_get(settings->conf)->max_incremental_fetch_session_cache_slots,
		&api->sessions) != 0) {
		api_close(api);
		return -ENOMEM;
	}
	memcpy(api->entries, entries, sizeof(entries));
	api->entry_count = ARRAY_LEN(entries);
	for (size_t i = 0; i < api->entry_count; i++) {
		struct api_entry *entry = &api->entries[i];

		entry->wire = wire_api(entry->key);
		assert(entry->wire != NULL && entry->min >= entry->wire->since &&
		       entry->max <= entry->wire->until);
		entry->requests = metrics_get(METRIC_REQUESTS, entry->wire->name);
		entry->errors = metrics_get(METRIC_REQUEST_ERRORS, entry->wire->name);
		entry->phases = &api->phases[i * API_PHASE_COUNT];
		entry->time = metrics_histogram(METRIC_REQUEST_SECONDS, entry->wire->name);
		api->by_key[entry->key] = entry;
	}
	metrics_add_collector(METRIC_REQUEST_PHASE_SECONDS, collect_phases, api);
	*ret_api = api;
	return 0;
}

void
api_shut_down(struct api *api)
{
	atomic_store(&api->shutting_down, true);
	api_metadata_changed(api);
}

void
api_close(struct api *api)
{
	if (api == NULL)
		return;
	metrics_remove_collectors(api);
	fetch_sessions_close(api->sessions);
	lock_fini(&api->waiting_lock);
	free(api->phases);
	free(api->entries);
	free(api);
}
