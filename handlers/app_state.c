/* Where the state lies, what it does when it cannot be opened, and the policy over what comes out of it. */
#include "handlers/app_state.h"

#include "handlers/answer/cursor_seal.h"

#include "handlers/resources/url_policy.h"
#include "service/base/clock.h"
#include "service/base/log.h"
#include "store/catalog/catalog.h"
#include "store/state/export.h"
#include "store/state/seal.h"
#include "store/state/state_peek.h"

#include "service/base/banned.h"

static bool url_still_allowed(void *arg, struct arena *a, struct str *url, struct err *err)
{
	return url_allowed(arg, a, url, err);
}

static void left_out(void *arg, struct str name, const struct err *err)
{
	struct log_line l;
	(void)arg;
	log_begin(&l, LOG_WARN, "connection_left_out");
	log_str(&l, "connection", name);
	log_strz(&l, "detail", err->detail);
	log_end(&l);
}

void app_report(void *arg, const struct declared_report *r)
{
	static const struct {
		const char *event;
		enum log_level level;
	} events[] = {[DECLARED_UP] = {"connection_up", LOG_INFO},
		      [DECLARED_WAITING] = {"connection_waiting", LOG_WARN},
		      [DECLARED_FAILED] = {"connection_failed", LOG_ERROR},
		      [DECLARED_STALE] = {"introspection_failed", LOG_ERROR}};
	struct log_line l;
	(void)arg;
	log_begin(&l, events[r->event].level, events[r->event].event);
	log_str(&l, "connection", r->connection);
	if (r->err != NULL) {
		log_strz(&l, "code", err_code_name(r->err->code));
		log_strz(&l, "detail", r->err->detail);
	}
	log_end(&l);
}

static struct state_options options(const struct app *app, const struct app_state_options *o, struct arena *a)
{
	struct state_options ret = {.url = o->url, .key_file = o->key_file, .listen_s = o->listen_s};
	struct str beside = o->default_url;
	struct err ignored;
	if (!o->named) {
		(void)!url_bind(app, a, &beside, &ignored);
		ret.url = state_default_url(a, beside);
	}
	return ret;
}

static bool cannot_open(const struct err *why, struct err *err)
{
	return err_set(err, why->code, "cannot open the state: %.500s", why->detail);
}

bool app_state_check(const struct app *app, const struct app_state_options *o, struct err *err)
{
	struct seal seal;
	struct arena a;
	struct err why;
	if (o->node.len > 0 && !node_name_check(o->node, err))
		return false;
	if (o->url.len == 0)
		return true;
	arena_init(&a);
	const struct state_options how = options(app, o, &a);
	const bool ok = (!o->named || catalog_takes_url(&a, how.url, &why)) &&
			(o->key_file.len == 0 || seal_load(arena_strz(&a, o->key_file), &seal, &why));
	explicit_bzero(&seal, sizeof(seal));
	arena_done(&a);
	return ok || cannot_open(&why, err);
}

/* What is there is never taken for nothing. */
static bool must_open(const struct app_state_options *o, const struct err *why)
{
	return o->named || o->key_file.len > 0 || why->code == ERR_INVALID_VALUE;
}

/* Opens it; ret NULL: looks whether it could be. */
static bool open_or_look(const struct app *app, const struct app_state_options *o, struct state **ret, struct err *why)
{
	struct arena a;
	arena_init(&a);
	const struct state_options how = options(app, o, &a);
	const bool ok = ret != NULL ? state_open(&how, ret, why) : state_peek(&how, why);
	arena_done(&a);
	return ok;
}

bool app_state_look(const struct app *app, const struct app_state_options *o, struct err *err)
{
	struct err why;
	return o->url.len == 0 || open_or_look(app, o, NULL, &why) || !must_open(o, &why) || cannot_open(&why, err);
}

static bool open_it(const struct app *app, const struct app_state_options *o, struct state **ret, struct err *err)
{
	struct err why;
	*ret = NULL;
	if (o->url.len == 0)
		return true;
	if (open_or_look(app, o, ret, &why)) {
		if (state_resealed(*ret))
			log_msg(LOG_INFO, "state_resealed", "all secrets are sealed under the first key now");
		return true;
	}
	if (must_open(o, &why))
		return cannot_open(&why, err);
	log_msg(LOG_WARN, "state_not_kept", "what callers tell ends with this process: %s", why.detail);
	return true;
}

static void node_report(void *arg, const char *event, struct str detail)
{
	static const char adopted[] = "session_adopted", back[] = "node_back";
	const bool fine = strcmp(event, adopted) == 0 || strcmp(event, back) == 0;
	struct log_line l;
	(void)arg;
	log_begin(&l, fine ? LOG_INFO : LOG_ERROR, event);
	log_str(&l, "detail", detail);
	log_end(&l);
}

bool app_state_open(struct app *app, const struct app_state_options *o, struct err *err)
{
	const struct told_hooks hooks = {.arg = app,
					 .allowed = url_still_allowed,
					 .left_out = left_out,
					 .spawn = o->spawn,
					 .spawn_arg = o->spawn_arg};
	struct state *state;
	if (!open_it(app, o, &state, err))
		return false;
	uint8_t key[CRYPTO_KEY_BYTES];
	if (state_derive_key(state, STR("cursors"), key))
		cursor_seal_key(key);
	app->told = told_create(app->store, app->declared, state, &hooks);
	const struct node_options node = {.name = o->node,
					  .url = o->node_url,
					  .version = o->version,
					  .arg = o->spawn_arg,
					  .spawn = o->spawn,
					  .ask = o->ask,
					  .report = node_report};
	return node_create(app->store, state, &node, &app->node, err) && told_restore(app->told, err);
}

static bool state_file(const struct app *app, const struct app_state_options *o, struct arena *a, const char **ret,
		       struct err *err)
{
	const struct state_options how = options(app, o, a);
	struct dsn dsn;
	if (!dsn_parse(a, how.url, &dsn, err))
		return false;
	if (dsn.dialect != DIALECT_SQLITE || dsn.mode == SQLITE_MODE_MEMORY || dsn.path.len == 0)
		return err_set(err, ERR_INVALID_REQUEST,
			       "the state is no file of SQLite; PostgreSQL has pg_dump and pg_basebackup");
	*ret = arena_strz(a, dsn.path);
	return true;
}

bool app_backup(const struct app *app, const struct app_state_options *o, const char *const names[2], FILE *out,
		struct err *err)
{
	const char *from = names[0];
	struct arena a;
	int64_t bytes;
	arena_init(&a);
	const bool ok = (strcmp(from, "state") != 0 || state_file(app, o, &a, &from, err)) &&
			driver_sqlite.backup(from, NULL, names[1], CLOCK_NEVER, &bytes, err);
	if (ok)
		fprintf(out, "%lld bytes\n", (long long)bytes);
	arena_done(&a);
	return ok;
}

bool app_state_export(const struct app *app, const struct app_state_options *o, FILE *out, struct err *err)
{
	struct arena a;
	struct state *state;
	arena_init(&a);
	struct state_options how = options(app, o, &a);
	how.read_only = true;
	bool ok = state_open(&how, &state, err);
	if (ok) {
		ok = state_export(state, out, err);
		state_close(state);
	}
	arena_done(&a);
	return ok;
}
