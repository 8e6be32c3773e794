/*
 * replica_plan.c - decides which brokers shall hold which replicas.
 *
 * Brokers become slots: those that are there, and those that only stand in assignments. The plan is
 * made in three passes over a working copy of the assignment, in slots:
 *
 *  place   partition by partition: replicas go that have to, and the best other brokers come
 *  fill    replica by replica: from the fullest broker to the emptiest of the added, while that
 *          makes them more even
 *  lead    in what was changed: the replica that is preferred by the fewest comes first, unless the
 *          present one is as good
 *
 * Counts of replicas by broker, by topic and broker, and of preferred leaders follow each change.
 *
 * Filling looks for a topic first, and only then at its partitions: a cluster may have many. A
 * topic that has nothing left to give, from one broker to another, is not looked at again for those
 * two.
 */
#include "cli/replica_plan.h"

#include <errno.h>
#include <stdlib.h>

#define NO_SLOT (-1)

struct slot {
	int32_t id;
	int32_t rack; /* number of it; slots without one have numbers of their own */
	bool there;   /* alive */
	bool drained;
	bool added;
	bool receives; /* may be given replicas */
	int64_t load;  /* replicas */
	int64_t leads; /* as the first of the replicas */
};

/* A partition in slots. */
struct work {
	int32_t *slots;
	int32_t count;
	size_t topic; /* number of it */
	bool changed;
};

struct planner {
	const struct plan_request *request;
	struct plan_partition *partitions;
	size_t count;
	struct arena *arena;
	struct buf *why;
	struct slot *slots; /* by id */
	int32_t slot_count;
	struct work *work;
	int32_t *by_topic;   /* [topic][slot]: replicas */
	size_t *topic_first; /* [topic]: its first partition; one more for the end */
	size_t topic_count;
};

/* ---- the world in slots ---- */

