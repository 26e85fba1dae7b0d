/*
 * The tables of a SQLite database: from its table-valued pragmas what they tell, the rest from the text of CREATE TABLE
 * (store/migrate/table_text.h).
 */
#include "store/driver/introspect.h"

#include <string.h>

#include "service/base/clock.h"
#include "service/base/wait.h"
#include "store/driver/catalog.h"
#include "store/driver/sqlite/sqlite_internal.h"
#include "store/driver/sqlite/words_sqlite.h"
#include "store/migrate/diff.h"
#include "store/migrate/table_text.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* @T is where a condition on m stands, see ask. */
#define TABLES \
	"FROM sqlite_schema m JOIN pragma_table_list l ON l.schema = 'main' AND l.name = m.name AND l.type = 'table' "
#define OURS \
	"WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name NOT LIKE '\\_ferrod\\_%' " \
	"ESCAPE '\\' AND @T "

static const char tables_sql[] = "SELECT m.name, m.sql " TABLES OURS "ORDER BY m.name";

static const char columns_sql[] = "SELECT m.name, x.name, x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden " TABLES
				  "JOIN pragma_table_xinfo(m.name) x " OURS "ORDER BY m.name, x.cid";

static const char indexes_sql[] =
	"SELECT m.name, i.name, i.\"unique\", i.origin, i.partial, x.name, s.sql, x.\"desc\", x.coll " TABLES
	"JOIN pragma_index_list(m.name) i JOIN pragma_index_xinfo(i.name) x "
	"LEFT JOIN sqlite_schema s ON s.type = 'index' AND s.name = i.name " OURS
	"AND x.key = 1 ORDER BY m.name, i.seq DESC, x.seqno";

/* A table's name is taken by an index, too, whatever IF NOT EXISTS says. */
static const char others_sql[] =
	"SELECT l.name, CASE l.type WHEN 'virtual' THEN 'virtual table' WHEN 'shadow' THEN 'table of a virtual table' "
	"ELSE l.type END FROM pragma_table_list l WHERE l.schema = 'main' AND l.type <> 'table' "
	"UNION ALL SELECT name, type FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE "
	"'\\' "
	"ORDER BY 1";

/* The last one of the text has id 0. */
static const char fks_sql[] =
	"SELECT m.name, f.id, f.\"table\", f.\"from\", f.\"to\", f.on_delete, f.on_update, f.seq " TABLES
	"JOIN pragma_foreign_key_list(m.name) f " OURS "ORDER BY m.name, f.id DESC, f.seq";

/* What has columns and is no table. */
static const char views_sql[] =
	"SELECT m.name, l.type, m.sql FROM pragma_table_list l JOIN sqlite_schema m ON m.name = l.name "
	"WHERE l.schema = 'main' AND l.type IN ('view', 'virtual') AND @T ORDER BY m.name";

static const char triggers_sql[] =
	"SELECT tbl_name, sql, name FROM sqlite_schema WHERE type = 'trigger' ORDER BY tbl_name, rowid";

static void put_tables(const struct introspect_scope *scope, struct strbuf *b)
{
	static const char referred[] =
		") OR m.name COLLATE NOCASE IN (SELECT k.\"table\" FROM sqlite_schema t JOIN "
		"pragma_foreign_key_list(t.name) k WHERE t.type = 'table' AND t.name COLLATE NOCASE IN (";
	static const char *const texts[] = {"(m.name COLLATE NOCASE IN (", referred, ")))"};

	catalog_put_tables(scope, &dialect_sqlite, texts, b);
}

static bool ask(struct catalog *c, const struct introspect_scope *scope, const char *sql, const char *kinds,
		catalog_row row, struct err *err)
{
	const char *at = strstr(sql, "@T");
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	strbuf_put(&b, str_n(sql, (size_t)(at - sql)));
	put_tables(scope, &b);
	strbuf_puts(&b, at + 2);
	ok = catalog_query(c, strbuf_str(&b), kinds, row, err);
	strbuf_done(&b);
	return ok;
}

static void on_table(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_add_table(c, row[0]);

	t->sql = row[1].kind == VALUE_TEXT ? catalog_text(c, row[1]) : STR("");
}

