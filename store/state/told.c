/* Tellings: checked, kept, published, in that order. */
#include "store/state/told.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/connection/connect_json.h"

#include "service/base/banned.h"

#define LOOK_NS (20 * CLOCK_NS_PER_MS)

struct told {
	struct store *store;
	struct declared *declared;
	struct state *state; /* owned; NULL: nothing is kept */
	struct told_hooks hooks;
	struct turn turn;                /* of those who change what follows, or what is told */
	int64_t version, models_version; /* of the state, as far as they are in the registries; version: atomic */
	int64_t kept;                    /* of the state, as far as we know; beyond version: not published yet */
};

struct told *told_create(struct store *store, struct declared *declared, struct state *state,
			 const struct told_hooks *hooks)
{
	struct told *t = mem_alloc(sizeof(*t));
	*t = (struct told){.store = store, .declared = declared, .state = state, .hooks = *hooks};
	turn_init(&t->turn);
	return t;
}

struct state *told_state(const struct told *t)
{
	return t->state;
}

void told_destroy(struct told *t)
{
	if (t == NULL)
		return;
	state_close(t->state);
	turn_done(&t->turn);
	mem_free(t);
}

static bool enter(struct told *t, struct err *err)
{
	const enum wait_result r = turn_take(&t->turn, clock_deadline(LIMIT_TELL_TURN_S), 0, NULL);
	if (r == WAIT_READY) {
		fiber_shield(); /* a caller that goes away must not part what is kept from what is published */
		return true;
	}
	(void)err_set(err, ERR_DATABASE_BUSY, "connections and models were being changed by others all the time");
	err->cancelled = r == WAIT_CANCELLED;
	return false;
}

static void leave(struct told *t)
{
	fiber_unshield();
	turn_give(&t->turn);
}

/* Keeps the change; without a state there is nothing to do. The turn is held. */
static bool keep(struct told *t, struct state_change *c, struct teller who, struct err *err)
{
	int64_t version;
	if (t->state == NULL)
		return true;
	c->who = who.name;
	c->claim = who.claim;
	if (!state_write(t->state, t->kept, c, &version, err))
		return false;
	t->kept = version;
	return true;
}

/* ---- back ---- */

static struct str options_text(struct arena *a, const struct connection *c)
{
	const struct pool_config *p = pool_get_config(c->pool);
	json_t *doc =
		json_pack("{s:b, s:{s:I, s:I, s:f, s:f, s:f, s:f, s:s}}", "identity_map", (int)c->identity_map, "pool",
			  "max_connections", (json_int_t)p->max_connections, "min_connections",
			  (json_int_t)p->min_connections, "acquire_timeout_seconds", p->acquire_timeout_s,
			  "idle_timeout_seconds", p->idle_timeout_s, "max_lifetime_seconds", p->max_lifetime_s,
			  "statement_timeout_seconds", p->statement_timeout_s, "pooler", pooler_word(p->pooler).p);
	if (c->exactly_once) /* else the text is that of older versions */
		(void)json_object_set_new(doc, "exactly_once", json_true());
	if (c->acting != ACTING_NONE)
		(void)json_object_set_new(doc, "acting", json_string(acting_word(c->acting)));
	struct strbuf b;
	strbuf_init(&b, 0);
	json_write(&b, doc, true);
	struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	json_decref(doc);
	return text;
}

/* The options as they were kept; unknown ones are a newer version's. */
static bool read_options(struct arena *a, const struct state_connection *x, struct connect_options *ret,
			 struct err *err)
{
	struct json_reader r;
	json_t *doc;
	if (!json_parse(a, x->options, &doc, err) || !json_is_object(doc))
		return err_set(err, ERR_INVALID_REQUEST, "the state's connection '%.*s' cannot be read",
			       STR_FMT(x->name));
	(void)json_object_set_new(doc, "url", json_stringn(x->url.p, x->url.len));
	(void)json_object_set_new(doc, "name", json_stringn(x->name.p, x->name.len));
	json_reader_init(&r, a, doc, "", err);
	connect_json_read(&r, ret);
	ret->origin = CONNECTION_TOLD;
	ret->restored = true;
	return !r.failed;
}

static bool is_declared(struct told *t, struct str name)
{
	struct connection *c;
	struct err none;
	if (!connection_get(&t->store->connections, name, &c, &none))
		return false;
	const bool declared = c->origin == CONNECTION_DECLARED;
	connection_unref(c);
	return declared;
}

/* Is it in the registry as it is kept? */
static bool is_there(struct told *t, struct arena *a, const struct state_connection *x)
{
	struct connection *c;
	struct err none;
	if (!connection_get(&t->store->connections, x->name, &c, &none))
		return false;
	const bool same = c->origin == CONNECTION_TOLD && c->kept != 0 && str_eq(c->url, x->url) &&
			  str_eq(options_text(a, c), x->options);
	connection_unref(c);
	return same;
}

