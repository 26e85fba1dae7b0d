/* Life of what is declared: registered at start, brought up by keepers, connected again by reset. */
#include "store/catalog/declared.h"

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/catalog/declared_impl.h"

#include "service/base/banned.h"

#define FOLLOW_NS (2 * CLOCK_NS_PER_S) /* how often introspected tables are looked at */

void item_list_done(struct item_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		item_unref(list->items[i]);
	mem_free(list->items);
	*list = (struct item_list){0};
}

void item_list_gone(const struct item_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		__atomic_store_n(&list->items[i]->gone, 1, __ATOMIC_RELEASE);
}

/* ---- keepers ---- */

struct keeper {
	struct declared *d;
	struct item *item;
	bool first; /* its first attempt runs */
};

static void first_done(struct keeper *k)
{
	if (k->first)
		__atomic_sub_fetch(&k->d->n_starting, 1, __ATOMIC_RELEASE);
	k->first = false;
}

static void report(const struct keeper *k, enum declared_event event, const struct err *err)
{
	const struct declared_report r = {.event = event, .connection = k->item->conn->name, .err = err};
	k->d->hooks.report(k->d->hooks.arg, &r);
}

/* What introspection found is published; false: the item has been replaced, or the models do not fit. */
static bool publish_found(struct keeper *k, struct err *err)
{
	struct declared *d = k->d;
	if (k->item->introspect == NULL)
		return true;
	if (turn_take(&d->turn, CLOCK_NEVER, 0, NULL) != WAIT_READY) {
		(void)err_set(err, ERR_SHUTTING_DOWN, "the server is going down");
		err->cancelled = true;
		return false;
	}
	const bool ok = !item_current(k->item) || declared_publish_models(d, err);
	turn_give(&d->turn);
	return ok;
}

/* Until it is up, refused for good, replaced, or the process ends. */
static void bring_up(struct keeper *k)
{
	struct item *it = k->item;
	int64_t pause = LIMIT_TRY_PAUSE_NS;
	bool told = false;
	struct err err;
	while (item_current(it)) {
		if (item_bring_up(it, true, clock_deadline(LIMIT_TRY_S), &err) && publish_found(k, &err)) {
			__atomic_store_n(&it->up, 1, __ATOMIC_RELEASE);
			connection_unhold(it->conn);
			if (told)
				report(k, DECLARED_UP, NULL);
			return;
		}
		if (!item_current(it) || err.code == ERR_SHUTTING_DOWN)
			return;
		const bool passes = bring_up_transient(&err);
		connection_hold(it->conn, connection_hold_reason(&err));
		if (!told || !passes)
			report(k, passes ? DECLARED_WAITING : DECLARED_FAILED, &err);
		told = true;
		first_done(k);
		if (!passes || wait_until(clock_mono_ns() + pause) == WAIT_CANCELLED)
			return;
		pause = clock_min(2 * pause, LIMIT_TRY_PAUSE_MAX_NS);
	}
}

/* Introspected models follow their tables. */
static void follow(struct keeper *k)
{
	struct item *it = k->item;
	bool changed, unpublished = false, told = false;
	struct err err;
	while (it->introspect != NULL && item_current(it) &&
	       wait_until(clock_mono_ns() + FOLLOW_NS) != WAIT_CANCELLED) {
		if (!item_current(it))
			return;
		const bool looked = item_follow(it, clock_deadline(LIMIT_TRY_S), &changed, &err);
		unpublished |= looked && changed;
		if (looked && (!unpublished || publish_found(k, &err))) {
			unpublished = told = false;
			continue;
		}
		if (!told && !err.cancelled && !bring_up_transient(&err)) {
			report(k, DECLARED_STALE, &err);
			told = true;
		}
	}
}

static void keep(void *arg)
{
	struct keeper *k = arg;
	if (__atomic_load_n(&k->item->up, __ATOMIC_ACQUIRE) == 0)
		bring_up(k);
	first_done(k);
	if (__atomic_load_n(&k->item->up, __ATOMIC_ACQUIRE) != 0)
		follow(k);
	item_unref(k->item);
	mem_free(k);
}

void declared_keep(struct declared *d, struct item *it)
{
	struct keeper *k = mem_alloc(sizeof(*k));
	*k = (struct keeper){.d = d, .item = item_ref(it), .first = !d->started};
	d->hooks.spawn(d->hooks.arg, keep, k);
}

/* ---- start ---- */