static void on_other(struct catalog *c, const struct value *row)
{
	catalog_other(c, value_null(), row[0], row[1]);
}

static void on_column(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
	struct live_column *col;

	if (t == NULL)
		return;
	col = catalog_add_column(c, t, row[1]);
	col->type = row[2].kind == VALUE_TEXT ? catalog_text(c, row[2]) : STR("");
	col->nullable = catalog_int(row[3]) == 0;
	col->default_text = catalog_text(c, row[4]);
	col->pk_position = (size_t)catalog_int(row[5]);
	col->generated = catalog_int(row[6]) >= 2;
	col->generated_virtual = catalog_int(row[6]) == 2;
}

static void on_index(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
	const struct live_column *col;
	struct live_index *x;
	struct index_key *k;
	bool is_new;

	if (t == NULL)
		return;
	x = catalog_index(c, t, row[1], &is_new);
	if (is_new) {
		x->unique = catalog_int(row[2]) != 0;
		x->origin = str_eq_z(row[3].u.s, "pk")  ? LIVE_INDEX_PRIMARY
			    : str_eq_z(row[3].u.s, "u") ? LIVE_INDEX_UNIQUE
							: LIVE_INDEX_CREATED;
		x->partial = catalog_int(row[4]) != 0;
		x->sql = catalog_text(c, row[6]);
	}
	x->special = x->special || catalog_bool(row[7]);
	k = catalog_add_key(c, x);
	k->descending = catalog_bool(row[7]);
	col = row[5].kind == VALUE_TEXT ? catalog_column(c, t, row[5].u.s) : NULL;
	if (x->origin == LIVE_INDEX_CREATED && (col != NULL || row[5].kind != VALUE_TEXT) &&
	    row[8].kind == VALUE_TEXT &&
	    !live_name_eq(&dialect_sqlite, row[8].u.s,
			  col != NULL && col->collation.p != NULL ? col->collation : STR("BINARY"))) {
		x->special = true;
		k->collation = catalog_text(c, row[8]);
	}
	if (row[5].kind != VALUE_TEXT) {
		x->expression = true;
		return;
	}
	k->column = catalog_text(c, row[5]);
	catalog_add_name(c, &x->columns, &x->n_columns, row[5]);
}

/* Expressions and predicates, which only the text of CREATE INDEX tells. */
static void read_index_text(struct catalog *c, struct live_index *x)
{
	struct index_key *keys = (struct index_key *)(uintptr_t)x->keys;
	struct str entries, entry;

	if (x->sql.p == NULL || !(x->partial || x->expression) || !schema_sql_index(x->sql, &entries, &x->predicate))
		return;
	x->predicate =
		x->predicate.p != NULL ? arena_str(c->arena, schema_sql_bare(DIALECT_SQLITE, x->predicate)) : STR_NONE;
	for (size_t i = 0; i < x->n_keys && schema_sql_entry(DIALECT_SQLITE, &entries, &entry); i++)
		if (keys[i].column.p == NULL)
			keys[i].expression = arena_str(c->arena, schema_sql_entry_expression(DIALECT_SQLITE, entry));
}

static void read_index_texts(struct catalog *c)
{
	for (size_t i = 0; i < c->live->n_tables; i++)
		for (size_t k = 0; k < c->live->tables[i].n_indexes; k++)
			read_index_text(c, &c->live->tables[i].indexes[k]);
}

static void on_fk(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
	struct live_foreign_key *fk;

	if (t == NULL)
		return;
	/* seq is 0 in the first row of each, which alone tells a new one from the next column of the last */
	if (t->n_fks == 0 || catalog_int(row[7]) == 0) {
		fk = catalog_add_fk(c, t);
		fk->to_table = catalog_text(c, row[2]);
		fk->on_delete = catalog_text(c, row[5]);
		fk->on_update = catalog_text(c, row[6]);
	}
	fk = &t->fks[t->n_fks - 1];
	catalog_add_name(c, &fk->columns, &fk->n_columns, row[3]);
	if (row[4].kind == VALUE_TEXT)
		catalog_add_name(c, &fk->to_columns, &fk->n_to_columns, row[4]);
}

