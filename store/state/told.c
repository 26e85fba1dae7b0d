/* Tellings: checked, kept, published, in that order. */
#include "store/state/told.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "store/connection/connect_json.h"

#include "service/base/banned.h"

#define WAIT_SECONDS 30.0 /* for the others' tellings */
#define TRIES 5           /* when the models changed while one was kept */

struct told {
	struct store *store;
	struct declared *declared;
	struct state *state; /* owned; NULL: nothing is kept */
	struct told_hooks hooks;
	struct turn turn;
	int64_t version; /* of the state, as far as it is in the registries */
};

struct told *told_create(struct store *store, struct declared *declared, struct state *state,
			 const struct told_hooks *hooks)
{
	struct told *t = mem_alloc(sizeof(*t));
	*t = (struct told){.store = store, .declared = declared, .state = state, .hooks = *hooks};
	turn_init(&t->turn);
	return t;
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
	const enum wait_result r = turn_take(&t->turn, clock_deadline(WAIT_SECONDS), 0, NULL);
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
static bool keep(struct told *t, struct state_change *c, struct str who, struct err *err)
{
	int64_t version;
	if (t->state == NULL)
		return true;
	c->who = who;
	if (!state_write(t->state, t->version, c, &version, err))
		return false;
	t->version = version;
	return true;
}

/* ---- connections ---- */

static struct str options_text(struct arena *a, const struct connection *c)
{
	const struct pool_config *p = pool_get_config(c->pool);
	json_t *doc = json_pack("{s:b, s:{s:I, s:I, s:f, s:f, s:f, s:f}}", "identity_map", (int)c->identity_map, "pool",
				"max_connections", (json_int_t)p->max_connections, "min_connections",
				(json_int_t)p->min_connections, "acquire_timeout_seconds", p->acquire_timeout_s,
				"idle_timeout_seconds", p->idle_timeout_s, "max_lifetime_seconds", p->max_lifetime_s,
				"statement_timeout_seconds", p->statement_timeout_s);
	struct strbuf b;
	strbuf_init(&b, 0);
	json_write(&b, doc, true);
	struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	json_decref(doc);
	return text;
}

/* A secret is kept sealed, or not at all. */
static bool may_keep(const struct told *t, const struct connection *c)
{
	return t->state == NULL || state_seals(t->state) ||
	       memmem(c->dsn.redacted.p, c->dsn.redacted.len, "<redacted>", 10) == NULL;
}

bool told_connect(struct told *t, struct connection *c, const struct connect_options *o, struct str who,
		  struct told_connection *ret, struct err *err)
{
	struct arena a;
	*ret = (struct told_connection){.kept = may_keep(t, c)};
	if (!enter(t, err))
		return false;
	arena_init(&a);
	const struct state_connection put = {.name = c->name, .url = c->url, .options = options_text(&a, c)};
	struct state_change change = {.put = ret->kept ? &put : NULL,
				      .drop = ret->kept ? STR_NONE : c->name,
				      .choose_default = ret->kept && (c->unnamed || o->make_default),
				      .default_name = c->name};
	/* nobody else registers meanwhile, so what is free now is free then */
	bool ok = connection_may_register(&t->store->connections, c, o, err) && keep(t, &change, who, err) &&
		  connection_register(&t->store->connections, c, o, &ret->replaced, err);
	arena_done(&a);
	leave(t);
	return ok;
}

bool told_disconnect(struct told *t, struct str name, bool force, struct str who, struct err *err)
{
	struct connection *c, *fallback;
	struct err none;
	if (!enter(t, err))
		return false;
	struct state_change change = {.drop = name};
	bool ok = connection_get(&t->store->connections, name, &c, err);
	if (ok) {
		ok = store_may_disconnect(c, force, err);
		if (ok && connection_get_default(&t->store->connections, &fallback, &none)) {
			change.choose_default = fallback == c;
			connection_unref(fallback);
		}
		connection_unref(c);
	}
	ok = ok && keep(t, &change, who, err) && store_disconnect(t->store, name, force, err);
	leave(t);
	return ok;
}

bool told_default(struct told *t, struct str name, struct str who, struct err *err)
{
	struct connection *c;
	if (!enter(t, err))
		return false;
	struct state_change change = {.choose_default = true, .default_name = name};
	bool ok = connection_get(&t->store->connections, name, &c, err);
	if (ok) {
		ok = connection_may_be_default(&t->store->connections, c, err);
		connection_unref(c);
	}
	ok = ok && keep(t, &change, who, err) && connection_set_default(&t->store->connections, name, err);
	leave(t);
	return ok;
}

bool told_reset(struct told *t, int64_t deadline, struct str who, struct err *err)
{
	if (!enter(t, err))
		return false;
	struct state_change change = {.drop_all = true};
	const bool ok = keep(t, &change, who, err) && declared_reset(t->declared, deadline, err);
	leave(t);
	return ok;
}

/* ---- models ---- */

static bool keep_models(struct told *t, const struct schema_staged *s, struct str who, struct err *err)
{
	struct strbuf b;
	if (t->state == NULL)
		return true;
	strbuf_init(&b, 0);
	json_write(&b, s->told, true);
	struct state_change change = {.models = strbuf_str(&b), .fingerprint = s->schema->fingerprint};
	const bool ok = keep(t, &change, who, err);
	strbuf_done(&b);
	return ok;
}

bool told_models(struct told *t, const struct schema_edit *e, struct str who, struct arena *scratch,
		 struct schema **ret, struct err *err)
{
	struct schema_registry *r = &t->store->models;
	bool ok = enter(t, err), published = false;
	if (!ok)
		return false;
	/* introspected models may be published at any time: then the edit is made again, on top of them */
	for (int tries = 0; ok && !published && tries < TRIES; tries++) {
		struct schema_staged s;
		ok = schema_registry_stage(r, e, scratch, &s, err);
		if (!ok)
			break;
		ok = keep_models(t, &s, who, err);
		published = ok && schema_registry_publish(r, &s);
		if (published && ret != NULL)
			*ret = schema_ref(s.schema);
		schema_staged_done(&s);
	}
	leave(t);
	return ok && (published || err_set(err, ERR_DATABASE_BUSY, "the models were changed by others all the time"));
}

/* ---- back ---- */

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

/* What cannot be made any more (a policy that has become narrower) is left out, and stays where it is kept. */
static bool restore_connection(struct told *t, struct arena *a, const struct state_connection *x, struct err *err)
{
	struct connect_options o;
	struct err why;
	if (is_declared(t, x->name))
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
	if (!json_parse(a, text, &models, err))
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
	const struct schema_change how = {.replace_all = true, .may_sql = true, .may_catalogs = true};
	const bool ok = schema_registry_apply(&t->store->models, doc, &how, a, &s, err);
	if (ok)
		schema_unref(s);
	json_decref(doc);
	return ok;
}

bool told_restore(struct told *t, struct err *err)
{
	struct state_content c;
	struct arena a;
	struct err none;
	if (t->state == NULL)
		return true;
	arena_init(&a);
	bool ok = state_load(t->state, &a, &c, err);
	for (size_t i = 0; ok && i < c.n_connections; i++)
		ok = restore_connection(t, &a, &c.connections[i], err);
	ok = ok && restore_models(t, &a, c.models, err);
	if (ok) {
		t->version = c.version;
		/* the catalog's default wins, and one that is gone is none */
		if (c.default_name.p != NULL)
			(void)!connection_set_default(&t->store->connections, c.default_name, &none);
	}
	err->faults = NULL; /* they live in the arena */
	if (!ok)
		err->n_faults = 0;
	arena_done(&a);
	return ok;
}
