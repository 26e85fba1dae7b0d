/*
 * Reading the catalog again. Everything that can fail comes first and is not seen: the new connections are made and
 * brought up unregistered, the models are put together, the keys checked. Then all of it is published.
 */
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/catalog/declared_impl.h"

#include "service/base/banned.h"

/* One connection of the new catalog, on its way. */
struct step {
	struct item *item;
	const struct item *old; /* of that name; NULL: none */
	bool kept;              /* old's connection goes on, with other limits maybe */
	bool bring_up;          /* something is to be done before it serves */
	bool ready;             /* it was done, or there was nothing to do */
	const char *why;        /* what anybody may read of it, when not; in the arena */
};

struct reload {
	struct declared *d;
	struct catalog *next;
	struct step *steps; /* n of next's connections; then the built-in default, if it is there still */
	size_t n;
	struct schema_declared *models;
	void *keys;
	bool keys_ready;
	struct arena *a;
};

static const struct item *old_item(const struct declared *d, struct str name)
{
	for (size_t i = 0; i < d->list.n; i++) {
		const struct item *it = d->list.items[i];
		if (it->spec != NULL && str_eq(it->spec->options.name, name) && item_current(it))
			return it;
	}
	return NULL;
}

static bool same_json(const json_t *a, const json_t *b)
{
	return a == b || (a != NULL && b != NULL && json_equal(a, b));
}

static bool same_models(const struct schema *a, const struct schema *b)
{
	return a == b || (a != NULL && b != NULL && schema_same(a, b));
}

static const json_t *introspect_json(const struct item *it)
{
	return it->introspect != NULL ? it->introspect->json : NULL;
}

static bool plan_step(struct reload *r, const struct catalog_connection *spec, struct step *s, struct err *err)
{
	struct connection *conn;
	s->old = old_item(r->d, spec->options.name);
	s->kept = s->old != NULL && str_eq(s->old->spec->options.url, spec->options.url) &&
		  s->old->spec->options.exactly_once == spec->options.exactly_once &&
		  s->old->spec->options.acting == spec->options.acting;
	if (s->kept)
		conn = connection_ref(s->old->conn);
	else if (!connection_create(&r->d->store->connections, &spec->options, &conn, err))
		return false;
	s->item = item_create(r->next, spec, conn);
	connection_unref(conn);
	const bool migrates = spec->migrate != CATALOG_MIGRATE_NONE;
	const bool same = s->kept && __atomic_load_n(&s->old->up, __ATOMIC_ACQUIRE) != 0 &&
			  (!migrates ||
			   (spec->migrate == s->old->spec->migrate && same_models(spec->models, s->old->spec->models)));
	const bool looks = same_json(introspect_json(s->item), s->old != NULL ? introspect_json(s->old) : NULL);
	s->bring_up = !same || !looks;
	s->ready = !s->bring_up;
	if (!s->bring_up && s->item->introspect != NULL) {
		s->item->found = item_found((struct item *)(uintptr_t)s->old);
		s->item->signature = str_n(mem_strndup("", 0), 0); /* looked at again at once */
	}
	return true;
}

/* A database that does not answer is no fault: the connection is held, and its keeper goes on. */
static bool carry_out(struct reload *r, struct step *s, struct err *err)
{
	struct err why;
	if (!s->bring_up)
		return true;
	if (item_bring_up(s->item, true, clock_deadline(LIMIT_TRY_S), &why)) {
		s->ready = true;
		return true;
	}
	if (bring_up_transient(&why) && !why.cancelled) {
		s->why = arena_strz(r->a, str_z(connection_hold_reason(&why)));
		return true;
	}
	const struct catalog_place *at = &s->item->spec->at;
	(void)err_set_at(err, why.code, at->pointer, "%s: %s: %s", at->file, at->pointer, why.detail);
	err->outcome = why.outcome;
	err->cancelled = why.cancelled;
	return false;
}