static void on_trigger(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);

	if (t == NULL)
		return;
	catalog_add_name(c, &t->triggers, &t->n_triggers, row[1]);
	catalog_add_thing(c, t, value_text(STR("trigger")), row[2]);
}

static size_t n_keys(const struct table_text *text)
{
	size_t n = 0;

	for (size_t i = 0; i < text->n_pieces; i++)
		n += text->pieces[i].kind == PIECE_FOREIGN_KEY;
	return n;
}

/* fk: the foreign key that the piece makes, if it makes one. */
static void on_piece(struct catalog *c, struct live_table *t, const struct table_piece *p, struct live_foreign_key *fk)
{
	struct live_column *col;

	switch ((int)p->kind) {
	case PIECE_CHECK:
		catalog_add_check(c, t, p->name, p->expression);
		break;
	case PIECE_FOREIGN_KEY:
		if (fk != NULL) {
			fk->name = arena_str(c->arena, p->name);
			fk->deferrable = p->deferrable;
			fk->deferred = p->deferred;
		}
		break;
	case PIECE_PRIMARY_KEY:
		col = p->autoincrement && p->n_columns == 1 ? catalog_column(c, t, p->columns[0]) : NULL;
		if (col != NULL)
			col->autoincrement = true;
		break;
	case PIECE_GENERATED:
		col = p->n_columns == 1 ? catalog_column(c, t, p->columns[0]) : NULL;
		if (col != NULL)
			col->generation = arena_str(c->arena, p->expression);
		break;
	case PIECE_COLLATE:
		col = p->n_columns == 1 ? catalog_column(c, t, p->columns[0]) : NULL;
		if (col != NULL)
			col->collation = arena_str(c->arena, p->expression);
		break;
	default:
		break;
	}
}

/* What the text knows about columns, checks and foreign keys, once the columns and keys are there. */
static void read_texts(struct catalog *c)
{
	for (size_t i = 0; i < c->live->n_tables; i++) {
		struct live_table *t = &c->live->tables[i];
		struct table_text text;
		struct arena scratch;
		size_t key = 0;
		bool keys_match;

		wait_may_step_aside();
		arena_init(&scratch);
		table_text_read(&scratch, t->sql, &text);
		t->strict = text.strict;
		t->without_rowid = text.without_rowid;
		keys_match = n_keys(&text) == t->n_fks;
		for (size_t k = 0; k < text.n_pieces; k++) {
			const struct table_piece *p = &text.pieces[k];

			on_piece(c, t, p, keys_match && p->kind == PIECE_FOREIGN_KEY ? &t->fks[key++] : NULL);
		}
		arena_done(&scratch);
	}
}

/* ---- how instants are spelled ---- */

#define SPELLING_ROWS "1000"

/* Six digits that a fraction needs are either form's: with a fraction always, or where there is one. */
static bool is_either(struct str one, struct str other)
{
	return str_eq_z(one, "either") && (str_eq_z(other, "ferrod") || str_eq_z(other, "iso"));
}

static void on_spelling(struct catalog *c, const struct value *row)
{
	struct live_column *col = c->more;
	struct str *found = &col->spelling;
	const struct str now = catalog_text(c, row[0]);

	col->zones = (found->p == NULL || col->zones) && catalog_bool(row[1]);
	if (found->p == NULL || is_either(*found, now))
		*found = now;
	else if (!is_either(now, *found))
		*found = STR("mixed");
}

/* Of one value, a: does it say its zone? */
static const char has_zone_sql[] =
	"typeof(a) = 'text' AND (substr(a, -1) IN ('Z', 'z') OR substr(a, -6) GLOB '[+-][0-9][0-9]:[0-9][0-9]')";

static bool begins_index(const struct live_table *t, const struct live_column *col)
{
	for (size_t i = 0; i < t->n_indexes; i++)
		if (!t->indexes[i].partial && t->indexes[i].n_columns > 0 &&
		    str_eq(t->indexes[i].columns[0], col->name))
			return true;
	return false;
}