static int
compare_ids(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static bool
has_id(const int32_t *ids, size_t count, int32_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

static const struct plan_broker *
broker_of(const struct plan_request *request, int32_t id)
{
	for (size_t i = 0; i < request->broker_count; i++) {
		if (request->brokers[i].id == id)
			return &request->brokers[i];
	}
	return NULL;
}

static int32_t
slot_of(const struct planner *p, int32_t id)
{
	int32_t low = 0, high = p->slot_count;

	while (low < high) {
		int32_t mid = low + (high - low) / 2;

		if (p->slots[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->slot_count && p->slots[low].id == id ? low : NO_SLOT;
}

/* Number of a rack: of the first broker that has it; those without it are racks of their own. */
static void
number_racks(struct planner *p)
{
	bool racks = p->request->broker_count > 0;

	for (size_t i = 0; i < p->request->broker_count; i++)
		racks = racks && p->request->brokers[i].rack != NULL;
	for (int32_t i = 0; i < p->slot_count; i++) {
		const struct plan_broker *b = broker_of(p->request, p->slots[i].id);

		p->slots[i].rack = i;
		for (int32_t k = 0; racks && b != NULL && k < i; k++) {
			const struct plan_broker *other = broker_of(p->request, p->slots[k].id);

			if (other != NULL && strcmp(other->rack, b->rack) == 0) {
				p->slots[i].rack = p->slots[k].rack;
				break;
			}
		}
	}
}

/* All ids that there are anywhere, once each. */
static int
collect_slots(struct planner *p)
{
	size_t total = p->request->broker_count, kept = 0;
	int32_t *ids;

	for (size_t i = 0; i < p->count; i++)
		total += (size_t)p->partitions[i].replica_count;
	ids = calloc(total + 1, sizeof(*ids));
	if (ids == NULL)
		return -ENOMEM;
	total = 0;
	for (size_t i = 0; i < p->request->broker_count; i++)
		ids[total++] = p->request->brokers[i].id;
	for (size_t i = 0; i < p->count; i++) {
		for (int32_t k = 0; k < p->partitions[i].replica_count; k++)
			ids[total++] = p->partitions[i].replicas[k];
	}
	qsort(ids, total, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < total; i++) {
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	}
	p->slots = arena_calloc(p->arena, kept + 1, sizeof(*p->slots));
	for (size_t i = 0; p->slots != NULL && i < kept; i++)
		p->slots[p->slot_count++].id = ids[i];
	free(ids);
	return p->slots == NULL ? -ENOMEM : 0;
}

static void
mark_slots(struct planner *p)
{
	const struct plan_request *r = p->request;

	for (int32_t i = 0; i < p->slot_count; i++) {
		struct slot *s = &p->slots[i];

		s->there = broker_of(r, s->id) != NULL;
		s->drained = has_id(r->drained, r->drained_count, s->id);
		s->added = has_id(r->added, r->added_count, s->id);
		s->receives = s->there && !s->drained &&
			      (r->allowed == NULL || has_id(r->allowed, r->allowed_count, s->id));
	}
	number_racks(p);
}

static int32_t *
topic_load(const struct planner *p, const struct work *w, int32_t slot)
{
	return &p->by_topic[w->topic * (size_t)p->slot_count + (size_t)slot];
}

static void
count_replica(struct planner *p, const struct work *w, int32_t slot, int by)
{
	p->slots[slot].load += by;
	*topic_load(p, w, slot) += by;
}

static int
take_partition(struct planner *p, size_t i)
{
	const struct plan_partition *from = &p->partitions[i];
	struct work *w = &p->work[i];
	int32_t room = from->replica_count;

	if (room < p->request->replication_factor)
		room = p->request->replication_factor;
	w->slots = arena_calloc(p->arena, (size_t)room + 1, sizeof(*w->slots));
	if (w->slots == NULL)
		return -ENOMEM;
	if (i > 0)
		w->topic =
		    p->work[i - 1].topic + (strcmp(from->topic, p->partitions[i - 1].topic) != 0);
	for (int32_t k = 0; k < from->replica_count; k++)
		w->slots[w->count++] = slot_of(p, from->replicas[k]);
	return 0;
}

static int
number_topics(struct planner *p)
{
	p->topic_count = p->count == 0 ? 0 : p->work[p->count - 1].topic + 1;
	p->topic_first = arena_calloc(p->arena, p->topic_count + 1, sizeof(*p->topic_first));
	p->by_topic = arena_calloc(p->arena, p->topic_count * (size_t)p->slot_count + 1,
				   sizeof(*p->by_topic));
	if (p->topic_first == NULL || p->by_topic == NULL)
		return -ENOMEM;
	for (size_t i = p->count; i > 0; i--)
		p->topic_first[p->work[i - 1].topic] = i - 1;
	p->topic_first[p->topic_count] = p->count;
	return 0;
}

static int
take_world(struct planner *p)
{
	int st;

	st = collect_slots(p);
	if (st != 0)
		return st;
	mark_slots(p);
	p->work = arena_calloc(p->arena, p->count + 1, sizeof(*p->work));
	if (p->work == NULL)
		return -ENOMEM;
	for (size_t i = 0; st == 0 && i < p->count; i++)
		st = take_partition(p, i);
	if (st == 0)
		st = number_topics(p);
	if (st != 0)
		return st;
	for (size_t i = 0; i < p->count; i++) {
		for (int32_t k = 0; k < p->work[i].count; k++)
			count_replica(p, &p->work[i], p->work[i].slots[k], 1);
		if (p->work[i].count > 0)
			p->slots[p->work[i].slots[0]].leads++;
	}
	return 0;
}

/* ---- place ---- */

static bool
holds(const struct work *w, int32_t slot)
{
	for (int32_t i = 0; i < w->count; i++) {
		if (w->slots[i] == slot)
			return true;
	}
	return false;
}

/* How many of the replicas, but for the one at `but`, stand in that slot's rack. */
static int32_t
rack_uses(const struct planner *p, const struct work *w, int32_t slot, int32_t but)
{
	int32_t uses = 0;

	for (int32_t i = 0; i < w->count; i++)
		uses += i != but && p->slots[w->slots[i]].rack == p->slots[slot].rack;
	return uses;
}

/* The first difference decides; 0 when there is none. */
static int
compare_keys(const int64_t *a, const int64_t *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	}
	return 0;
}

/* The best broker for one more replica, or for the one at `but` (-1: none). */
static int32_t
best_receiver(const struct planner *p, const struct work *w, int32_t but)
{
	int64_t best_key[3] = {0};
	int32_t best = NO_SLOT;

	for (int32_t i = 0; i < p->slot_count; i++) {
		int64_t key[3] = {rack_uses(p, w, i, but), *topic_load(p, w, i), p->slots[i].load};

		if (!p->slots[i].receives || holds(w, i))
			continue;
		if (best == NO_SLOT || compare_keys(key, best_key, 3) < 0) {
			best = i;
			memcpy(best_key, key, sizeof(key));
		}
	}
	return best;
}

/* Which replica to do without: one that has to go, that is not there, not in sync, twice in a rack;
 * the first of the list last. */
static int32_t
worst_replica(const struct planner *p, size_t i)
{
	const struct plan_partition *from = &p->partitions[i];
	const struct work *w = &p->work[i];
	int64_t worst_key[7] = {0};
	int32_t worst = 0;

	for (int32_t k = 0; k < w->count; k++) {
		const struct slot *s = &p->slots[w->slots[k]];
		int64_t key[7] = {s->drained,
				  !s->there,
				  !has_id(from->isr, (size_t)from->isr_count, s->id),
				  k != 0,
				  rack_uses(p, w, w->slots[k], k),
				  *topic_load(p, w, w->slots[k]),
				  s->load};

		if (k == 0 || compare_keys(key, worst_key, 7) >= 0) {
			worst = k;
			memcpy(worst_key, key, sizeof(key));
		}
	}
	return worst;
}

static void
drop_replica(struct planner *p, struct work *w, int32_t index)
{
	count_replica(p, w, w->slots[index], -1);
	memmove(&w->slots[index], &w->slots[index + 1],
		(size_t)(--w->count - index) * sizeof(*w->slots));
	w->changed = true;
}

static void
put_replica(struct planner *p, struct work *w, int32_t index, int32_t slot)
{
	w->slots[index] = slot;
	count_replica(p, w, slot, 1);
	w->changed = true;
}

static int
refuse_too_few(struct planner *p, size_t i, int32_t wanted)
{
	int32_t brokers = 0, drained = 0;

	for (int32_t k = 0; k < p->slot_count; k++) {
		brokers += p->slots[k].receives;
		drained += p->slots[k].drained;
	}
	buf_printf(p->why,
		   "%s-%d is to have %d replica%s, and %d broker%s may be given some%s: add "
		   "brokers%s, or plan a lower replication factor for '%s'",
		   p->partitions[i].topic, p->partitions[i].partition, wanted,
		   wanted == 1 ? "" : "s", brokers, brokers == 1 ? "" : "s",
		   drained > 0 ? ", the drained ones not counted" : "",
		   p->request->allowed != NULL ? " to --brokers" : "", p->partitions[i].topic);
	return -EINVAL;
}

static int
place_partition(struct planner *p, size_t i)
{
	int32_t wanted = p->request->replication_factor;
	struct work *w = &p->work[i];

	if (wanted == 0)
		wanted = w->count;
	while (w->count > wanted)
		drop_replica(p, w, worst_replica(p, i));
	for (int32_t k = 0; k < w->count; k++) {
		int32_t to;

		if (!p->slots[w->slots[k]].drained)
			continue;
		to = best_receiver(p, w, k);
		if (to == NO_SLOT)
			return refuse_too_few(p, i, wanted);
		count_replica(p, w, w->slots[k], -1);
		put_replica(p, w, k, to);
	}
	while (w->count < wanted) {
		int32_t to = best_receiver(p, w, -1);

		if (to == NO_SLOT)
			return refuse_too_few(p, i, wanted);
		put_replica(p, w, w->count++, to);
	}
	return 0;
}

/* ---- fill ---- */

/* What filling remembers for one added broker. */
struct fill {
	int32_t to;
	bool stuck;  /* nobody has anything for it */
	bool *spent; /* [topic][from]: nothing left that fits */
	bool *tried; /* [from]: for the present replica */
};

struct fill_move {
	struct work *w;
	int32_t index;
};

/* The topic that becomes the most even by a move from there, of those that may have one. */
static bool
best_topic(const struct planner *p, const struct fill *f, int32_t from, size_t *ret_topic)
{
	size_t slots = (size_t)p->slot_count;
	int32_t best = 0;
	bool any = false;

	for (size_t t = 0; t < p->topic_count; t++) {
		const int32_t *load = &p->by_topic[t * slots];
		int32_t gain = load[from] - load[f->to];

		if (load[from] == 0 || f->spent[t * slots + (size_t)from] || (any && gain <= best))
			continue;
		best = gain;
		any = true;
		*ret_topic = t;
	}
	return any;
}

/* A replica of the topic that can go from there without bringing a rack twice. */
static bool
move_of_topic(const struct planner *p, size_t topic, int32_t from, int32_t to,
	      struct fill_move *ret_move)
{
	for (size_t i = p->topic_first[topic]; i < p->topic_first[topic + 1]; i++) {
		struct work *w = &p->work[i];

		if (p->partitions[i].fixed || holds(w, to))
			continue;
		for (int32_t k = 0; k < w->count; k++) {
			if (w->slots[k] == from &&
			    rack_uses(p, w, to, k) <= rack_uses(p, w, from, k)) {
				*ret_move = (struct fill_move){w, k};
				return true;
			}
		}
	}
	return false;
}

static bool
best_move(const struct planner *p, const struct fill *f, int32_t from, struct fill_move *ret_move)
{
	size_t topic;

	while (best_topic(p, f, from, &topic)) {
		if (move_of_topic(p, topic, from, f->to, ret_move))
			return true;
		f->spent[topic * (size_t)p->slot_count + (size_t)from] = true;
	}
	return false;
}

/* How many replicas a broker would hold were all even, rounded up. */
static int64_t
even_share(const struct planner *p)
{
	int64_t total = 0, holders = 0;

	for (int32_t i = 0; i < p->slot_count; i++) {
		total += p->slots[i].load;
		holders += p->slots[i].there && !p->slots[i].drained;
	}
	return holders == 0 ? 0 : (total + holders - 1) / holders;
}

/* The emptiest of the added brokers that has less than its share, and is not stuck. */
static struct fill *
next_to_fill(const struct planner *p, struct fill *fills, size_t count, int64_t share)
{
	struct fill *best = NULL;

	for (size_t i = 0; i < count; i++) {
		int64_t load = p->slots[fills[i].to].load;

		if (!fills[i].stuck && load < share &&
		    (best == NULL || load < p->slots[best->to].load))
			best = &fills[i];
	}
	return best;
}

/* The fullest broker to take from, fuller by two at least; `tried` ones have nothing that fits. */
static int32_t
next_donor(const struct planner *p, const struct fill *f)
{
	int32_t best = NO_SLOT;

	for (int32_t i = 0; i < p->slot_count; i++) {
		if (!f->tried[i] && p->slots[i].load >= p->slots[f->to].load + 2 &&
		    (best == NO_SLOT || p->slots[i].load > p->slots[best].load))
			best = i;
	}
	return best;
}

/* One replica more for a broker. False when there is none for it. */
static bool
fill_one(struct planner *p, struct fill *f)
{
	struct fill_move move;
	int32_t from;

	memset(f->tried, 0, (size_t)p->slot_count * sizeof(*f->tried));
	while ((from = next_donor(p, f)) != NO_SLOT) {
		if (best_move(p, f, from, &move)) {
			count_replica(p, move.w, from, -1);
			put_replica(p, move.w, move.index, f->to);
			return true;
		}
		f->tried[from] = true;
	}
	return false;
}

static int
fill_added(struct planner *p)
{
	size_t slots = (size_t)p->slot_count, count = 0;
	int64_t share = even_share(p);
	struct fill *fills, *f;

	if (p->request->added_count == 0)
		return 0;
	fills = arena_calloc(p->arena, p->request->added_count, sizeof(*fills));
	if (fills == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < p->slot_count; i++) {
		if (!p->slots[i].added || !p->slots[i].receives)
			continue;
		f = &fills[count++];
		f->to = i;
		f->spent = arena_calloc(p->arena, p->topic_count * slots + 1, sizeof(*f->spent));
		f->tried = arena_calloc(p->arena, slots + 1, sizeof(*f->tried));
		if (f->spent == NULL || f->tried == NULL)
			return -ENOMEM;
	}
	while ((f = next_to_fill(p, fills, count, share)) != NULL)
		f->stuck = !fill_one(p, f);
	return 0;
}

/* ---- lead ---- */

/* Of the replicas, the one that the fewest partitions prefer; the present first one in doubt. */
static int32_t
best_leader(const struct planner *p, const struct work *w, int32_t present)
{
	int32_t best = 0;

	for (int32_t k = 0; k < w->count; k++) {
		if (p->slots[w->slots[k]].leads < p->slots[w->slots[best]].leads)
			best = k;
	}
	for (int32_t k = 0; k < w->count; k++) {
		/* Leading itself, it counts one more than it would without. */
		if (w->slots[k] == present &&
		    p->slots[present].leads - p->slots[w->slots[best]].leads < 2)
			return k;
	}
	return best;
}

static void
balance_leaders(struct planner *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct work *w = &p->work[i];
		int32_t present, best, slot;

		if (!w->changed || w->count == 0 || p->partitions[i].replica_count == 0)
			continue;
		present = slot_of(p, p->partitions[i].replicas[0]);
		best = best_leader(p, w, present);
		slot = w->slots[best];
		memmove(&w->slots[1], &w->slots[0], (size_t)best * sizeof(*w->slots));
		w->slots[0] = slot;
		p->slots[present].leads--;
		p->slots[slot].leads++;
	}
}

/* ---- all of it ---- */

static int
hand_out(struct planner *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct plan_partition *to = &p->partitions[i];
		const struct work *w = &p->work[i];
		int32_t *target;

		to->target = to->replicas;
		to->target_count = to->replica_count;
		if (!w->changed)
			continue;
		target = arena_calloc(p->arena, (size_t)w->count + 1, sizeof(*target));
		if (target == NULL)
			return -ENOMEM;
		for (int32_t k = 0; k < w->count; k++)
			target[k] = p->slots[w->slots[k]].id;
		to->target = target;
		to->target_count = w->count;
	}
	return 0;
}

static void
list_brokers(struct planner *p)
{
	for (size_t i = 0; i < p->request->broker_count; i++)
		buf_printf(p->why, "%s%d", i == 0 ? "" : ", ", p->request->brokers[i].id);
}

/* Ids that are wanted have to be there; one that is drained may be gone, but must be known. */
static int
check_ids(struct planner *p, const int32_t *ids, size_t count, bool may_be_gone)
{
	for (size_t i = 0; i < count; i++) {
		int32_t slot = slot_of(p, ids[i]);

		if (slot != NO_SLOT && (may_be_gone || p->slots[slot].there))
			continue;
		buf_printf(p->why, "there is no broker %d; there are: ", ids[i]);
		list_brokers(p);
		return -EINVAL;
	}
	return 0;
}

static int
check_request(struct planner *p)
{
	const struct plan_request *r = p->request;
	int st;

	st = check_ids(p, r->drained, r->drained_count, true);
	if (st == 0)
		st = check_ids(p, r->added, r->added_count, false);
	if (st == 0)
		st = check_ids(p, r->allowed, r->allowed_count, false);
	for (size_t i = 0; st == 0 && i < r->added_count; i++) {
		if (has_id(r->drained, r->drained_count, r->added[i])) {
			buf_printf(p->why, "broker %d cannot be drained and added", r->added[i]);
			st = -EINVAL;
		} else if (r->allowed != NULL &&
			   !has_id(r->allowed, r->allowed_count, r->added[i])) {
			buf_printf(p->why,
				   "broker %d is to be added, and --brokers does not allow it",
				   r->added[i]);
			st = -EINVAL;
		}
	}
	return st;
}

int
replica_plan_make(const struct plan_request *request, struct plan_partition *partitions,
		  size_t count, struct arena *arena, struct buf *why)
{
	struct planner p = {.request = request,
			    .partitions = partitions,
			    .count = count,
			    .arena = arena,
			    .why = why};
	int st;

	st = take_world(&p);
	if (st == 0)
		st = check_request(&p);
	for (size_t i = 0; st == 0 && i < count; i++) {
		if (!partitions[i].fixed)
			st = place_partition(&p, i);
	}
	if (st == 0)
		st = fill_added(&p);
	if (st != 0)
		return st;
	balance_leaders(&p);
	return hand_out(&p);
}

bool
replica_plan_changes(const struct plan_partition *partition)
{
	return partition->target_count != partition->replica_count ||
	       memcmp(partition->target, partition->replicas,
		      (size_t)partition->target_count * sizeof(*partition->target)) != 0;
}

int32_t
replica_plan_copies(const struct plan_partition *partition)
{
	int32_t copies = 0;

	for (int32_t i = 0; i < partition->target_count; i++)
		copies += !has_id(partition->replicas, (size_t)partition->replica_count,
				  partition->target[i]);
	return copies;
}
