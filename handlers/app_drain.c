/* Draining, step by step. */
#include "handlers/app_drain.h"

#include <math.h>
#include <time.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/log.h"

#include "service/base/banned.h"

/* How long proxies get to see that the server is going. */
static double notice_seconds(const struct app *app, const struct app_drain *d)
{
	return d->notice_s >= 0 ? d->notice_s : node_shares(app->node) ? LIMIT_DRAIN_NOTICE_S : 0;
}

double app_drain_seconds(const struct app *app, const struct app_drain *d)
{
	return d->drain_s + 2 * notice_seconds(app, d);
}

/* Sessions in which nothing is open go to the other nodes; what cannot be told to the state now is tried again. */
static void hand_over(struct app *app)
{
	struct err err;
	if (!node_hand_over(app->node, false, &err))
		log_msg(LOG_WARN, "not_handed_over", "%s", err.detail);
}

/* Until then, or until the second signal; true: that came. */
static bool give_notice(struct app *app, const sigset_t *signals, int64_t until, bool (*over)(struct app *app),
			bool hands)
{
	const struct timespec step = {.tv_nsec = 50 * 1000 * 1000};
	while (clock_mono_ns() < until && !(over != NULL && over(app))) {
		const int sig = sigtimedwait(signals, NULL, &step);
		if (sig == SIGTERM || sig == SIGINT)
			return true;
		if (hands)
			hand_over(app);
	}
	return false;
}

static bool no_transactions(struct app *app)
{
	return session_open_transactions(app->store->sessions) == 0;
}

#define REST_S 1.0

/* What is left of all the time that a drain may take, or a moment: running requests get no more, or the watchdog would
 * end the process. */
static double left(const struct app *app, const struct app_drain *d, int64_t began)
{
	const double rest = app_drain_seconds(app, d) - (double)(clock_mono_ns() - began) / 1e9;
	return fmin(fmax(rest, REST_S), d->drain_s);
}

double app_drain(struct app *app, const struct app_drain *d, const sigset_t *signals)
{
	const int64_t began = clock_mono_ns();
	const double notice_s = notice_seconds(app, d);
	__atomic_store_n(d->draining, 1, __ATOMIC_RELAXED);
	node_drain(app->node);
	bool hurry = notice_s > 0 && give_notice(app, signals, clock_deadline(notice_s), NULL, false);
	if (!node_shares(app->node))
		return left(app, d, began);
	server_refuse_new(d->server);
	hand_over(app);
	hurry = hurry ||
		give_notice(app, signals, clock_mono_ns() + (int64_t)(d->drain_s * 1e9), no_transactions, true);
	__atomic_store_n(d->leaving, 1, __ATOMIC_RELAXED);
	if (!hurry && notice_s > 0)
		(void)give_notice(app, signals, clock_deadline(notice_s), NULL, true);
	return left(app, d, began);
}