static bool prepare(struct reload *r, struct err *err)
{
	const struct declared_hooks *h = &r->d->hooks;
	struct item_list list = {.items = arena_array(r->a, r->next->n_connections + 1, sizeof(struct item *))};
	r->keys_ready = h->keys_prepare(h->arg, r->next->keys, &r->keys, err);
	if (!r->keys_ready) {
		(void)catalog_key_fault(r->next, err);
		return false;
	}
	for (size_t i = 0; i < r->next->n_connections; i++) {
		r->n = i + 1;
		if (!plan_step(r, &r->next->connections[i], &r->steps[i], err))
			return false;
	}
	list.n = r->n;
	for (size_t i = 0; i < r->n; i++)
		list.items[i] = r->steps[i].item;
	/* before anything is done to a database: would the models fit? */
	struct schema_declared *trial;
	if (!declared_models(r->next, &list, &trial, err))
		return false;
	bool ok = schema_registry_try(&r->d->store->models, trial, r->a, NULL, err);
	schema_declared_destroy(trial);
	for (size_t i = 0; ok && i < r->n; i++)
		ok = carry_out(r, &r->steps[i], err);
	return ok && declared_models(r->next, &list, &r->models, err) &&
	       schema_registry_try(&r->d->store->models, r->models, r->a, NULL, err);
}

/* ---- what has changed ---- */

static void note(struct arena *a, struct str **list, size_t *n, const char *kind, struct str name)
{
	(*list)[(*n)++] = arena_printf(a, "%s:%.*s", kind, STR_FMT(name));
}

struct named {
	struct str name;
	const json_t *json;
};

/* Compares two lists by name; `kind` is what the texts begin with. */
struct comparison {
	const char *kind;
	const struct named *before, *after;
	size_t n_before, n_after;
};

static const struct named *find(const struct named *list, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].name, name))
			return &list[i];
	return NULL;
}

static void compare(struct arena *a, const struct comparison *c, struct declared_changes *ret)
{
	for (size_t i = 0; i < c->n_after; i++) {
		const struct named *x = &c->after[i], *old = find(c->before, c->n_before, x->name);
		if (old == NULL)
			note(a, &ret->added, &ret->n_added, c->kind, x->name);
		else if (same_json(old->json, x->json))
			note(a, &ret->unchanged, &ret->n_unchanged, c->kind, x->name);
		else
			note(a, &ret->changed, &ret->n_changed, c->kind, x->name);
	}
	for (size_t i = 0; i < c->n_before; i++)
		if (find(c->after, c->n_after, c->before[i].name) == NULL)
			note(a, &ret->removed, &ret->n_removed, c->kind, c->before[i].name);
}

static struct named *name_all(struct arena *a, const json_t *list, const char *member)
{
	struct named *out = arena_array(a, json_array_size(list) + 1, sizeof(*out));
	const json_t *v;
	size_t i;
	json_array_foreach(list, i, v) out[i] = (struct named){.name = json_str(json_object_get(v, member)), .json = v};
	return out;
}

static struct named *name_connections(struct arena *a, const struct catalog *c)
{
	struct named *out = arena_array(a, c->n_connections + 1, sizeof(*out));
	for (size_t i = 0; i < c->n_connections; i++)
		out[i] = (struct named){c->connections[i].options.name, c->connections[i].json};
	return out;
}

static struct named *name_introspects(struct arena *a, const struct catalog *c)
{
	struct named *out = arena_array(a, c->n_introspects + 1, sizeof(*out));
	for (size_t i = 0; i < c->n_introspects; i++)
		out[i] = (struct named){c->introspects[i].using, c->introspects[i].json};
	return out;
}