/* Registers a connection that is held until it is up. */
static bool add(struct declared *d, const struct connect_options *o, const struct catalog_connection *spec,
		struct err *err)
{
	struct connection *conn, *replaced;
	if (!connection_create(&d->store->connections, o, &conn, err))
		return false;
	connection_hold(conn, "its database has not answered yet");
	connection_declare(&d->store->connections, conn, &replaced);
	if (replaced != NULL)
		store_end_connection(d->store, replaced);
	if (spec != NULL && o->make_default)
		connection_declare_default(&d->store->connections, conn);
	else if (spec == NULL)
		(void)!connection_set_default(&d->store->connections, conn->name, err);
	d->list.items[d->list.n++] = item_create(d->catalog, spec, conn);
	connection_unref(conn);
	return true;
}

/* Always false. */
static bool cannot_open(const struct item *it, const struct err *why, struct err *err)
{
	if (it->spec == NULL)
		return err_set(err, why->code, "%s", why->detail);
	const struct catalog_place *at = &it->spec->at;
	return err_set_at(err, why->code, at->pointer, "%s: %s/url: %s", at->file, at->pointer, why->detail);
}

static bool opens(const struct item *it, struct err *why)
{
	return connection_prove(it->conn, clock_deadline(LIMIT_TRY_S), why) || bring_up_transient(why);
}

/* A file that cannot be opened is a fault like any other; what else its database may say is not. All are looked at
 * before the first is made; a start believes a look only where opening fails, too. */
static bool files_open(const struct declared *d, bool look_only, struct err *err)
{
	struct err why, ignored;
	for (size_t i = 0; i < d->list.n; i++) {
		const struct item *it = d->list.items[i];
		if (!connection_look(it->conn, NULL, &why) && !bring_up_transient(&why) &&
		    (look_only || !opens(it, &ignored)))
			return cannot_open(it, &why, err);
	}
	for (size_t i = 0; !look_only && i < d->list.n; i++) {
		const struct item *it = d->list.items[i];
		if (it->conn->dsn.dialect == DIALECT_SQLITE && !opens(it, &why))
			return cannot_open(it, &why, err);
	}
	return true;
}

/* The built-in default steps back for a declared connection of its name. */
static bool has_name(const struct catalog *c, struct str name)
{
	for (size_t i = 0; i < c->n_connections; i++)
		if (str_eq(c->connections[i].options.name, name))
			return true;
	return false;
}

static bool fill(struct declared *d, const struct connect_options *built_in, bool look_only, struct err *err)
{
	const struct catalog *c = d->catalog;
	d->list.items = mem_array(c->n_connections + 1, sizeof(*d->list.items));
	if (built_in != NULL && !has_name(c, built_in->name) && !add(d, built_in, NULL, err))
		return false;
	for (size_t i = 0; i < c->n_connections; i++) {
		struct err why;
		if (!add(d, &c->connections[i].options, &c->connections[i], &why))
			return err_set_at(err, why.code, c->connections[i].at.pointer, "%s: %s: %s",
					  c->connections[i].at.file, c->connections[i].at.pointer, why.detail);
	}
	return files_open(d, look_only, err) && (c->schema->n_models == 0 || declared_publish_models(d, err));
}

bool declared_check(struct store *store, struct catalog *c, const struct connect_options *built_in, struct err *err)
{
	struct declared d = {.store = store, .catalog = c};
	const bool ok = fill(&d, built_in, true, err);
	item_list_done(&d.list);
	return ok;
}

bool declared_create(struct store *store, const struct catalog_source *source, const struct declared_hooks *hooks,
		     struct catalog *c, const struct connect_options *built_in, struct declared **ret, struct err *err)
{
	struct declared *d = mem_alloc(sizeof(*d));
	d->store = store;
	d->source = *source;
	d->source.path = mem_strdup(source->path);
	d->hooks = *hooks;
	d->catalog = catalog_ref(c);
	turn_init(&d->turn);
	if (!fill(d, built_in, false, err)) {
		declared_destroy(d);
		return false;
	}
	catalog_unref(c);
	*ret = d;
	return true;
}

/* Items whose connection has gone leave the list by the way. */
static void append(struct declared *d, struct item *it)
{
	struct item **more = mem_array(d->list.n + 1, sizeof(*more));
	size_t n = 0;
	for (size_t i = 0; i < d->list.n; i++) {
		if (item_current(d->list.items[i]))
			more[n++] = d->list.items[i];
		else
			item_unref(d->list.items[i]);
	}
	more[n++] = it;
	mem_free(d->list.items);
	d->list = (struct item_list){.items = more, .n = n};
}

