/*
 * The current schema of a PostgreSQL database, from pg_catalog, in one query a kind. Rows come ordered by table, so
 * that each finds its table next to the last one.
 */
#include "store/driver/introspect.h"

#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "store/driver/catalog.h"
#include "store/driver/postgres/introspect_types.h"

#include "service/base/banned.h"

/* What a query is about is written into it: @S, an array of schemas' names in the order of the search path; @K, the
 * kinds of relation; @T, a condition on c. The first two columns are the schema (null: the current one) and the name.
 */
#define TABLES \
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
	"AND n.nspname = ANY (@S) AND c.relkind IN (@K) AND NOT c.relispartition " \
	"AND c.relname NOT LIKE '\\_ferrod\\_%' AND @T "
#define PLACE "SELECT NULLIF(n.nspname, pg_catalog.current_schema())::text, c.relname::text, "
#define BY_TABLE "ORDER BY pg_catalog.array_position(@S, n.nspname), c.relname COLLATE \"C\""
#define ORDER BY_TABLE ", "

static const char tables_sql[] =
	PLACE "c.relkind::text, CASE WHEN c.relkind = 'f' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_foreign_table f "
	      "JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver JOIN pg_catalog.pg_foreign_data_wrapper w "
	      "ON w.oid = s.srvfdw AND w.fdwhandler <> 0 WHERE f.ftrelid = c.oid) THEN false "
	      "ELSE (pg_catalog.pg_relation_is_updatable(c.oid, true) & 8) = 8 END " TABLES BY_TABLE;

static const char others_sql[] = PLACE
	"CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' "
	"WHEN 'f' THEN 'foreign table' WHEN 'r' THEN 'partition' WHEN 'p' THEN 'partition' WHEN 'S' THEN 'sequence' "
	"WHEN 'c' THEN 'composite type' ELSE 'index' END "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"AND n.nspname = ANY (@S) AND (c.relkind NOT IN ('r', 'p', 't') OR c.relispartition) " BY_TABLE;

/* An enum type of another schema has no name that a model could say. A serial column is one whose default is the next
 * value of a sequence that it owns. */
static const char columns_sql[] = PLACE
	"a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, "
	"pg_catalog.pg_get_expr(d.adbin, d.adrelid), "
	"a.attidentity <> '' OR (COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%' "
	"AND EXISTS (SELECT 1 FROM "
	"pg_catalog.pg_depend p WHERE p.refclassid = 'pg_catalog.pg_class'::regclass AND p.refobjid = c.oid "
	"AND p.refobjsubid = a.attnum AND p.classid = 'pg_catalog.pg_class'::regclass AND p.deptype = 'a')), "
	"a.attgenerated::text, CASE WHEN t.typtype = 'e' AND pg_catalog.pg_type_is_visible(t.oid) THEN t.typname::text "
	"END, "
	"COALESCE(pg_catalog.array_position(k.conkey, a.attnum), 0)::bigint, a.attidentity::text, "
	"a.atttypid::bigint " TABLES
	"JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
	"LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
	"LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' " ORDER "a.attnum";

static const char enums_sql[] = PLACE
	"a.attname::text, e.enumlabel::text " TABLES
	"JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"JOIN pg_catalog.pg_enum e ON e.enumtypid = a.atttypid AND pg_catalog.pg_type_is_visible(a.atttypid) " ORDER
	"a.attnum, e.enumsortorder";

static const char indexes_sql[] = PLACE
	"i.relname::text, x.indisunique, x.indisprimary, "
	"EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = c.oid "
	"AND k.contype IN ('u', 'x')), x.indpred IS NOT NULL, a.attname::text, "
	"NOT x.indisvalid, m.amname <> 'btree' OR x.indnatts <> x.indnkeyatts OR x.indoption[u.place - 1] <> 0 "
	"OR NOT o.opcdefault OR (x.indcollation[u.place - 1] <> 0 AND x.indcollation[u.place - 1] <> a.attcollation) "
	"OR COALESCE((pg_catalog.to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false) " TABLES
	"JOIN pg_catalog.pg_index x ON x.indrelid = c.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid "
	"JOIN pg_catalog.pg_am m ON m.oid = i.relam "
	"CROSS JOIN LATERAL pg_catalog.unnest(x.indkey::pg_catalog.int2[]) WITH ORDINALITY u(attnum, place) "
	"LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum AND u.attnum <> 0 "
	"LEFT JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[u.place - 1] "
	"WHERE u.place <= x.indnkeyatts " ORDER "i.relname COLLATE \"C\", u.place";

