/* Documents into a catalog: merge, check, complete. */
#include "store/catalog/catalog.h"

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/catalog/catalog_file.h"
#include "store/driver/driver.h"
#include "store/schema/schema_json.h"

#include "service/base/banned.h"

enum list { LIST_CONNECTIONS, LIST_MODELS, LIST_INTROSPECT, LIST_KEYS, N_LISTS };

static const char *const list_names[N_LISTS] = {"connections", "models", "introspect", "keys"};

/* The entries of all files, a list each. */
struct merged {
	json_t *lists[N_LISTS]; /* arrays */
	struct catalog_place *places[N_LISTS];
};

struct catalog *catalog_ref(struct catalog *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void catalog_unref(struct catalog *c)
{
	struct arena arena;
	if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < c->n_connections; i++)
		schema_unref(c->connections[i].models);
	schema_unref(c->schema);
	map_done(&c->places_by_model);
	arena = c->arena;
	arena_done(&arena);
	mem_free(c);
}

/* An error of a reader or a parser, which points into the entry, as one of its file. */
static bool at_place(const struct catalog_place *at, struct err *err)
{
	const struct err was = *err;
	return catalog_fault(err, was.code, at->file, was.has_pointer ? was.pointer : at->pointer, was.detail);
}

/* ---- merging ---- */

static void decref(void *v)
{
	json_decref(v);
}

static bool check_members(const struct catalog_file *f, struct arena *a, struct err *err)
{
	const struct catalog_place at = {.file = f->path, .pointer = ""};
	struct json_reader r;
	const json_t *list;
	json_reader_init(&r, a, f->doc, "", err);
	for (size_t i = 0; i < N_LISTS; i++)
		json_reader_array(&r, list_names[i], &list);
	return json_reader_done(&r) || at_place(&at, err);
}

static bool merge(const struct catalog_file *files, size_t n, struct arena *a, struct merged *ret, struct err *err)
{
	for (size_t l = 0; l < N_LISTS; l++) {
		size_t total = 0, at = 0;
		for (size_t f = 0; f < n; f++)
			total += json_array_size(json_object_get(files[f].doc, list_names[l]));
		ret->lists[l] = json_array();
		arena_on_done(a, decref, ret->lists[l]);
		ret->places[l] = arena_array(a, total + 1, sizeof(*ret->places[l]));
		for (size_t f = 0; f < n; f++) {
			const json_t *list = json_object_get(files[f].doc, list_names[l]);
			const char *root = arena_printf(a, "/%s", list_names[l]).p;
			if (!check_members(&files[f], a, err))
				return false;
			for (size_t i = 0; i < json_array_size(list); i++) {
				(void)json_array_append(ret->lists[l], json_array_get(list, i));
				ret->places[l][at++] = (struct catalog_place){
					.file = files[f].path, .pointer = json_pointer_index(a, root, i)};
			}
		}
	}
	return true;
}

/* A pointer whose `skip` first bytes are followed by the number of a merged entry ("/models/12/columns"), as one of the
 * entry's file. */
static bool remap(const struct catalog_place *places, size_t n, size_t skip, struct err *err)
{
	const struct err was = *err;
	struct str rest = str_z(was.pointer), digits;
	char pointer[sizeof(err->pointer)];
	int64_t i = 0;
	if (!was.has_pointer || rest.len < skip)
		return false;
	rest = str_n(rest.p + skip, rest.len - skip);
	(void)str_split(&rest, '/', &digits);
	if (!num_parse_int(digits, &i) || i < 0 || (size_t)i >= n)
		return false;
	(void)snprintf(pointer, sizeof(pointer), "%s%s%.*s", places[i].pointer, rest.p != NULL ? "/" : "",
		       rest.p != NULL ? (int)rest.len : 0, rest.p != NULL ? rest.p : "");
	return catalog_fault(err, was.code, places[i].file, pointer, was.detail);
}

bool catalog_key_fault(const struct catalog *c, struct err *err)
{
	return remap(c->key_places, json_array_size(c->keys), 1, err);
}

/* ---- models ---- */

