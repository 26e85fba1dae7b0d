/* One declared connection: prove, migrate, introspect, follow. */
#include "store/exec/coordination.h"
#include "store/once/once.h"
#include "store/catalog/bring_up.h"

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "store/exec/exec.h"
#include "store/migrate/apply.h"
#include "store/migrate/live_ir.h"

#include "service/base/banned.h"

struct item *item_create(struct catalog *c, const struct catalog_connection *spec, struct connection *conn)
{
	struct item *it = mem_alloc(sizeof(*it));
	it->refs = 1;
	it->conn = connection_ref(conn);
	it->catalog = catalog_ref(c);
	it->spec = spec;
	mutex_init(&it->lock);
	for (size_t i = 0; spec != NULL && i < c->n_introspects; i++)
		if (str_eq(c->introspects[i].using, spec->options.name))
			it->introspect = &c->introspects[i];
	return it;
}

struct item *item_ref(struct item *it)
{
	__atomic_add_fetch(&it->refs, 1, __ATOMIC_RELAXED);
	return it;
}

void item_unref(struct item *it)
{
	if (it == NULL || __atomic_sub_fetch(&it->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	json_decref(it->found);
	mem_free((char *)(uintptr_t)it->signature.p);
	mutex_done(&it->lock);
	connection_unref(it->conn);
	catalog_unref(it->catalog);
	mem_free(it);
}

bool item_current(const struct item *it)
{
	return __atomic_load_n(&it->gone, __ATOMIC_ACQUIRE) == 0 &&
	       __atomic_load_n(&it->conn->closed, __ATOMIC_ACQUIRE) == 0;
}

json_t *item_found(struct item *it)
{
	mutex_lock(&it->lock);
	json_t *found = json_incref(it->found);
	mutex_unlock(&it->lock);
	return found;
}

/* ---- has the schema changed? ---- */

/* A text that is another one after each change of tables. Content, not the catalogs' own row versions: not every server
 * that speaks PostgreSQL's protocol has those. */
static const char signature_postgres[] =
	"SELECT md5(coalesce(string_agg(t.x, '|' ORDER BY t.x), '')) FROM ("
	"SELECT 'a' || a.attrelid || ':' || c.relname || ':' || a.attname || ':' || a.atttypid || ':' || a.atttypmod "
	"|| ':' "
	"|| a.attnotnull || ':' || a.atthasdef AS x FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid "
	"= "
	"a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped "
	"AND "
	"c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' "
	"UNION ALL SELECT 'c' || k.oid || ':' || k.conname || ':' || k.contype::text FROM pg_catalog.pg_constraint k "
	"UNION ALL SELECT 'i' || i.indexrelid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = "
	"i.indrelid "
	"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' "
	"UNION ALL SELECT 'e' || e.enumtypid || ':' || e.enumlabel FROM pg_catalog.pg_enum e) t";
static const char signature_sqlite[] = "SELECT CAST(schema_version AS TEXT) FROM pragma_schema_version";

struct text_sink {
	struct strbuf *text;
};

static bool take_text(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	(void)err;
	struct text_sink *sink = arg;
	if (n == 1 && values[0].kind == VALUE_TEXT)
		strbuf_put(sink->text, values[0].u.s);
	*ret_stop = true;
	return true;
}

static bool read_signature(struct connection *conn, int64_t deadline, struct strbuf *ret, struct err *err)
{
	const char *sql = conn->dsn.dialect == DIALECT_SQLITE ? signature_sqlite : signature_postgres;
	const struct stmt s = {.sql = str_z(sql), .access = STMT_READ, .cache = true};
	struct text_sink text = {ret};
	struct row_sink sink = {.row = take_text, .arg = &text};
	struct route r = {.conn = conn};
	struct exec_result result;
	struct exec x = {0};
	struct err ignored;
	exec_begin(&x, &r, deadline, false);
	const bool ok = exec_run(&x, &s, &sink, &result, err);
	return exec_end(&x, ok, ok ? err : &ignored) && ok;
}

/* ---- introspection ---- */

/* What was found, under its signature: read before, so that a change in between is seen the next time. */
static void keep_found(struct item *it, json_t *models, struct str signature)
{
	mutex_lock(&it->lock);
	json_decref(it->found);
	mem_free((char *)(uintptr_t)it->signature.p);
	it->found = json_incref(models);
	it->signature = str_n(mem_strndup(signature.p != NULL ? signature.p : "", signature.len), signature.len);
	mutex_unlock(&it->lock);
}

static bool introspect(struct item *it, int64_t deadline, struct str signature, struct err *err)
{
	const struct live_ir_options o = {
		.tables = it->introspect->tables, .n_tables = it->introspect->n_tables, .known = it->catalog->schema};
	struct introspect_scope scope = {.views = true,
					 .search_path = it->introspect->schemas == NULL,
					 .listed_only = it->introspect->schemas != NULL,
					 .schemas = it->introspect->schemas,
					 .n_schemas = it->introspect->n_schemas};
	struct live_schema live;
	struct ddl_plan notes;
	struct arena a;
	json_t *doc;
	arena_init(&a);
	ddl_plan_init(&notes, &a);
	live_ir_tables(&a, &o, &scope.tables, &scope.n_tables);
	const bool ok = migrate_introspect_scope(it->conn, &scope, deadline, &a, &live, err) &&
			live_ir(&a, it->conn->dialect, &live, &o, &notes, &doc, err);
	if (ok)
		keep_found(it, json_object_get(doc, "models"), signature);
	arena_done(&a);
	return ok;
}

static bool introspect_now(struct item *it, int64_t deadline, struct err *err)
{
	struct strbuf signature;
	if (it->introspect == NULL)
		return true;
	strbuf_init(&signature, 0);
	const bool ok = read_signature(it->conn, deadline, &signature, err) &&
			introspect(it, deadline, strbuf_str(&signature), err);
	strbuf_done(&signature);
	return ok;
}

bool item_follow(struct item *it, int64_t deadline, bool *ret_changed, struct err *err)
{
	struct strbuf signature;
	*ret_changed = false;
	strbuf_init(&signature, 0);
	bool ok = read_signature(it->conn, deadline, &signature, err);
	if (ok) {
		mutex_lock(&it->lock);
		*ret_changed = !str_eq(it->signature, strbuf_str(&signature));
		mutex_unlock(&it->lock);
	}
	ok = ok && (!*ret_changed || introspect(it, deadline, strbuf_str(&signature), err));
	strbuf_done(&signature);
	return ok;
}

/* ---- all of it ---- */

static bool migrate_now(struct item *it, struct err *err)
{
	struct migrate_result result;
	struct arena a;
	if (it->spec == NULL || it->spec->migrate == CATALOG_MIGRATE_NONE)
		return true;
	const struct migrate_request q = {
		.options = {.updates = it->spec->migrate >= CATALOG_MIGRATE_UPDATES,
			    .destructive = it->spec->migrate == CATALOG_MIGRATE_DESTRUCTIVE},
		.deadline = CLOCK_NEVER,
		.look_ns = 60 * CLOCK_NS_PER_S,
	};
	arena_init(&a);
	memset(&result, 0, sizeof(result));
	const bool ok = migrate_run(it->conn, it->spec->models, &q, &a, &result, err);
	err->faults = NULL; /* they lived in the arena */
	if (!ok)
		err->n_faults = 0;
	arena_done(&a);
	return ok;
}

static bool found_out(struct connection *conn, int64_t deadline)
{
	coordination_find(conn, deadline);
	return true;
}

bool item_bring_up(struct item *it, bool migrate, int64_t deadline, struct err *err)
{
	return connection_prove(it->conn, deadline, err) && found_out(it->conn, deadline) &&
	       (!it->conn->exactly_once || once_prepare(it->conn, clock_deadline(60), err)) &&
	       (!migrate || migrate_now(it, err)) && introspect_now(it, clock_deadline(60), err);
}

/* What a database that is being made, or started, says, or one that is in use. */
bool bring_up_transient(const struct err *err)
{
	return err->cancelled || err->code == ERR_DATABASE_UNAVAILABLE || err->code == ERR_DATABASE_FORBIDDEN ||
	       err->code == ERR_POOL_TIMEOUT || err->code == ERR_DATABASE_BUSY ||
	       err->code == ERR_SERIALIZATION_FAILURE || err->code == ERR_STATEMENT_TIMEOUT;
}