bool declared_adopt(struct declared *d, const struct connect_options *o, struct err *err)
{
	struct connection *conn, *replaced;
	struct err why;
	if (turn_take(&d->turn, clock_deadline(LIMIT_DECLARED_TURN_S), 0, NULL) != WAIT_READY)
		return err_set(err, ERR_DATABASE_BUSY, "the catalog is being reloaded");
	if (!connection_create(&d->store->connections, o, &conn, err)) {
		turn_give(&d->turn);
		return false;
	}
	struct item *it = item_create(d->catalog, NULL, conn);
	conn->kept = 1;
	connection_hold(conn, "its database has not answered yet");
	/* of a server that runs, one that answers is served at once */
	if (d->started && connection_prove(conn, clock_deadline(LIMIT_ADOPT_S), &why)) {
		connection_unhold(conn);
		__atomic_store_n(&it->up, 1, __ATOMIC_RELEASE);
	}
	connection_declare(&d->store->connections, conn, &replaced);
	connection_unref(conn);
	append(d, it);
	if (d->started)
		declared_keep(d, it);
	turn_give(&d->turn);
	if (replaced != NULL)
		store_end_connection(d->store, replaced);
	return true;
}

void declared_destroy(struct declared *d)
{
	if (d == NULL)
		return;
	item_list_done(&d->list);
	catalog_unref(d->catalog);
	turn_done(&d->turn);
	mem_free((char *)(uintptr_t)d->source.path);
	mem_free(d);
}

void declared_start(struct declared *d)
{
	__atomic_store_n(&d->n_starting, (int)d->list.n, __ATOMIC_RELEASE);
	for (size_t i = 0; i < d->list.n; i++)
		declared_keep(d, d->list.items[i]);
	d->started = true;
}

int declared_starting(const struct declared *d)
{
	return __atomic_load_n(&d->n_starting, __ATOMIC_ACQUIRE);
}

/* ---- reset ---- */

static bool fresh_item(struct declared *d, const struct item *old, struct item_list *list, struct err *err)
{
	struct connection *conn;
	if (!connection_create(&d->store->connections, &old->spec->options, &conn, err))
		return false;
	struct item *it = item_create(d->catalog, old->spec, conn);
	connection_hold(conn, "it is being connected again");
	list->items[list->n++] = it;
	connection_unref(conn);
	return true;
}

/* Proves what had been up; the rest, and what does not answer, gets a keeper. */
static void serve_again(struct declared *d, struct item *it, bool was_up, int64_t deadline)
{
	struct err err;
	if (was_up && item_bring_up(it, false, clock_min(deadline, clock_deadline(LIMIT_TRY_S)), &err)) {
		__atomic_store_n(&it->up, 1, __ATOMIC_RELEASE);
		connection_unhold(it->conn);
	} else if (was_up) {
		connection_hold(it->conn, connection_hold_reason(&err));
	}
	declared_keep(d, it);
}

bool declared_reset(struct declared *d, int64_t deadline, bool (*decide)(void *arg, struct err *err), void *arg,
		    struct err *err)
{
	struct item_list fresh = {0};
	struct connection_set set = {0};
	struct arena a;
	bool ok = true;
	if (turn_take(&d->turn, deadline, 0, NULL) != WAIT_READY)
		return err_set(err, ERR_DATABASE_BUSY, "the catalog is being reloaded");
	arena_init(&a);
	fresh.items = mem_array(d->list.n + 1, sizeof(*fresh.items));
	struct connection **conns = arena_array(&a, d->list.n + 1, sizeof(struct connection *));
	bool *was_up = arena_array(&a, d->list.n + 1, sizeof(*was_up));
	for (size_t i = 0; ok && i < d->list.n; i++) {
		const struct item *old = d->list.items[i];
		if (old->spec == NULL)
			continue;
		was_up[fresh.n] = __atomic_load_n(&old->up, __ATOMIC_ACQUIRE) != 0;
		ok = fresh_item(d, old, &fresh, err);
		if (ok && old->spec->options.make_default)
			set.fallback = fresh.items[fresh.n - 1]->conn;
	}
	ok = ok && decide(arg, err);
	if (ok) {
		struct item_list before = d->list;
		for (size_t i = 0; i < fresh.n; i++)
			conns[i] = fresh.items[i]->conn;
		set.list = conns;
		set.n = fresh.n;
		item_list_gone(&before);
		d->list = fresh;
		fresh = before;
		store_reset(d->store, &set);
		for (size_t i = 0; i < d->list.n; i++)
			serve_again(d, d->list.items[i], was_up[i], deadline);
	}
	item_list_done(&fresh);
	arena_done(&a);
	turn_give(&d->turn);
	return ok;
}
