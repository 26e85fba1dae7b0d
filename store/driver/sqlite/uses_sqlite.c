/*
 * What views and triggers of a SQLite database read, as SQLite itself says while it compiles them: a view by selecting
 * from it, a trigger by compiling the statement that fires it. Nothing of that is run. A thread compiles them, for they
 * take as long as their author likes.
 */
#include "store/driver/introspect.h"

#include <stdio.h>

#include "service/base/clock.h"
#include "store/driver/catalog.h"
#include "store/driver/sqlite/sqlite_internal.h"
#include "store/migrate/table_text.h"

#include "service/base/banned.h"

static const char objects_sql[] = "SELECT s.type, s.name, s.tbl_name, s.sql FROM sqlite_schema s WHERE s.type IN "
				  "('view', 'trigger') ORDER BY s.type, "
				  "s.name";

/* The objects, before anything is compiled: the authorizer that listens then would hear this query, too. */
struct object {
	struct str kind, name, table, sql;
};

struct listing {
	struct catalog c; /* first: catalog_query hands it back */
	struct object *list;
	size_t n;
};

static void on_object(struct catalog *c, const struct value *row)
{
	struct listing *l = CONTAINER_OF(c, struct listing, c);

	l->list = catalog_more(c->arena, l->list, l->n, sizeof(*l->list));
	l->list[l->n++] = (struct object){catalog_text(c, row[0]), catalog_text(c, row[1]), catalog_text(c, row[2]),
					  catalog_text(c, row[3])};
}

static void put_update(struct sqlite_conn *c, struct str table, struct strbuf *b)
{
	struct strbuf sql;
	sqlite3_stmt *st = NULL;
	bool first = true;

	strbuf_init(&sql, 0);
	strbuf_puts(&sql, "SELECT name FROM pragma_table_xinfo(");
	dialect_quote_literal(&sql, table);
	strbuf_puts(&sql, ") WHERE hidden = 0");
	strbuf_puts(b, "UPDATE ");
	dialect_quote_ident(b, table);
	strbuf_puts(b, " SET ");
	if (sqlite3_prepare_v2(c->h, strbuf_str(&sql).p, (int)strbuf_str(&sql).len, &st, NULL) == SQLITE_OK)
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *text = (const char *)sqlite3_column_text(st, 0);
			const struct str name = text != NULL ? str_z(text) : STR("");

			strbuf_puts(b, first ? "" : ", ");
			first = false;
			dialect_quote_ident(b, name);
			strbuf_puts(b, " = ");
			dialect_quote_ident(b, name);
		}
	(void)sqlite3_finalize(st);
	strbuf_done(&sql);
}

/* The statement whose compilation compiles the object. */
static void put_statement(struct sqlite_conn *c, const struct object *o, struct strbuf *b)
{
	if (str_eq_z(o->kind, "view")) {
		strbuf_puts(b, "SELECT * FROM ");
		dialect_quote_ident(b, o->name);
		return;
	}
	switch (sqlite_trigger_event(o->sql)) {
	case TRIGGER_INSERT:
		strbuf_puts(b, "INSERT INTO ");
		dialect_quote_ident(b, o->table);
		strbuf_puts(b, " DEFAULT VALUES");
		break;
	case TRIGGER_DELETE:
		strbuf_puts(b, "DELETE FROM ");
		dialect_quote_ident(b, o->table);
		break;
	case TRIGGER_UPDATE:
		put_update(c, o->table, b);
		break;
	}
}

struct listener {
	struct sqlite_conn *c;
	struct arena *a;
	struct live_schema *live;
	const struct object *object;
};

static bool heard(const struct live_schema *l, const struct object *o, const char *table, const char *column)
{
	for (size_t i = l->n_uses; i-- > 0 && str_eq(l->uses[i].name, o->name);)
		if (str_eq_z(l->uses[i].table, table) && str_eq_z(l->uses[i].column, column))
			return true;
	return false;
}