static void tell(struct arena *a, const struct catalog *was, const struct catalog *is, struct declared_changes *ret)
{
	const size_t n = was->n_connections + is->n_connections + was->n_introspects + is->n_introspects +
			 json_array_size(was->models) + json_array_size(is->models) + json_array_size(was->keys) +
			 json_array_size(is->keys) + 1;
	*ret = (struct declared_changes){.added = arena_array(a, n, sizeof(struct str)),
					 .changed = arena_array(a, n, sizeof(struct str)),
					 .removed = arena_array(a, n, sizeof(struct str)),
					 .unchanged = arena_array(a, n, sizeof(struct str))};
	const struct comparison all[] = {
		{"connection", name_connections(a, was), name_connections(a, is), was->n_connections,
		 is->n_connections},
		{"model", name_all(a, was->models, "model_name"), name_all(a, is->models, "model_name"),
		 json_array_size(was->models), json_array_size(is->models)},
		{"key", name_all(a, was->keys, "name"), name_all(a, is->keys, "name"), json_array_size(was->keys),
		 json_array_size(is->keys)},
		{"introspect", name_introspects(a, was), name_introspects(a, is), was->n_introspects,
		 is->n_introspects},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		compare(a, &all[i], ret);
}

/* ---- publishing ---- */

static void publish_connection(struct reload *r, struct step *s)
{
	struct connection_registry *registry = &r->d->store->connections;
	struct connection *replaced = NULL;
	const struct connect_options *o = &s->item->spec->options;
	if (!s->ready)
		connection_hold(s->item->conn, s->why);
	if (s->kept) {
		if (!pool_config_same(pool_get_config(s->item->conn->pool), &o->pool))
			pool_reconfigure(s->item->conn->pool, &o->pool);
		__atomic_store_n(&s->item->conn->identity_map, o->identity_map, __ATOMIC_RELAXED);
	} else {
		connection_declare(registry, s->item->conn, &replaced);
		if (replaced != NULL)
			store_end_connection(r->d->store, replaced);
	}
	if (s->ready) {
		__atomic_store_n(&s->item->up, 1, __ATOMIC_RELEASE);
		connection_unhold(s->item->conn);
	}
}

static void drop_removed(struct reload *r, const struct item_list *before)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct item *old = before->items[i];
		bool stays = old->spec == NULL;
		for (size_t k = 0; k < r->n && !stays; k++)
			stays = str_eq(r->steps[k].item->conn->name, old->conn->name);
		struct connection *out = stays ? NULL : connection_undeclare(&r->d->store->connections, old->conn);
		if (out != NULL)
			store_end_connection(r->d->store, out);
	}
}

/* Nothing fails from here on. */
static void publish(struct reload *r)
{
	struct declared *d = r->d;
	struct item_list before = d->list, after = {.items = mem_array(before.n + r->n, sizeof(struct item *))};
	struct connection *fallback = NULL;
	struct err never;
	/* told models that did not fit were found by prepare; one told in between stays until the next publishing */
	if (!schema_registry_declare(&d->store->models, r->models, r->a, &never))
		schema_declared_destroy(r->models);
	item_list_gone(&before);
	for (size_t i = 0; i < before.n; i++) { /* the built-in default goes on under its own item */
		if (before.items[i]->spec != NULL || before.items[i]->conn->closed != 0)
			continue;
		__atomic_store_n(&before.items[i]->gone, 0, __ATOMIC_RELEASE);
		after.items[after.n++] = item_ref(before.items[i]);
	}
	for (size_t i = 0; i < r->n; i++) {
		publish_connection(r, &r->steps[i]);
		if (r->steps[i].item->spec->options.make_default)
			fallback = r->steps[i].item->conn;
		after.items[after.n++] = item_ref(r->steps[i].item);
	}
	connection_declare_default(&d->store->connections, fallback);
	drop_removed(r, &before);
	d->hooks.keys_publish(d->hooks.arg, r->keys);
	d->list = after;
	catalog_unref(d->catalog);
	d->catalog = catalog_ref(r->next);
	for (size_t i = 0; i < r->n; i++)
		declared_keep(d, r->steps[i].item);
	item_list_done(&before);
}

/* Connections that were made and are not used after all. */
static void discard(struct reload *r)
{
	if (r->keys_ready)
		r->d->hooks.keys_discard(r->d->hooks.arg, r->keys);
	schema_declared_destroy(r->models);
	for (size_t i = 0; i < r->n; i++)
		if (r->steps[i].item != NULL && !r->steps[i].kept)
			connection_close(r->steps[i].item->conn);
}

static bool run(struct reload *r, struct declared_changes *ret, struct err *err)
{
	r->steps = arena_array(r->a, r->next->n_connections + 1, sizeof(*r->steps));
	const bool ok = prepare(r, err);
	if (ok) {
		tell(r->a, r->d->catalog, r->next, ret);
		store_begin_publishing(r->d->store);
		publish(r);
		store_end_publishing(r->d->store);
	} else {
		discard(r);
	}
	for (size_t i = 0; i < r->n; i++)
		item_unref(r->steps[i].item);
	return ok;
}

bool declared_reload(struct declared *d, int64_t deadline, struct arena *a, struct declared_changes *ret,
		     struct err *err)
{
	struct reload r = {.d = d, .a = a};
	if (turn_take(&d->turn, deadline, 0, NULL) != WAIT_READY)
		return err_set(err, ERR_DATABASE_BUSY, "another reload of the catalog runs");
	bool ok = catalog_read(&d->source, &r.next, err);
	if (ok) {
		ok = run(&r, ret, err);
		catalog_unref(r.next);
	}
	turn_give(&d->turn);
	return ok;
}