/* One more value to look at, which an index tells at once. */
static void put_extreme(struct strbuf *b, const struct live_table *t, const struct live_column *col, const char *fn)
{
	strbuf_printf(b, " UNION ALL SELECT %s(", fn);
	dialect_quote_ident(b, col->name);
	strbuf_puts(b, ") FROM ");
	dialect_quote_ident(b, t->name);
}

/* Of one value, a: is a day or a time of day written as ferrod does? What is none has no other form. */
static const char date_sql[] = "CASE WHEN ferro_date(a) IS a THEN 'ferrod' ELSE 'mixed' END";
static const char clock_sql[] = "CASE WHEN ferro_clock(a) IS a THEN 'ferrod' ELSE 'mixed' END";

/* Of the first rows, and of the least and greatest values: filters know every form, writes take this one. */
static bool read_spelling(struct catalog *c, const struct live_table *t, struct live_column *col,
			  enum logical_type logical, struct err *err)
{
	struct strbuf b;
	struct str sql;
	bool ok;

	strbuf_init(&b, 0);
	strbuf_printf(&b, "SELECT %s, min(%s) FROM (SELECT a FROM (SELECT ",
		      logical == LT_DATE   ? date_sql
		      : logical == LT_TIME ? clock_sql
					   : "ferro_time_spelling(a)",
		      has_zone_sql);
	dialect_quote_ident(&b, col->name);
	strbuf_puts(&b, " AS a FROM ");
	dialect_quote_ident(&b, t->name);
	strbuf_puts(&b, " NOT INDEXED LIMIT " SPELLING_ROWS ")");
	if (begins_index(t, col)) {
		put_extreme(&b, t, col, "min");
		put_extreme(&b, t, col, "max");
	}
	strbuf_puts(&b, ") WHERE a IS NOT NULL GROUP BY 1");
	sql = arena_str(c->arena, strbuf_str(&b));
	strbuf_done(&b);
	c->more = col;
	ok = catalog_query(c, sql, "ti", on_spelling, err);
	c->more = NULL;
	if (str_eq_z(col->spelling, "either"))
		col->spelling = STR("ferrod");
	if (str_eq_z(col->spelling, "js") || str_eq_z(col->spelling, "offset"))
		col->zones = false; /* these say it by themselves */
	return ok;
}

/* Of one value, a. Capitals are no spelling: what is written small would not be found among them. */
static const char uuid_spelling_sql[] =
	"SELECT CASE WHEN typeof(a) = 'text' AND length(a) = 32 AND a NOT GLOB '*[^0-9a-f]*' THEN 'hex' "
	"WHEN typeof(a) = 'text' AND length(a) = 36 AND length(replace(a, '-', '')) = 32 AND "
	"substr(a, 9, 1) || substr(a, 14, 1) || substr(a, 19, 1) || substr(a, 24, 1) = '----' AND a NOT GLOB "
	"'*[^0-9a-f-]*' THEN 'hyphens' WHEN typeof(a) = 'text' AND length(a) IN (32, 36) AND "
	"length(replace(a, '-', '')) = 32 AND a NOT GLOB '*[^0-9a-fA-F-]*' THEN 'string' "
	"WHEN typeof(a) = 'blob' AND length(a) = 16 THEN 'bytes' ELSE 'none' END FROM (SELECT ";

/* Bytes beside texts are found as these are. */
static bool is_beside(const struct str *found, struct str now)
{
	return found->p != NULL && !str_eq_z(*found, "none") && str_eq_z(now, "bytes");
}

/* Beside a uuid, what is none is answered as it is stored, and found by that. */
static void on_declared_uuid(struct catalog *c, const struct value *row)
{
	struct str *found = c->more;
	const struct str now = catalog_text(c, row[0]);

	if (found->p == NULL || str_eq_z(*found, "none") || (is_beside(&now, *found) && !str_eq_z(now, "none")))
		*found = now;
	else if (!str_eq_z(now, "none") && !is_beside(found, now))
		*found = STR("string");
}

static void on_uuid(struct catalog *c, const struct value *row)
{
	struct str *found = c->more;
	const struct str now = catalog_text(c, row[0]);

	if (is_beside(found, now))
		return;
	*found = (found->p == NULL || is_beside(&now, *found)) && !str_eq_z(now, "none") ? now : STR("string");
}

