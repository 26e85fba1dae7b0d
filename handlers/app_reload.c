/* Reading again, part by part. */
#include "handlers/app_reload.h"

#include <unistd.h>

#include "handlers/unit/idempotency.h"
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/log.h"
#include "service/http/tls.h"
#include "service/http/tls_peer.h"

#include "service/base/banned.h"

struct key_sources app_key_sources(const struct config *c, const json_t *catalog)
{
	return (struct key_sources){
		.file = c->keys_file, .list = c->keys, .admin_key = c->admin_key, .catalog = catalog};
}

void app_configure_log(const struct config *c)
{
	enum log_level level = LOG_INFO;
	static const char *const words[] = {
		[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
		if (str_eq_z(c->log_level, words[i]))
			level = (enum log_level)i;
	log_configure(level, str_eq_z(c->log_format, "text") ? LOG_TEXT : LOG_JSON);
}

/* ---- keys ---- */

bool app_reload_keys_prepare(void *reload, const json_t *catalog, void **ret, struct err *err)
{
	const struct app_reload *r = reload;
	struct key_set *keys = NULL;
	struct config fresh;
	if (!config_load(r->argc, r->argv, environ, &fresh, err))
		return false;
	const struct key_sources from = app_key_sources(&fresh, catalog);
	bool ok = keys_load(&from, &keys, err);
	config_done(&fresh);
	if (ok && (keys != NULL) != gate_has_keys(r->gate)) {
		ok = err_set(err, ERR_INVALID_REQUEST,
			     keys != NULL ? "a server that started without API keys needs a restart to get them"
					  : "the last API key is gone: a server that started with keys keeps them");
		keys_destroy(keys);
	}
	*ret = keys;
	return ok;
}

/* What it began with more rights does not outlive them. */
static void end_of_narrowed(void *arg, struct str name)
{
	const struct app_reload *r = arg;
	session_end_owner(r->app->store->sessions, name, SESSION_RIGHTS);
	tx_end_owner(r->app->store->transactions, name);
	idempotency_withhold(name);
}

void app_reload_keys_publish(void *reload, void *prepared)
{
	const struct app_reload *r = reload;
	struct key_set *before = gate_swap(r->gate, prepared);
	keys_narrowed(before, prepared, end_of_narrowed, reload);
	keys_destroy(before);
}

void app_reload_keys_discard(void *reload, void *prepared)
{
	(void)reload;
	keys_destroy(prepared);
}

/* ---- all of it ---- */

/* One line says how it ended; what failed is never followed by one that says that it went well. */
static void tell_end(const struct declared_changes *c, const struct err *tls, const struct err *catalog)
{
	struct log_line l;
	if (catalog != NULL)
		log_msg(LOG_ERROR, "reload_failed", "keys and catalog stay as they were: %s", catalog->detail);
	if (tls != NULL)
		log_msg(LOG_ERROR, "reload_failed", "the certificate stays as it was: %s%s", tls->detail,
			catalog == NULL ? "; keys and catalog were read again" : "");
	if (tls != NULL || catalog != NULL)
		return;
	log_begin(&l, LOG_INFO, "reloaded");
	log_int(&l, "added", (int64_t)c->n_added);
	log_int(&l, "changed", (int64_t)c->n_changed);
	log_int(&l, "removed", (int64_t)c->n_removed);
	log_end(&l);
}

bool app_load_tls(const struct config *c, struct err *err)
{
	struct tls_trust *clients;
	if (!tls_trust_load(c->tls_client_ca_file, &clients, err))
		return false;
	if (!tls_load(c->tls_cert_file, c->tls_key_file, err)) {
		tls_trust_drop(clients);
		return false;
	}
	tls_trust_use(clients);
	return true;
}

static bool reload_certificate(const struct app_reload *r, struct err *err)
{
	struct config fresh;
	if (!r->tls)
		return true;
	if (!config_load(r->argc, r->argv, environ, &fresh, err))
		return false;
	const bool ok = app_load_tls(&fresh, err);
	config_done(&fresh);
	return ok;
}

/* On a fiber: it may wait for databases. */
static void reload_rest(void *arg)
{
	const struct app_reload *r = arg;
	struct declared_changes c;
	struct arena a;
	struct err tls, catalog;
	arena_init(&a);
	const bool certified = reload_certificate(r, &tls);
	const bool ok = declared_reload(r->app->declared, clock_deadline(LIMIT_RELOAD_S), &a, &c, &catalog);
	tell_end(&c, certified ? NULL : &tls, ok ? NULL : &catalog);
	arena_done(&a);
}

void app_reload(struct app_reload *r)
{
	struct config fresh;
	struct err err;
	if (!config_load(r->argc, r->argv, environ, &fresh, &err)) {
		log_msg(LOG_ERROR, "reload_failed", "%s", err.detail);
		return;
	}
	app_configure_log(&fresh);
	config_done(&fresh);
	loop_spawn(server_loop(r->server), reload_rest, r);
}
