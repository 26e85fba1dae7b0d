/* The end of a server in good order: proxies notice, other servers of its state go on with its sessions. Borrows all
 * that it is given. */
#ifndef FERROD_HANDLERS_APP_DRAIN_H
#define FERROD_HANDLERS_APP_DRAIN_H

#include <signal.h>

#include "handlers/app.h"
#include "service/http/server.h"

struct app_drain {
	struct server *server;
	double notice_s;         /* the setting: negative: it was not given */
	double drain_s;          /* what transactions that are open get */
	int *draining, *leaving; /* of struct app; set here */
};

/* How long it may take, with what running requests get afterwards. */
double app_drain_seconds(const struct app *app, const struct app_drain *d);
/* New work is taken until every proxy has noticed (drain_notice_seconds); then sessions are handed over, those with
 * transactions when these have ended; then the proxies get as long to notice that. A second signal of the set (SIGTERM,
 * SIGINT) ends the waiting. Without a shared state: nothing but the first wait. On a plain thread; server_drain is
 * next, with the seconds that are returned, then node_leave. */
double app_drain(struct app *app, const struct app_drain *d, const sigset_t *signals);

#endif
