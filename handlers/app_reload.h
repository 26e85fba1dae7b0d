/*
 * What changes while the process runs: SIGHUP reads settings, keys, certificate and catalog again, and what a key began
 * with more rights ends with them. Owned by the composition root; borrows all that it is given.
 */
#ifndef FERROD_HANDLERS_APP_RELOAD_H
#define FERROD_HANDLERS_APP_RELOAD_H

#include "handlers/app.h"
#include "service/auth/gate.h"
#include "service/auth/keys.h"
#include "service/config/config.h"
#include "service/http/server.h"

struct app_reload {
	struct app *app;
	struct gate *gate; /* its keys are exchanged */
	struct server *server;
	bool tls;    /* it serves HTTPS */
	int argc;    /* what the settings */
	char **argv; /* are read from again, beside the environment */
};

/* Where the settings and the catalog (NULL: none) say that keys are; borrows both. */
struct key_sources app_key_sources(const struct config *c, const json_t *catalog);

/* The certificate, its key and the authorities of clients, all of them or none. ERR_INVALID_REQUEST. */
bool app_load_tls(const struct config *c, struct err *err) MUST_CHECK;
/* The level and the form of the log as the settings have them. */
void app_configure_log(const struct config *c);

/* declared_hooks.keys_*, with a struct app_reload: the settings are read again with the catalog's keys, so that both
 * count, or neither. ERR_INVALID_REQUEST with one line; what is prepared goes to either of the others. */
bool app_reload_keys_prepare(void *reload, const json_t *catalog, void **ret, struct err *err) MUST_CHECK;
void app_reload_keys_publish(void *reload, void *prepared);
void app_reload_keys_discard(void *reload, void *prepared);

/* SIGHUP. Each fault is one line of the log (reload_failed), and what it concerns stays as it was; without any the line
 * is `reloaded`. What may have to wait for databases is on a fiber of the server's. On a plain thread. */
void app_reload(struct app_reload *r);

#endif