/* Members that nothing heeds are faults here: nobody reads the warnings of a start. */
static bool nothing_ignored(const struct catalog *c, const struct schema *s, struct err *err)
{
	for (size_t i = 0; i < s->n_warnings; i++) {
		if (strcmp(s->warnings[i].code, "unknown_member") != 0)
			continue;
		(void)err_set_at(err, ERR_INVALID_SCHEMA,
				 arena_strz((struct arena *)(uintptr_t)&c->arena, s->warnings[i].pointer), "%.*s",
				 STR_FMT(s->warnings[i].detail));
		return false;
	}
	return true;
}

static bool read_models(struct catalog *c, struct err *err)
{
	const size_t n = json_array_size(c->models), skip = strlen("/models/");
	struct arena scratch;
	json_t *doc = json_pack("{s:O}", "models", c->models);
	arena_init(&scratch);
	const bool ok = schema_from_json(doc, NULL, &scratch, &c->schema, err) && nothing_ignored(c, c->schema, err);
	json_decref(doc);
	err->faults = NULL; /* they live in the scratch, and one line has room for one */
	if (!ok)
		err->n_faults = 0;
	arena_done(&scratch);
	return ok || remap(c->model_places, n, skip, err);
}

static void index_models(struct catalog *c)
{
	const json_t *m;
	size_t i;
	json_array_foreach(c->models, i, m)
	{
		(void)map_put(&c->places_by_model, json_str(json_object_get(m, "model_name")),
			      (void *)(uintptr_t)&c->model_places[i]);
	}
}

const char *catalog_model_file(const struct catalog *c, struct str model)
{
	const struct catalog_place *at = map_get(&c->places_by_model, model);
	return at->file;
}

static json_t *model_json(const struct catalog *c, struct str model)
{
	const struct catalog_place *at = map_get(&c->places_by_model, model);
	return json_array_get(c->models, (size_t)(at - c->model_places));
}

/* ---- connections ---- */

static bool migrate_of(struct str word, enum catalog_migrate *ret)
{
	static const char *const words[] = {[CATALOG_MIGRATE_NONE] = "none",
					    [CATALOG_MIGRATE_CREATE] = "create",
					    [CATALOG_MIGRATE_UPDATES] = "updates",
					    [CATALOG_MIGRATE_DESTRUCTIVE] = "destructive"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_z(word, words[i])) {
			*ret = (enum catalog_migrate)i;
			return true;
		}
	}
	return false;
}

/* Reads a list of names; every one is handed to `check` when there is one. */
static bool read_names(struct json_reader *r, const char *key, const struct str **ret, size_t *ret_n)
{
	const json_t *list, *v;
	size_t i;
	if (!json_reader_array(r, key, &list))
		return !r->failed;
	struct str *names = arena_array(r->arena, json_array_size(list) + 1, sizeof(*names));
	json_array_foreach(list, i, v)
	{
		if (!json_is_string(v) || json_string_length(v) == 0) {
			json_reader_fault(r, key, "expected an array of names");
			return false;
		}
		names[i] = json_str(v);
	}
	*ret = names;
	*ret_n = json_array_size(list);
	return true;
}

/* The models that the connection migrates, as a set of their own. */
static bool choose_models(struct catalog *c, struct catalog_connection *x, const struct str *names, size_t n,
			  struct err *err)
{
	struct arena scratch;
	if (names == NULL) {
		x->models = schema_ref(c->schema);
		return true;
	}
	json_t *doc = json_object(), *models = json_array();
	(void)json_object_set_new(doc, "models", models);
	arena_init(&scratch);
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++) {
		const struct model *m = schema_model(c->schema, names[i]);
		if (m != NULL)
			(void)json_array_append(models, model_json(c, names[i]));
		else
			ok = err_set_at(err, ERR_INVALID_REQUEST,
					arena_printf(&c->arena, "%s/models/%zu", x->at.pointer, i).p,
					"the catalog has no model \"%.*s\"", STR_FMT(names[i]));
	}
	if (ok && !schema_from_json(doc, NULL, &scratch, &x->models, err)) {
		const struct err was = *err;
		ok = err_set_at(err, ERR_INVALID_SCHEMA, arena_printf(&c->arena, "%s/models", x->at.pointer).p,
				"these models do not do without the others: %s", was.detail);
	}
	json_decref(doc);
	arena_done(&scratch);
	return ok || at_place(&x->at, err);
}