#define RULE(column) \
	"CASE " column " WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT' WHEN 'n' THEN 'SET NULL' " \
	"WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END"
static const char fks_sql[] = PLACE "k.conname::text, r.relname::text, " RULE("k.confdeltype") ", " RULE(
	"k.confupdtype") ", a.attname::text, b.attname::text, NULLIF(rn.nspname, "
			 "pg_catalog.current_schema())::text " TABLES
			 "JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND "
			 "k.conparentid = 0 "
			 "JOIN pg_catalog.pg_class r ON r.oid = k.confrelid "
			 "JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace "
			 "CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), "
			 "pg_catalog.unnest(k.confkey)) "
			 "WITH ORDINALITY u(here, there, place) "
			 "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.here "
			 "JOIN pg_catalog.pg_attribute b ON b.attrelid = r.oid AND b.attnum = u.there " ORDER
			 "k.conname COLLATE \"C\", u.place";

static const char checks_sql[] = PLACE
	"k.conname::text, pg_catalog.pg_get_expr(k.conbin, c.oid) " TABLES
	"JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c' " ORDER "k.conname COLLATE \"C\"";

/* One of the catalog's "char" letters. */
static bool is_char(struct value v, char letter)
{
	return v.kind == VALUE_TEXT && v.u.s.len == 1 && v.u.s.p[0] == letter;
}

/* The table of the row, behind whose place the rest of the row begins then. */
static struct live_table *next_table(struct catalog *c, const struct value **row)
{
	struct live_table *t = catalog_table_at(c, (*row)[0], (*row)[1]);

	*row += 1;
	return t;
}

static void on_table(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_add_table(c, row[1]);

	t->schema_name = catalog_text(c, row[0]);
	t->kind = is_char(row[2], 'p')   ? MODEL_PARTITIONED
		  : is_char(row[2], 'v') ? MODEL_VIEW
		  : is_char(row[2], 'm') ? MODEL_MATERIALIZED_VIEW
		  : is_char(row[2], 'f') ? MODEL_FOREIGN_TABLE
					 : MODEL_TABLE;
	t->read_only = !model_kind_is_table(t->kind) && !catalog_bool(row[3]);
}

static void on_other(struct catalog *c, const struct value *row)
{
	catalog_other(c, row[0], row[1], row[2]);
}

static void on_column(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_column *col;

	if (t == NULL)
		return;
	col = catalog_add_column(c, t, row[1]);
	col->type = catalog_text(c, row[7].kind == VALUE_TEXT ? row[7] : row[2]);
	col->nullable = !catalog_bool(row[3]);
	col->autoincrement = catalog_bool(row[5]);
	col->identity = is_char(row[9], 'a') || is_char(row[9], 'd');
	col->identity_always = is_char(row[9], 'a');
	col->generated = row[6].kind == VALUE_TEXT && row[6].u.s.len > 0;
	col->generated_virtual = is_char(row[6], 'v');
	*(col->generated ? &col->generation : &col->default_text) = catalog_text(c, row[4]);
	col->native_enum = row[7].kind == VALUE_TEXT;
	col->pk_position = (size_t)catalog_int(row[8]);
	col->type_id = catalog_int(row[10]);
}

static void on_enum(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_column *col = t != NULL ? catalog_column(c, t, row[1].u.s) : NULL;

	if (col != NULL)
		catalog_add_name(c, &col->enum_values, &col->n_enum_values, row[2]);
}

static void on_index(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_index *x;
	bool is_new;

	if (t == NULL)
		return;
	x = catalog_index(c, t, row[1], &is_new);
	if (is_new) {
		x->origin = catalog_bool(row[3])   ? LIVE_INDEX_PRIMARY
			    : catalog_bool(row[4]) ? LIVE_INDEX_UNIQUE
						   : LIVE_INDEX_CREATED;
		x->unique = catalog_bool(row[2]);
		x->partial = catalog_bool(row[5]);
		x->invalid = catalog_bool(row[7]);
	}
	x->special = x->special || catalog_bool(row[8]);
	if (row[6].kind == VALUE_TEXT)
		catalog_add_name(c, &x->columns, &x->n_columns, row[6]);
	else
		x->expression = true;
}