/* Of all rows: lookups know one spelling only. "string": there are uuids of several, whose own text alone finds them;
 * or, where only the values tell (CHAR(32)), not all are uuids. */
static bool read_uuid_spelling(struct catalog *c, const struct live_table *t, struct live_column *col, bool declared,
			       struct err *err)
{
	struct strbuf b;
	struct str sql;
	bool ok;

	strbuf_init(&b, 0);
	strbuf_puts(&b, uuid_spelling_sql);
	dialect_quote_ident(&b, col->name);
	strbuf_puts(&b, " AS a FROM ");
	dialect_quote_ident(&b, t->name);
	strbuf_puts(&b, ") WHERE a IS NOT NULL GROUP BY 1");
	sql = arena_str(c->arena, strbuf_str(&b));
	strbuf_done(&b);
	c->more = &col->spelling;
	ok = catalog_query(c, sql, "t", declared ? on_declared_uuid : on_uuid, err);
	c->more = NULL;
	if (col->spelling.p == NULL || str_eq_z(col->spelling, "none"))
		col->spelling = STR("hyphens");
	return ok;
}

static bool read_spellings(struct catalog *c, struct err *err)
{
	enum logical_type logical;
	enum storage_type st;
	int64_t length;

	for (size_t i = 0; i < c->live->n_tables; i++) {
		const struct live_table *t = &c->live->tables[i];

		for (size_t k = 0; k < t->n_columns; k++) {
			struct live_column *col = &t->columns[k];

			if (!live_type_storage(&dialect_sqlite, col->type, &st, &length))
				continue;
			logical = logical_from_storage(st);
			if ((logical == LT_DATETIME || logical == LT_DATE || logical == LT_TIME) &&
			    !read_spelling(c, t, col, logical, err))
				return false;
			if (logical == LT_BOOLEAN && !sqlite_read_words(c, t, col, err))
				return false;
			if (logical == LT_UUID && !read_uuid_spelling(c, t, col, st == ST_UUID_LOGICAL, err))
				return false;
		}
	}
	return true;
}

/* ---- views ------------------------------------------------------------------------------------------- */

static void on_view(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_add_table(c, row[0]);

	t->kind = str_eq_z(row[1].u.s, "view") ? MODEL_VIEW : MODEL_VIRTUAL;
	t->read_only = t->kind == MODEL_VIEW;
}

/* An INSTEAD OF INSERT makes a view writable. */
static void on_view_trigger(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);

	if (t != NULL && row[1].kind == VALUE_TEXT && sqlite_trigger_event(row[1].u.s) == TRIGGER_INSERT)
		t->read_only = false;
}

static void on_view_column(struct catalog *c, const struct value *row)
{
	if (catalog_int(row[6]) != 1) /* a hidden one, of a virtual table's own */
		on_column(c, row);
}

/* One by one: one that cannot be compiled, or whose module is not here, is out alone. */
static bool read_view_columns(struct catalog *c, size_t i, struct err *err)
{
	struct live_table *t = &c->live->tables[i];
	struct strbuf sql;
	bool ok;

	strbuf_init(&sql, 0);
	strbuf_puts(&sql, "SELECT ");
	dialect_quote_literal(&sql, t->name);
	strbuf_puts(&sql, ", x.name, x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden FROM pragma_table_xinfo(");
	dialect_quote_literal(&sql, t->name);
	strbuf_puts(&sql, ") x ORDER BY x.cid");
	ok = catalog_query(c, strbuf_str(&sql), "ttTiTii", on_view_column, err);
	strbuf_done(&sql);
	if (ok || c->conn->broken || err->code != ERR_SQL_ERROR)
		return ok;
	t->unreadable = arena_str(c->arena, str_z(err->detail));
	return true;
}

static bool read_views(const struct catalog *of, const struct introspect_scope *scope, struct err *err)
{
	struct live_schema seen = {0};
	struct catalog c = *of;

	c.live = &seen;
	if (!ask(&c, scope, views_sql, "ttT", on_view, err))
		return false;
	for (size_t i = 0; i < seen.n_tables; i++)
		if (!read_view_columns(&c, i, err))
			return false;
	of->live->views = seen.tables;
	of->live->n_views = seen.n_tables;
	return catalog_query(&c, str_z(triggers_sql), "tTt", on_view_trigger, err);
}