/* What cannot be made any more (a policy that has become narrower) is left out, and stays where it is kept. */
static bool restore_connection(struct told *t, struct arena *a, const struct state_connection *x, struct err *err)
{
	struct connect_options o;
	struct err why;
	if (is_declared(t, x->name) || is_there(t, a, x))
		return true;
	if (!read_options(a, x, &o, err))
		return false;
	if (!t->hooks.allowed(t->hooks.arg, a, &o.url, &why) || !declared_adopt(t->declared, &o, &why))
		t->hooks.left_out(t->hooks.arg, x->name, &why);
	return true;
}

static bool restore_models(struct told *t, struct arena *a, struct str text, struct err *err)
{
	json_t *models;
	struct schema *s;
	if (text.p == NULL)
		return true;
	if (!json_parse(a, text, &models, err) || !json_is_array(models))
		return err_set(err, ERR_INVALID_REQUEST, "the state's models cannot be read");
	json_t *doc = json_object();
	json_t *told = json_array();
	const json_t *m;
	size_t i;
	(void)json_object_set_new(doc, "models", told);
	json_array_foreach(models, i, m)
	{
		const json_t *name = json_object_get(m, "model_name");
		/* a told model whose name is declared by now gives way */
		if (!json_is_string(name) || schema_registry_file(&t->store->models, json_str(name), a).p == NULL)
			(void)json_array_append(told, (json_t *)(uintptr_t)m);
	}
	const struct schema_change how = {
		.replace_all = true, .may_sql = true, .may_catalogs = true, .trusts_sets = true};
	const bool ok = schema_registry_apply(&t->store->models, doc, &how, a, &s, err);
	if (ok)
		schema_unref(s);
	json_decref(doc);
	return ok;
}

static bool is_kept(const struct state_content *c, struct str name)
{
	for (size_t i = 0; i < c->n_connections; i++)
		if (str_eq(c->connections[i].name, name))
			return true;
	return false;
}

/* Connections that another server has disconnected. */
static void drop_others(struct told *t, struct arena *a, const struct state_content *c)
{
	struct connection **all, *out;
	struct err none;
	const size_t n = connection_list(&t->store->connections, a, &all, NULL);
	for (size_t i = 0; i < n; i++) {
		const bool gone = all[i]->origin == CONNECTION_TOLD && all[i]->kept != 0 && !is_kept(c, all[i]->name);
		if (gone && connection_remove(&t->store->connections, all[i]->name, &out, &none))
			store_end_connection(t->store, out);
		connection_unref(all[i]);
	}
}

/* The registries become what the state says. The turn is held (or nobody else is there yet). */
static bool sync(struct told *t, struct err *err)
{
	struct state_content c;
	struct arena a;
	struct err none;
	arena_init(&a);
	bool ok = state_load(t->state, &a, &c, err);
	const bool changed = ok && c.version != t->version;
	if (changed) {
		drop_others(t, &a, &c);
		for (size_t i = 0; ok && i < c.n_connections; i++)
			ok = restore_connection(t, &a, &c.connections[i], err);
		if (c.models_version != t->models_version)
			ok = ok && restore_models(t, &a, c.models, err);
		/* the catalog's default wins, and one that is gone is none */
		if (ok && c.default_name.p != NULL)
			(void)!connection_set_default(&t->store->connections, c.default_name, &none);
	}
	if (ok && changed) {
		t->models_version = c.models_version;
		t->kept = c.version;
		__atomic_store_n(&t->version, c.version, __ATOMIC_RELEASE);
	} else if (!ok) {
		err->faults = NULL; /* they live in the arena */
		err->n_faults = 0;
	}
	arena_done(&a);
	return ok;
}

bool told_restore(struct told *t, struct err *err)
{
	return t->state == NULL || sync(t, err);
}

/* ---- telling ---- */

/* Refuses before it keeps: what it has kept it does. */
typedef bool (*telling_fn)(struct told *t, void *arg, struct err *err);
static bool try_reset(struct told *t, void *arg, struct err *err);

/* What a telling has kept and could not publish is read like another server's. */
static bool settle(struct told *t, struct err *err)
{
	return t->kept == t->version || sync(t, err);
}

/* What has been found allowed is still allowed when it has been kept: nothing is declared in between. A reset takes the
 * catalog's turn, before which nobody may have this one. */
static bool try_once(struct told *t, telling_fn fn, void *arg, struct err *err)
{
	if (fn == try_reset)
		return fn(t, arg, err);
	store_begin_publishing(t->store);
	const bool ok = fn(t, arg, err);
	store_end_publishing(t->store);
	return ok;
}