static bool driver_takes(const struct dsn *dsn, struct err *err)
{
	const struct driver *d = dsn->dialect == DIALECT_SQLITE ? &driver_sqlite : &driver_postgres;
	struct driver_db *db;
	if (!d->db_open(dsn, &db, err))
		return false;
	d->db_close(db);
	return true;
}

bool catalog_takes_url(struct arena *a, struct str url, struct err *err)
{
	struct dsn dsn;
	return dsn_parse(a, url, &dsn, err) && driver_takes(&dsn, err);
}

static bool check_url(struct catalog *c, const struct catalog_source *from, struct catalog_connection *x,
		      struct err *err)
{
	const char *pointer = json_pointer_key(&c->arena, x->at.pointer, STR("url"));
	struct dsn dsn;
	if (dsn_parse(&c->arena, x->options.url, &dsn, err) &&
	    (from->bind == NULL || from->bind(from->arg, &c->arena, &x->options.url, err)) && driver_takes(&dsn, err))
		return true;
	const struct err was = *err;
	return catalog_fault(err, was.code, x->at.file, pointer, was.detail);
}

static bool read_connection(struct catalog *c, const struct catalog_source *from, struct catalog_connection *x,
			    struct err *err)
{
	struct json_reader r;
	struct str migrate = STR("none");
	const struct str *models = NULL;
	size_t n_models = 0;
	json_reader_init(&r, &c->arena, x->json, x->at.pointer, err);
	connect_json_read(&r, &x->options);
	json_reader_require(&r, "name");
	json_reader_str(&r, "migrate", &migrate);
	(void)read_names(&r, "models", &models, &n_models);
	if (!r.failed && !connection_name_valid(x->options.name))
		json_reader_fault(&r, "name", "a name has 1 to %d ASCII letters, digits and '_'",
				  LIMIT_CONNECTION_NAME);
	if (str_eq_z(migrate, "revisions"))
		json_reader_fault(&r, "migrate", "\"revisions\" is not available in this version of ferrod");
	else if (!migrate_of(migrate, &x->migrate))
		json_reader_fault(&r, "migrate", "expected none, create, updates, destructive or revisions");
	if (!json_reader_done(&r))
		return at_place(&x->at, err);
	x->options.origin = CONNECTION_DECLARED;
	x->options.declared_in = x->at.file;
	if (!check_url(c, from, x, err))
		return false;
	if (x->migrate == CATALOG_MIGRATE_NONE && models == NULL)
		return true;
	return choose_models(c, x, models, n_models, err);
}

/* A name that an earlier entry has, or a second default. */
static bool check_unique(const struct catalog *c, const struct catalog_connection *x, struct err *err)
{
	for (const struct catalog_connection *y = c->connections; y < x; y++) {
		char reason[320];
		bool name = str_eq(x->options.name, y->options.name);
		if (!name && !(x->options.make_default && y->options.make_default))
			continue;
		(void)snprintf(reason, sizeof(reason), "%s at %s of %s",
			       name ? "the name is that of the connection" : "the default is the connection",
			       y->at.pointer, y->at.file);
		char pointer[256];
		(void)snprintf(pointer, sizeof(pointer), "%s/%s", x->at.pointer, name ? "name" : "default");
		return catalog_fault(err, ERR_INVALID_REQUEST, x->at.file, pointer, reason);
	}
	return true;
}

static bool read_connections(struct catalog *c, const struct catalog_source *from, const struct merged *m,
			     struct err *err)
{
	const json_t *list = m->lists[LIST_CONNECTIONS];
	c->connections = arena_array(&c->arena, json_array_size(list) + 1, sizeof(*c->connections));
	if (json_array_size(list) > LIMIT_CONNECTIONS)
		return catalog_fault(err, ERR_INVALID_REQUEST, m->places[LIST_CONNECTIONS][LIMIT_CONNECTIONS].file,
				     m->places[LIST_CONNECTIONS][LIMIT_CONNECTIONS].pointer, "there are too many");
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct catalog_connection *x = &c->connections[c->n_connections++];
		x->json = json_array_get(list, i);
		x->at = m->places[LIST_CONNECTIONS][i];
		if (!read_connection(c, from, x, err) || !check_unique(c, x, err))
			return false;
	}
	return true;
}