/* Whether the statement can be made; no: *ret_lacks is what SQLite has not been given here, if that is why. */
static int try_statement(struct catalog *c, struct str sql, struct str *ret_lacks)
{
	sqlite3 *h = sqlite_conn_of(c->conn)->h;
	sqlite3_stmt *st = NULL;
	const int rc = sqlite3_prepare_v2(h, sql.p, (int)sql.len, &st, NULL);

	if ((rc & 0xff) == SQLITE_ERROR && sqlite_lacks(sqlite3_errmsg(h)))
		*ret_lacks = arena_str(c->arena, str_z(sqlite3_errmsg(h)));
	(void)sqlite3_finalize(st);
	return rc;
}

static int try_table(struct catalog *c, struct live_table *t)
{
	static const char *const words[] = {"EXPLAIN SELECT * FROM ", "EXPLAIN INSERT INTO "};
	int rc = SQLITE_OK;

	for (size_t k = 0; k < ARRAY_LEN(words); k++) {
		struct str lacks = STR_NONE;
		struct strbuf sql;

		strbuf_init(&sql, 0);
		strbuf_puts(&sql, words[k]);
		dialect_quote_ident(&sql, t->name);
		strbuf_puts(&sql, k == 1 ? " DEFAULT VALUES" : "");
		rc = try_statement(c, strbuf_str(&sql), &lacks);
		strbuf_done(&sql);
		if (lacks.p != NULL)
			t->unreadable = lacks;
	}
	return rc;
}

/* The tables' generated columns, checks and triggers take as long to compile as their author likes: off the loop, for a
 * moment at a time. */
struct unusable_job {
	struct catalog *c;
	size_t next;
	int rc;
};

#define JOB_NS (5 * CLOCK_NS_PER_MS)

static void unusable_job(void *arg)
{
	struct unusable_job *j = arg;
	struct sqlite_conn *c = sqlite_conn_of(j->c->conn);
	const int64_t until = clock_mono_ns() + JOB_NS;

	do {
		sqlite_wait_begin(c, j->c->deadline);
		j->rc = try_table(j->c, &j->c->live->tables[j->next++]);
	} while (c->stop == SQLITE_STOP_NONE && j->next < j->c->live->n_tables && clock_mono_ns() < until);
}

/* A table that needs a collation or a function of the program that made it can be neither read nor written whole. */
static bool find_unusable(struct catalog *of, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(of->conn);
	struct unusable_job j = {.c = of};

	while (j.next < of->live->n_tables) {
		sqlite_policy_begin(c);
		if (!sqlite_compile_away(c, unusable_job, &j) || c->stop != SQLITE_STOP_NONE)
			return sqlite_error(c, SQLITE_INTERRUPT, STR_NONE, err);
	}
	return true;
}

bool sqlite_introspect(struct driver_conn *conn, const struct introspect_scope *scope, struct arena *a,
		       int64_t deadline_ns, struct live_schema *ret, struct err *err)
{
	struct catalog c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret};

	*ret = (struct live_schema){0};
	for (size_t i = 0; scope->listed_only && i < scope->n_schemas; i++)
		if (!str_ieq_z(scope->schemas[i], "main"))
			return catalog_absent_schema(scope, i, err);
	if (!ask(&c, scope, tables_sql, "tT", on_table, err) ||
	    !catalog_query(&c, str_z(others_sql), "tt", on_other, err) ||
	    !ask(&c, scope, columns_sql, "ttTiTii", on_column, err) || !ask(&c, scope, fks_sql, "titTTTTi", on_fk, err))
		return false;
	read_texts(&c);
	if (!ask(&c, scope, indexes_sql, "ttitiTTiT", on_index, err))
		return false;
	read_index_texts(&c);
	if (scope->views && !find_unusable(&c, err))
		return false;
	return read_spellings(&c, err) && catalog_query(&c, str_z(triggers_sql), "tTt", on_trigger, err) &&
	       (!scope->views || read_views(&c, scope, err));
}