/* On top of what other servers have told meanwhile. The turn is held. */
static bool tell_now(struct told *t, telling_fn fn, void *arg, struct err *err)
{
	/* each time another's was kept, so together they go on; a slower server may lose many times in a row */
	const int64_t end = clock_deadline(LIMIT_TELL_TRIES_S);
	bool ok = try_once(t, fn, arg, err);
	while (!ok && t->state != NULL && err->code == ERR_SERIALIZATION_FAILURE && sync(t, err)) {
		if (clock_mono_ns() >= end) {
			(void)err_set(err, ERR_DATABASE_BUSY, "the state was changed by other servers all the time");
			break;
		}
		ok = try_once(t, fn, arg, err);
	}
	if (ok)
		__atomic_store_n(&t->version, t->kept, __ATOMIC_RELEASE);
	return ok;
}

/* Once it is this one's turn. */
static bool tell(struct told *t, telling_fn fn, void *arg, struct err *err)
{
	struct err ignored; /* the next telling meets it */
	if (!enter(t, err))
		return false;
	const bool ok = settle(t, err) && tell_now(t, fn, arg, err);
	if (!ok)
		(void)!settle(t, &ignored);
	leave(t);
	return ok;
}

/* ---- connections ---- */

/* A secret is kept sealed, or not at all. */
static bool may_keep(const struct told *t, const struct connection *c)
{
	return t->state == NULL || state_seals(t->state) ||
	       memmem(c->dsn.redacted.p, c->dsn.redacted.len, "<redacted>", 10) == NULL;
}

struct connecting {
	struct connection *c;
	const struct connect_options *o;
	struct teller who;
	struct told_connection *ret;
};

static bool try_connect(struct told *t, void *arg, struct err *err)
{
	struct connecting *x = arg;
	struct arena a;
	arena_init(&a);
	const struct state_connection put = {.name = x->c->name, .url = x->c->url, .options = options_text(&a, x->c)};
	struct state_change change = {.put = x->ret->kept ? &put : NULL,
				      .drop = x->ret->kept ? STR_NONE : x->c->name,
				      .choose_default = x->ret->kept && (x->c->unnamed || x->o->make_default),
				      .default_name = x->c->name};
	/* nobody else registers meanwhile, so what is free now is free then */
	const bool ok =
		connection_may_register(&t->store->connections, x->c, x->o, err) && keep(t, &change, x->who, err);
	arena_done(&a);
	x->c->kept = x->ret->kept && t->state != NULL;
	return ok && connection_register(&t->store->connections, x->c, x->o, &x->ret->replaced, err);
}

bool told_connect(struct told *t, struct connection *c, const struct connect_options *o, struct teller who,
		  struct told_connection *ret, struct err *err)
{
	struct connecting x = {.c = c, .o = o, .who = who, .ret = ret};
	*ret = (struct told_connection){.kept = may_keep(t, c)};
	return tell(t, try_connect, &x, err);
}

struct naming {
	struct str name;
	struct teller who;
	bool force;
};

static bool try_disconnect(struct told *t, void *arg, struct err *err)
{
	const struct naming *x = arg;
	struct connection *c, *fallback;
	struct err none;
	struct state_change change = {.drop = x->name};
	if (!connection_get(&t->store->connections, x->name, &c, err))
		return false;
	bool ok = store_begin_disconnect(t->store, c, x->force, err);
	const bool begun = ok;
	if (ok && connection_get_default(&t->store->connections, &fallback, &none)) {
		change.choose_default = fallback == c;
		connection_unref(fallback);
	}
	ok = ok && keep(t, &change, x->who, err);
	if (ok)
		store_finish_disconnect(t->store, c);
	else if (begun)
		store_cancel_disconnect(t->store, c);
	connection_unref(c);
	return ok;
}

bool told_disconnect(struct told *t, struct str name, bool force, struct teller who, struct err *err)
{
	struct naming x = {.name = name, .who = who, .force = force};
	return tell(t, try_disconnect, &x, err);
}

static bool try_default(struct told *t, void *arg, struct err *err)
{
	const struct naming *x = arg;
	struct connection *c;
	struct state_change change = {.choose_default = true, .default_name = x->name};
	if (!connection_get(&t->store->connections, x->name, &c, err))
		return false;
	const bool ok = connection_may_be_default(&t->store->connections, c, err);
	connection_unref(c);
	return ok && keep(t, &change, x->who, err) && connection_set_default(&t->store->connections, x->name, err);
}

bool told_default(struct told *t, struct str name, struct teller who, struct err *err)
{
	struct naming x = {.name = name, .who = who};
	return tell(t, try_default, &x, err);
}