static void on_fk(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_foreign_key *fk;

	if (t == NULL)
		return;
	if (t->n_fks == 0 || !str_eq(t->fks[t->n_fks - 1].name, row[1].u.s)) {
		fk = catalog_add_fk(c, t);
		fk->name = catalog_text(c, row[1]);
		fk->to_table = catalog_text(c, row[2]);
		fk->on_delete = catalog_text(c, row[3]);
		fk->on_update = catalog_text(c, row[4]);
		fk->to_schema = catalog_text(c, row[7]);
	}
	fk = &t->fks[t->n_fks - 1];
	catalog_add_name(c, &fk->columns, &fk->n_columns, row[5]);
	catalog_add_name(c, &fk->to_columns, &fk->n_to_columns, row[6]);
}

static void on_check(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);

	if (t != NULL)
		catalog_add_check(c, t, row[1].u.s, row[2].kind == VALUE_TEXT ? row[2].u.s : STR(""));
}

static void put_schemas(const struct introspect_scope *scope, struct strbuf *b)
{
	if (scope->search_path) {
		strbuf_puts(b, "pg_catalog.current_schemas(false)");
		return;
	}
	strbuf_puts(b, "ARRAY[");
	if (!scope->listed_only)
		strbuf_puts(b, "pg_catalog.current_schema()");
	for (size_t i = 0; i < scope->n_schemas; i++) {
		strbuf_puts(b, i > 0 || !scope->listed_only ? ", " : "");
		dialect_put_literal(&dialect_postgres, b, scope->schemas[i]);
	}
	strbuf_puts(b, "]::pg_catalog.name[]");
}

static void put_tables(const struct introspect_scope *scope, struct strbuf *b)
{
	struct strbuf names;

	if (scope->n_tables == 0) {
		strbuf_puts(b, "true");
		return;
	}
	strbuf_init(&names, 0);
	for (size_t i = 0; i < scope->n_tables; i++) {
		strbuf_puts(&names, i > 0 ? ", " : "");
		dialect_put_literal(&dialect_postgres, &names, scope->tables[i]);
	}
	strbuf_printf(b,
		      "(c.relname IN (%.*s) OR c.oid IN (SELECT f.confrelid FROM pg_catalog.pg_constraint f JOIN "
		      "pg_catalog.pg_class t ON t.oid = f.conrelid AND t.relname IN (%.*s) WHERE f.contype = 'f'))",
		      STR_FMT(strbuf_str(&names)), STR_FMT(strbuf_str(&names)));
	strbuf_done(&names);
}

static bool ask(struct catalog *c, const struct introspect_scope *scope, const char *kinds_of_relation, const char *sql,
		const char *kinds, catalog_row row, struct err *err)
{
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	for (const char *p = sql; *p != '\0'; p++) {
		if (p[0] == '@' && p[1] == 'S')
			put_schemas(scope, &b);
		else if (p[0] == '@' && p[1] == 'K')
			strbuf_puts(&b, kinds_of_relation);
		else if (p[0] == '@' && p[1] == 'T')
			put_tables(scope, &b);
		else {
			strbuf_putc(&b, *p);
			continue;
		}
		p++;
	}
	ok = catalog_query(c, strbuf_str(&b), kinds, row, err);
	strbuf_done(&b);
	return ok;
}

static bool read_columns(struct catalog *c, const struct introspect_scope *scope, const char *relations,
			 struct err *err)
{
	return ask(c, scope, relations, tables_sql, "Tttb", on_table, err) &&
	       ask(c, scope, relations, columns_sql, "TtttbTbtTiti", on_column, err) &&
	       ask(c, scope, relations, enums_sql, "Tttt", on_enum, err) && postgres_introspect_types(c, err);
}

bool postgres_introspect(struct driver_conn *conn, const struct introspect_scope *scope, struct arena *a,
			 int64_t deadline_ns, struct live_schema *ret, struct err *err)
{
	static const char tables[] = "'r', 'p'", views[] = "'v', 'm', 'f'";
	struct live_schema seen = {0};
	struct catalog c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret};
	struct catalog v = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = &seen};

	*ret = (struct live_schema){0};
	if (!read_columns(&c, scope, tables, err) || !ask(&c, scope, tables, others_sql, "Ttt", on_other, err) ||
	    !ask(&c, scope, tables, indexes_sql, "TttbbbbTbB", on_index, err) ||
	    !ask(&c, scope, tables, fks_sql, "TtttttttT", on_fk, err) ||
	    !ask(&c, scope, tables, checks_sql, "TttT", on_check, err) ||
	    (scope->views && !read_columns(&v, scope, views, err)))
		return false;
	ret->views = seen.tables;
	ret->n_views = seen.n_tables;
	return true;
}