/* ---- introspection ---- */

static bool knows_connection(const struct catalog *c, struct str name)
{
	for (size_t i = 0; i < c->n_connections; i++)
		if (str_eq(c->connections[i].options.name, name))
			return true;
	return false;
}

/* Which schemas PostgreSQL has shows when it answers. SQLite has one. */
static void check_schemas(const struct catalog *c, const struct catalog_introspect *x, struct json_reader *r)
{
	struct dsn dsn;
	struct err ignored;
	bool sqlite = false;
	for (size_t i = 0; i < c->n_connections; i++)
		if (str_eq(c->connections[i].options.name, x->using))
			sqlite = dsn_parse(r->arena, c->connections[i].options.url, &dsn, &ignored) &&
				 dsn.dialect == DIALECT_SQLITE;
	for (size_t i = 0; sqlite && i < x->n_schemas; i++)
		if (!str_ieq_z(x->schemas[i], "main"))
			json_reader_fault(r, "schemas", "SQLite has the schema \"main\", and no \"%.*s\"",
					  STR_FMT(x->schemas[i]));
}

static bool read_introspect(struct catalog *c, struct catalog_introspect *x, struct err *err)
{
	struct json_reader r;
	json_reader_init(&r, &c->arena, x->json, x->at.pointer, err);
	json_reader_str(&r, "using", &x->using);
	json_reader_require(&r, "using");
	(void)read_names(&r, "schemas", &x->schemas, &x->n_schemas);
	(void)read_names(&r, "tables", &x->tables, &x->n_tables);
	if (!r.failed && !knows_connection(c, x->using))
		json_reader_fault(&r, "using", "the catalog has no connection \"%.*s\"", STR_FMT(x->using));
	if (!r.failed)
		check_schemas(c, x, &r);
	for (const struct catalog_introspect *y = c->introspects; y < x; y++)
		if (!r.failed && str_eq(x->using, y->using))
			json_reader_fault(&r, "using", "the entry at %s of %s is for the same connection",
					  y->at.pointer, y->at.file);
	return json_reader_done(&r) || at_place(&x->at, err);
}

static bool read_introspects(struct catalog *c, const struct merged *m, struct err *err)
{
	const json_t *list = m->lists[LIST_INTROSPECT];
	c->introspects = arena_array(&c->arena, json_array_size(list) + 1, sizeof(*c->introspects));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct catalog_introspect *x = &c->introspects[c->n_introspects++];
		x->json = json_array_get(list, i);
		x->at = m->places[LIST_INTROSPECT][i];
		if (!read_introspect(c, x, err))
			return false;
	}
	return true;
}

/* ---- all of it ---- */

static bool fill(struct catalog *c, const struct catalog_source *from, struct err *err)
{
	struct catalog_file *files = NULL;
	struct merged m;
	size_t n = 0;
	if (from->path[0] != '\0' && !catalog_files_read(from->path, &c->arena, &files, &n, err))
		return false;
	if (!merge(files, n, &c->arena, &m, err))
		return false;
	c->models = m.lists[LIST_MODELS];
	c->model_places = m.places[LIST_MODELS];
	c->keys = m.lists[LIST_KEYS];
	c->key_places = m.places[LIST_KEYS];
	if (!read_models(c, err))
		return false;
	index_models(c);
	return read_connections(c, from, &m, err) && read_introspects(c, &m, err);
}

bool catalog_read(const struct catalog_source *from, struct catalog **ret, struct err *err)
{
	struct catalog *c = mem_alloc(sizeof(*c));
	c->refs = 1;
	arena_init(&c->arena);
	if (!fill(c, from, err)) {
		catalog_unref(c);
		return false;
	}
	*ret = c;
	return true;
}