struct resetting {
	struct told *t;
	struct teller who;
	int64_t deadline;
};

static bool keep_reset(void *arg, struct err *err)
{
	const struct resetting *x = arg;
	struct state_change change = {.drop_all = true};
	return keep(x->t, &change, x->who, err);
}

static bool try_reset(struct told *t, void *arg, struct err *err)
{
	const struct resetting *x = arg;
	return declared_reset(t->declared, x->deadline, keep_reset, arg, err);
}

bool told_reset(struct told *t, int64_t deadline, struct teller who, struct err *err)
{
	struct resetting x = {.t = t, .who = who, .deadline = deadline};
	return tell(t, try_reset, &x, err);
}

/* ---- models ---- */

static bool keep_models(struct told *t, const struct schema_staged *s, struct teller who, struct err *err)
{
	struct state_change change = {.models = strbuf_str(&s->told), .fingerprint = schema_fingerprint(s->schema)};
	return t->state == NULL || keep(t, &change, who, err);
}

struct editing {
	const struct schema_edit *edit;
	struct teller who;
	struct arena *scratch;
	struct schema **ret;
};

static bool try_models(struct told *t, void *arg, struct err *err)
{
	const struct editing *x = arg;
	struct schema_staged s;
	if (!schema_registry_stage(&t->store->models, x->edit, t->state != NULL, x->scratch, &s, err))
		return false;
	bool ok = keep_models(t, &s, x->who, err);
	if (ok && !schema_registry_publish(&t->store->models, &s))
		ok = err_set(err, ERR_DATABASE_BUSY, "the models were changed meanwhile"); /* by nobody */
	if (ok)
		t->models_version = t->kept;
	if (ok && x->ret != NULL)
		*x->ret = schema_ref(s.schema);
	schema_staged_done(&s);
	return ok;
}

bool told_models(struct told *t, const struct schema_edit *e, struct teller who, struct arena *scratch,
		 struct schema **ret, struct err *err)
{
	struct editing x = {.edit = e, .who = who, .scratch = scratch, .ret = ret};
	return tell(t, try_models, &x, err);
}

/* ---- other servers ---- */

/* False: it is to be tried again soon. */
static bool poll_once(struct told *t)
{
	int64_t version;
	struct err err;
	if (!state_version(t->state, &version, &err))
		return false;
	if (version == __atomic_load_n(&t->version, __ATOMIC_ACQUIRE))
		return true;
	if (!enter(t, &err))
		return false;
	const bool ok = version == t->version || sync(t, &err); /* it may have been a telling of ours */
	leave(t);
	return ok;
}

static void poll_state(void *arg)
{
	struct told *t = arg;
	struct state_watch *w = state_watch_create(t->state);
	bool ok = true;
	while (state_await(w, !ok) != WAIT_CANCELLED)
		ok = poll_once(t);
	state_watch_destroy(w);
}

void told_start(struct told *t)
{
	if (t->state != NULL && state_shared(t->state))
		t->hooks.spawn(t->hooks.spawn_arg, poll_state, t);
}

static const char *life_of(const struct told *t)
{
	return t->state != NULL ? state_life(t->state) : t->store->life;
}

/* What only grows: the state's version, or without one the count of this process's changes. */
static int64_t position(struct told *t)
{
	return t->state != NULL ? __atomic_load_n(&t->version, __ATOMIC_ACQUIRE) : store_changes(t->store);
}

struct str told_version(struct told *t, struct arena *a)
{
	const int64_t at = position(t);
	return arena_printf(a, "%s-%lld-%lld", life_of(t), (long long)at, (long long)store_changes(t->store));
}

bool told_wait(struct told *t, struct str version, int64_t deadline, struct err *err)
{
	struct str rest = version, life, digits;
	int64_t wanted;
	(void)str_split(&rest, '-', &life);
	if (rest.p == NULL || !str_split(&rest, '-', &digits) || !num_parse_int(digits, &wanted) ||
	    !str_eq_z(life, life_of(t)))
		return err_set(err, ERR_PRECONDITION_FAILED,
			       "Ferro-Catalog is that of another state: what it speaks of is not known here");
	deadline = clock_min(deadline, clock_deadline(LIMIT_BEHIND_S));
	while (position(t) < wanted) {
		if (clock_mono_ns() >= deadline)
			return err_set(err, ERR_CATALOG_BEHIND,
				       "this server has not seen that change yet; send the request again");
		if (wait_until(clock_mono_ns() + LOOK_NS) == WAIT_CANCELLED) {
			(void)err_set(err, ERR_CATALOG_BEHIND, "given up");
			err->cancelled = true;
			return false;
		}
	}
	return true;
}
