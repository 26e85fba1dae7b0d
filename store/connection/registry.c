/* Named connections. The registry's lock guards the table and the default only; opening and closing happen outside of
 * it. */
#include "store/connection/registry.h"

#include <stdio.h>

#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define UNNAMED "default" /* the name of an unnamed connection */

void connection_registry_init(struct connection_registry *r, const struct connection_sharing *sharing)
{
	*r = (struct connection_registry){.sharing = sharing, .next_uid = 1};
	mutex_init(&r->lock);
	map_init(&r->by_name);
}

void connection_registry_done(struct connection_registry *r)
{
	struct connection *c;

	for (size_t pos = 0; (c = map_next(&r->by_name, &pos)) != NULL;) {
		connection_close(c);
		connection_unref(c);
	}
	map_done(&r->by_name);
	mutex_done(&r->lock);
}

struct connection *connection_ref(struct connection *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void connection_unref(struct connection *c)
{
	struct arena arena;

	if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (c->pool != NULL) {
		pool_close(c->pool);
		c->sharing->destroy(c);
		pool_unref(c->pool);
	}
	mutex_done(&c->hold_lock);
	mem_free(c->first_user);
	arena = c->arena;
	arena_done(&arena);
	mem_free(c);
}

void connection_used_by(struct connection *c, struct str caller)
{
	char *first = __atomic_load_n(&c->first_user, __ATOMIC_ACQUIRE), *mine;

	if (__atomic_load_n(&c->shared, __ATOMIC_RELAXED) != 0)
		return;
	if (first == NULL) {
		mine = mem_strndup(caller.p, caller.len);
		if (__atomic_compare_exchange_n(&c->first_user, &first, mine, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return;
		mem_free(mine);
	}
	if (!str_eq_z(caller, first))
		__atomic_store_n(&c->shared, 1, __ATOMIC_RELAXED);
}

bool connection_shared(const struct connection *c)
{
	return __atomic_load_n(&c->shared, __ATOMIC_RELAXED) != 0;
}

void connection_close(struct connection *c)
{
	__atomic_store_n(&c->closed, 1, __ATOMIC_RELEASE);
	pool_close(c->pool);
}

bool connection_name_valid(struct str name)
{
	if (name.len == 0 || name.len > LIMIT_CONNECTION_NAME)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

const char *connection_origin_word(enum connection_origin o)
{
	static const char *const words[] = {
		[CONNECTION_TOLD] = "told", [CONNECTION_DECLARED] = "declared", [CONNECTION_BUILT_IN] = "built_in"};

	return words[o];
}

static const char *const acting_words[] = {
	[ACTING_NONE] = "none", [ACTING_SETTINGS] = "settings", [ACTING_ROLE] = "role"};

const char *acting_word(enum acting a)
{
	return acting_words[a];
}

bool acting_of_word(struct str word, enum acting *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(acting_words); i++) {
		if (!str_eq_z(word, acting_words[i]))
			continue;
		*ret = (enum acting)i;
		return true;
	}
	return false;
}

/* ---- errors ---- */

static bool check_name(struct str name, struct err *err)
{
	if (connection_name_valid(name))
		return true;
	return err_set(err, ERR_INVALID_CONNECTION_NAME,
		       "Invalid connection name: ASCII letters, digits and '_' only, 1 to %d of them",
		       LIMIT_CONNECTION_NAME);
}

/* name is valid, so it may be shown. */
static bool not_found(struct str name, struct err *err)
{
	return err_set(err, ERR_CONNECTION_NOT_FOUND, "Connection '%.*s' is not registered", STR_FMT(name));
}

static bool declared(const struct connection *c, const char *what, struct err *err)
{
	return err_set(err, ERR_DECLARED, "%s '%.*s' is declared in %s; change it there and reload", what,
		       STR_FMT(c->name), c->declared_in);
}

static bool taken(struct str name, struct err *err)
{
	return err_set(err, ERR_CONNECTION_EXISTS, "Connection '%.*s' is already registered", STR_FMT(name));
}

/* ---- connect ---- */

/* The default that the catalog fixes is not `c`. Lock held. */
static bool default_free(const struct connection_registry *r, const struct connection *c, struct err *err)
{
	if (!r->fallback_declared || r->fallback == NULL || r->fallback == c)
		return true;
	return declared(r->fallback, "The default connection", err);
}

static bool gives_way(const struct connection *old, const struct connection *c)
{
	return c->unnamed || __atomic_load_n(&old->restored, __ATOMIC_RELAXED) != 0;
}

static bool name_free(struct connection_registry *r, const struct connection *c, bool make_default, struct err *err)
{
	bool ok;

	mutex_lock(&r->lock);
	const struct connection *old = map_get(&r->by_name, c->name);
	if (old != NULL && old->origin == CONNECTION_DECLARED)
		ok = declared(old, "Connection", err);
	else if (old != NULL && !gives_way(old, c))
		ok = taken(c->name, err);
	else if (old == NULL && r->by_name.n >= LIMIT_CONNECTIONS)
		ok = err_set(err, ERR_CONNECTION_IN_USE, "there are %d connections already; disconnect one first",
			     LIMIT_CONNECTIONS);
	else
		ok = !(c->unnamed || make_default) || default_free(r, c, err);
	mutex_unlock(&r->lock);
	return ok;
}

/* The contract's order: scheme, name, duplicate, then all else that is wrong with the URL. */
static bool validate(struct connection_registry *r, struct connection *c, const struct connect_options *o,
		     struct err *err)
{
	struct err url_err;
	c->url = arena_str(&c->arena, o->url);
	const bool url_ok = dsn_parse(&c->arena, c->url, &c->dsn, &url_err);

	if (!url_ok && url_err.code == ERR_UNSUPPORTED_SCHEME) {
		*err = url_err;
		return false;
	}
	if (!c->unnamed && !check_name(c->name, err))
		return false;
	if (c->origin == CONNECTION_TOLD && !o->restored && !name_free(r, c, o->make_default, err))
		return false;
	if (!url_ok) {
		*err = url_err;
		return false;
	}
	return o->acting == ACTING_NONE || c->dsn.dialect == DIALECT_POSTGRES ||
	       err_set_at(err, ERR_INVALID_REQUEST, "/acting", "SQLite is told nothing: acting is none there");
}

#define FAILED "DB Connection failed for "

/* Says which URL it was, without its secrets. */
static bool failed(const struct connection *c, struct err *err)
{
	struct err same = *err;

	(void)err_set(err, same.code, FAILED "%.*s: %s", STR_FMT(c->dsn.redacted), same.detail);
	memcpy(same.detail, err->detail, sizeof(same.detail));
	*err = same;
	return false;
}

bool connection_prove(struct connection *c, int64_t deadline, struct err *err)
{
	struct lease lease = {0};

	if (!pool_lease(c->pool, LEASE_READ, deadline, &lease, err))
		return failed(c, err);
	lease_release(&lease);
	return true;
}

bool connection_look(const struct connection *c, struct driver_look *q, struct err *err)
{
	struct driver_db *db;

	if (c->driver->look == NULL)
		return true;
	if (!c->driver->db_open(&c->dsn, &db, err))
		return failed(c, err);
	const bool ok = c->driver->look(db, q, err);
	c->driver->db_close(db);
	if (!ok && q != NULL && q->opened)
		return false;
	return ok || failed(c, err);
}

bool connection_create(struct connection_registry *r, const struct connect_options *o, struct connection **ret,
		       struct err *err)
{
	struct connection *c = mem_alloc(sizeof(*c));

	c->refs = 1;
	arena_init(&c->arena);
	mutex_init(&c->hold_lock);
	c->unnamed = o->name.p == NULL;
	c->origin = o->origin;
	if (o->declared_in != NULL)
		c->declared_in = arena_strz(&c->arena, str_z(o->declared_in));
	c->identity_map = o->identity_map;
	c->exactly_once = o->exactly_once;
	c->acting = o->acting;
	c->restored = o->restored;
	c->name = c->unnamed ? STR(UNNAMED) : arena_str(&c->arena, o->name);
	if (!validate(r, c, o, err))
		goto fail;
	c->driver = c->dsn.dialect == DIALECT_SQLITE ? &driver_sqlite : &driver_postgres;
	c->dialect = c->driver->dialect;
	if (!pool_create(c->driver, &c->dsn, &o->pool, &c->pool, err)) {
		(void)failed(c, err);
		goto fail;
	}
	c->sharing = r->sharing;
	c->sharing->create(c);
	*ret = c;
	return true;
fail:
	connection_unref(c);
	return false;
}

bool connection_open(struct connection_registry *r, const struct connect_options *o, int64_t deadline,
		     struct connection **ret, struct err *err)
{
	struct connection *c;

	if (!connection_create(r, o, &c, err))
		return false;
	if (connection_prove(c, deadline, err)) {
		*ret = c;
		return true;
	}
	connection_unref(c);
	return false;
}

/* ---- publishing ---- */

/* Lock held. The reference of what was there goes to the caller. */
static struct connection *publish(struct connection_registry *r, struct connection *c, bool make_default)
{
	struct connection *old = map_remove(&r->by_name, c->name); /* whose memory the key was */

	c->uid = r->next_uid++;
	r->changes++;
	(void)map_put(&r->by_name, c->name, connection_ref(c));
	if (make_default || (old != NULL && r->fallback == old))
		r->fallback = c;
	return old;
}

/* Lock held. */
static bool may_register(const struct connection_registry *r, const struct connection *c,
			 const struct connect_options *o, struct err *err)
{
	const struct connection *old = map_get(&r->by_name, c->name);

	if (old != NULL && old->origin == CONNECTION_DECLARED)
		return declared(old, "Connection", err);
	if (old != NULL && !gives_way(old, c))
		return taken(c->name, err);
	return !(c->unnamed || o->make_default) || default_free(r, c, err);
}

bool connection_may_register(struct connection_registry *r, const struct connection *c, const struct connect_options *o,
			     struct err *err)
{
	mutex_lock(&r->lock);
	bool ok = may_register(r, c, o, err);
	mutex_unlock(&r->lock);
	return ok;
}

bool connection_may_be_default(struct connection_registry *r, const struct connection *c, struct err *err)
{
	mutex_lock(&r->lock);
	bool ok = default_free(r, c, err);
	mutex_unlock(&r->lock);
	return ok;
}

bool connection_register(struct connection_registry *r, struct connection *c, const struct connect_options *o,
			 struct connection **ret_replaced, struct err *err)
{
	mutex_lock(&r->lock);
	bool ok = may_register(r, c, o, err);
	if (ok)
		*ret_replaced = publish(r, c, c->unnamed || o->make_default);
	mutex_unlock(&r->lock);
	return ok;
}

bool connection_same(struct connection_registry *r, const struct connect_options *o, struct connection **ret)
{
	if (o->name.p == NULL)
		return false;
	mutex_lock(&r->lock);
	struct connection *c = map_get(&r->by_name, o->name);
	/* each connect to a database in memory makes one of its own */
	const bool memory = c != NULL && c->dsn.dialect == DIALECT_SQLITE && c->dsn.mode == SQLITE_MODE_MEMORY;
	const bool same = c != NULL && !memory && c->origin == CONNECTION_TOLD && str_eq(c->url, o->url) &&
			  c->identity_map == o->identity_map && c->exactly_once == o->exactly_once &&
			  c->acting == o->acting && pool_config_same(pool_get_config(c->pool), &o->pool);
	if (same)
		*ret = connection_ref(c);
	mutex_unlock(&r->lock);
	return same;
}

void connection_declare(struct connection_registry *r, struct connection *c, struct connection **ret_replaced)
{
	mutex_lock(&r->lock);
	*ret_replaced = publish(r, c, false);
	mutex_unlock(&r->lock);
}

struct connection *connection_undeclare(struct connection_registry *r, struct connection *c)
{
	struct connection *out = NULL;

	mutex_lock(&r->lock);
	if (map_get(&r->by_name, c->name) == c) {
		out = map_remove(&r->by_name, c->name);
		r->changes++;
		if (r->fallback == c) {
			r->fallback = NULL;
			r->fallback_declared = false;
		}
	}
	mutex_unlock(&r->lock);
	return out;
}

void connection_declare_default(struct connection_registry *r, struct connection *c)
{
	mutex_lock(&r->lock);
	if (c != NULL && map_get(&r->by_name, c->name) == c)
		r->fallback = c;
	r->fallback_declared = c != NULL && r->fallback == c;
	mutex_unlock(&r->lock);
}

/* ---- not served yet ---- */

const char *connection_hold_reason(const struct err *err)
{
	return err->code == ERR_DATABASE_UNAVAILABLE || strncmp(err->detail, FAILED, strlen(FAILED)) == 0
		       ? "it cannot be connected; the log says why"
		       : err->detail;
}

void connection_hold(struct connection *c, const char *why)
{
	mutex_lock(&c->hold_lock);
	(void)snprintf(c->hold_why, sizeof(c->hold_why), "%s", why);
	mutex_unlock(&c->hold_lock);
	__atomic_store_n(&c->held, 1, __ATOMIC_RELEASE);
}

void connection_unhold(struct connection *c)
{
	__atomic_store_n(&c->held, 0, __ATOMIC_RELEASE);
}

bool connection_available(struct connection *c, struct err *err)
{
	if (__builtin_expect(__atomic_load_n(&c->held, __ATOMIC_ACQUIRE) == 0, 1))
		return true;
	mutex_lock(&c->hold_lock);
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "connection '%.*s' is not served yet: %s", STR_FMT(c->name),
		      c->hold_why);
	mutex_unlock(&c->hold_lock);
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

bool connection_may_begin(const struct connection *c, struct err *err)
{
	if (__atomic_load_n(&c->closed, __ATOMIC_ACQUIRE))
		return err_set(err, ERR_CONNECTION_NOT_FOUND, "connection \"%.*s\" was disconnected", STR_FMT(c->name));
	if (!__atomic_load_n(&c->leaving, __ATOMIC_ACQUIRE))
		return true;
	(void)err_set(err, ERR_DATABASE_BUSY, "connection \"%.*s\" is being disconnected", STR_FMT(c->name));
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* ---- look-up ---- */

bool connection_get(struct connection_registry *r, struct str name, struct connection **ret, struct err *err)
{
	struct connection *c;

	if (!check_name(name, err))
		return false;
	mutex_lock(&r->lock);
	c = map_get(&r->by_name, name);
	if (c != NULL)
		connection_ref(c);
	mutex_unlock(&r->lock);
	if (c == NULL)
		return not_found(name, err);
	*ret = c;
	return true;
}

bool connection_get_default(struct connection_registry *r, struct connection **ret, struct err *err)
{
	struct connection *c;
	bool any;

	mutex_lock(&r->lock);
	any = r->by_name.n > 0;
	c = r->fallback;
	if (c != NULL)
		connection_ref(c);
	mutex_unlock(&r->lock);
	if (c == NULL)
		return err_set(err, ERR_NO_DEFAULT_CONNECTION,
			       any ? "No default connection selected: name one with `using` or select one"
				   : "Engine not initialized: there is no connection; connect first");
	*ret = c;
	return true;
}

bool connection_set_default(struct connection_registry *r, struct str name, struct err *err)
{
	struct connection *c;
	bool ok;

	if (!check_name(name, err))
		return false;
	mutex_lock(&r->lock);
	c = map_get(&r->by_name, name);
	ok = c == NULL ? not_found(name, err) : default_free(r, c, err);
	if (ok && r->fallback != c) {
		r->fallback = c;
		r->changes++;
	}
	mutex_unlock(&r->lock);
	return ok;
}

bool connection_may_remove(const struct connection *c, struct err *err)
{
	return c->origin != CONNECTION_DECLARED || declared(c, "Connection", err);
}

bool connection_remove(struct connection_registry *r, struct str name, struct connection **ret, struct err *err)
{
	struct connection *c;
	bool ok;

	if (!check_name(name, err))
		return false;
	mutex_lock(&r->lock);
	c = map_get(&r->by_name, name);
	if (c == NULL) {
		ok = not_found(name, err);
	} else if (c->origin == CONNECTION_DECLARED) {
		ok = declared(c, "Connection", err);
	} else {
		(void)map_remove(&r->by_name, name);
		r->changes++;
		if (r->fallback == c)
			r->fallback = NULL;
		*ret = c;
		ok = true;
	}
	mutex_unlock(&r->lock);
	return ok;
}

/* ---- all of them ---- */

/* The table's values in an array of the arena, sorted by name. Lock held. */
static size_t collect(const struct connection_registry *r, struct arena *a, struct connection ***ret)
{
	struct connection **list = arena_array(a, r->by_name.n + 1, sizeof(struct connection *));
	struct connection *c;
	size_t n = 0;

	for (size_t pos = 0; (c = map_next(&r->by_name, &pos)) != NULL; n++) {
		size_t i = n;

		for (; i > 0 && str_cmp(list[i - 1]->name, c->name) > 0; i--)
			list[i] = list[i - 1];
		list[i] = c;
	}
	*ret = list;
	return n;
}

size_t connection_list(struct connection_registry *r, struct arena *a, struct connection ***ret,
		       struct str *ret_default)
{
	size_t n;

	mutex_lock(&r->lock);
	n = collect(r, a, ret);
	for (size_t i = 0; i < n; i++)
		connection_ref((*ret)[i]);
	if (ret_default != NULL)
		*ret_default = r->fallback != NULL ? arena_str(a, r->fallback->name) : STR_NONE;
	mutex_unlock(&r->lock);
	return n;
}

size_t connection_replace_all(struct connection_registry *r, struct arena *a, const struct connection_set *fresh,
			      struct connection ***ret)
{
	size_t n;

	mutex_lock(&r->lock);
	n = collect(r, a, ret);
	r->changes++;
	map_done(&r->by_name);
	map_init(&r->by_name);
	for (size_t i = 0; i < fresh->n; i++)
		(void)publish(r, fresh->list[i], false);
	r->fallback_declared = r->fallback_declared && fresh->fallback != NULL;
	r->fallback = fresh->fallback;
	mutex_unlock(&r->lock);
	return n;
}
