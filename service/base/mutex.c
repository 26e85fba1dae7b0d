/* Plain locks and the fair, fiber-aware turn. */
#include "service/base/mutex.h"

#include "service/base/fiber.h"

#include "service/base/banned.h"

struct turn_waiter {
	struct event granted;
	struct turn_waiter *prev, *next;
	bool has_it; /* under turn->lock */
};

void mutex_init(struct mutex *m)
{
	pthread_mutex_init(&m->m, NULL);
}

void mutex_done(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

void mutex_lock(struct mutex *m)
{
	pthread_mutex_lock(&m->m);
}

void mutex_unlock(struct mutex *m)
{
	pthread_mutex_unlock(&m->m);
}

void turn_init(struct turn *t)
{
	mutex_init(&t->lock);
	t->held = false;
	t->head = t->tail = NULL;
	t->n_waiting = 0;
}

void turn_done(struct turn *t)
{
	mutex_done(&t->lock);
}

static void unlink_waiter(struct turn *t, struct turn_waiter *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		t->head = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		t->tail = w->prev;
	t->n_waiting--;
}

static enum wait_result take(struct turn *t, int64_t (*until)(void *arg), void *arg, size_t n_max, bool *ret_full)
{
	struct turn_waiter w = {.has_it = false};
	if (ret_full != NULL)
		*ret_full = false;
	mutex_lock(&t->lock);
	if (!t->held) {
		t->held = true;
		mutex_unlock(&t->lock);
		return WAIT_READY;
	}
	if (n_max > 0 && t->n_waiting >= n_max) {
		mutex_unlock(&t->lock);
		if (ret_full != NULL)
			*ret_full = true;
		return WAIT_TIMEOUT;
	}
	event_init(&w.granted);
	w.prev = t->tail;
	if (t->tail != NULL)
		t->tail->next = &w;
	else
		t->head = &w;
	t->tail = &w;
	t->n_waiting++;
	mutex_unlock(&t->lock);

	enum wait_result res = event_wait_until(&w.granted, until, arg);
	mutex_lock(&t->lock);
	if (w.has_it)
		res = WAIT_READY; /* granted while we gave up: keep it, the caller sees its deadline next */
	else
		unlink_waiter(t, &w);
	mutex_unlock(&t->lock);
	return res;
}

static int64_t fixed(void *arg)
{
	return *(const int64_t *)arg;
}

enum wait_result turn_take(struct turn *t, int64_t deadline_ns, size_t n_max, bool *ret_full)
{
	return take(t, fixed, &deadline_ns, n_max, ret_full);
}

enum wait_result turn_take_until(struct turn *t, int64_t (*until)(void *arg), void *arg)
{
	return take(t, until, arg, 0, NULL);
}

bool turn_try(struct turn *t)
{
	mutex_lock(&t->lock);
	bool got = !t->held;
	t->held = true;
	mutex_unlock(&t->lock);
	return got;
}

void turn_give(struct turn *t)
{
	mutex_lock(&t->lock);
	struct turn_waiter *w = t->head;
	if (w != NULL) {
		unlink_waiter(t, w);
		w->has_it = true;
		event_set(&w->granted); /* under the lock: the waiter takes it before w goes */
	} else {
		t->held = false;
	}
	mutex_unlock(&t->lock);
}