/* Called for each column that is read; `by`: the view or trigger, NULL for the statement itself. */
static int on_read(void *arg, int action, const char *table, const char *column, const char *schema UNUSED,
		   const char *by)
{
	const struct listener *l = arg;
	struct live_schema *live = l->live;
	const bool trigger = !str_eq_z(l->object->kind, "view");

	if (!sqlite_compile_goes_on(l->c))
		return SQLITE_DENY;
	if (action != SQLITE_READ || table == NULL || column == NULL || column[0] == '\0' ||
	    (trigger && (by == NULL || !str_ieq_z(l->object->name, by))) || heard(live, l->object, table, column))
		return SQLITE_OK;
	live->uses = catalog_more(l->a, live->uses, live->n_uses, sizeof(*live->uses));
	live->uses[live->n_uses++] = (struct live_use){
		.kind = l->object->kind,
		.name = l->object->name,
		.table = arena_str(l->a, str_z(table)),
		.column = arena_str(l->a, str_z(column)),
	};
	return SQLITE_OK;
}

static void put_broken(const struct listener *l, const char *why)
{
	struct live_schema *live = l->live;

	live->broken = catalog_more(l->a, live->broken, live->n_broken, sizeof(*live->broken));
	live->broken[live->n_broken++] =
		(struct live_broken){l->object->kind, l->object->name, arena_str(l->a, str_z(why))};
}

/* What is wrong with the object, which is then told; false: with the database, or there is no time left. */
static bool judge(const struct listener *l, int rc, int64_t took_ns)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
		return l->c->stop == SQLITE_STOP_NONE;
	case SQLITE_ERROR:
	case SQLITE_AUTH:
	case SQLITE_TOOBIG:
		if (l->c->stop != SQLITE_STOP_NONE)
			return false;
		put_broken(l, sqlite3_errmsg(l->c->h));
		return true;
	default:
		if (!sqlite_away_too_long(rc, took_ns))
			return false;
		put_broken(l, "too long when it is compiled");
		return true;
	}
}

/* The objects, by a thread, for a moment at a time. */
struct uses_job {
	struct listener l;
	const struct listing *listing;
	size_t next;
	int64_t deadline_ns;
	int rc;
	bool ok;
};

#define JOB_NS (5 * CLOCK_NS_PER_MS)

static void compile(struct uses_job *j)
{
	struct sqlite_conn *c = j->l.c;
	sqlite3_stmt *st = NULL;
	struct strbuf sql;

	sqlite_wait_begin(c, j->deadline_ns);
	strbuf_init(&sql, 0);
	put_statement(c, j->l.object, &sql);
	(void)sqlite3_set_authorizer(c->h, on_read, &j->l);
	const int64_t from = clock_thread_cpu_ns();
	j->rc = sqlite3_prepare_v2(c->h, strbuf_str(&sql).p, (int)strbuf_str(&sql).len, &st, NULL);
	j->ok = judge(&j->l, j->rc, clock_thread_cpu_ns() - from);
	sqlite_policy_authorize(c);
	(void)sqlite3_finalize(st);
	strbuf_done(&sql);
}

static void uses_job(void *arg)
{
	struct uses_job *j = arg;
	const int64_t until = clock_mono_ns() + JOB_NS;

	do {
		j->l.object = &j->listing->list[j->next++];
		compile(j);
	} while (j->ok && j->next < j->listing->n && clock_mono_ns() < until);
}

bool sqlite_migrate_uses(struct driver_conn *conn, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			 struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(conn);
	struct listing l = {.c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret}};
	struct uses_job j = {.l = {.c = c, .a = a, .live = ret}, .listing = &l, .deadline_ns = deadline_ns};

	ret->uses = NULL;
	ret->broken = NULL;
	ret->n_uses = ret->n_broken = 0;
	if (!catalog_query(&l.c, str_z(objects_sql), "tttT", on_object, err))
		return false;
	while (j.next < l.n) {
		if (!sqlite_compile_away(c, uses_job, &j) || !j.ok)
			return sqlite_error(c, c->stop != SQLITE_STOP_NONE ? SQLITE_INTERRUPT : j.rc, STR_NONE, err);
	}
	return true;
}
