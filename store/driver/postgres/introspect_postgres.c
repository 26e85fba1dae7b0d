/*
 * The current schema of a PostgreSQL database, from pg_catalog, in one query a kind. Rows come ordered by table, so
 * that each finds its table next to the last one.
 */
#include "store/driver/introspect.h"

#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "store/driver/catalog.h"

#include "service/base/banned.h"

#define TABLES \
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
	"AND n.nspname = pg_catalog.current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
#define ORDER "ORDER BY c.relname COLLATE \"C\", "

static const char tables_sql[] = "SELECT c.relname::text " TABLES "ORDER BY c.relname COLLATE \"C\"";

static const char others_sql[] =
	"SELECT c.relname::text, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' "
	"WHEN 'f' THEN 'foreign table' WHEN 'r' THEN 'partition' WHEN 'p' THEN 'partition' WHEN 'S' THEN 'sequence' "
	"WHEN 'c' THEN 'composite type' ELSE 'index' END "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"AND n.nspname = pg_catalog.current_schema() AND (c.relkind NOT IN ('r', 'p', 't') OR c.relispartition) "
	"ORDER BY c.relname COLLATE \"C\"";

/* An enum type of another schema has no name that a model could say. A serial column is one whose default is the next
 * value of a sequence that it owns. */
static const char columns_sql[] =
	"SELECT c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, "
	"pg_catalog.pg_get_expr(d.adbin, d.adrelid), "
	"a.attidentity <> '' OR (COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%' "
	"AND EXISTS (SELECT 1 FROM "
	"pg_catalog.pg_depend p WHERE p.refclassid = 'pg_catalog.pg_class'::regclass AND p.refobjid = c.oid "
	"AND p.refobjsubid = a.attnum AND p.classid = 'pg_catalog.pg_class'::regclass AND p.deptype = 'a')), "
	"a.attgenerated::text, CASE WHEN t.typtype = 'e' AND pg_catalog.pg_type_is_visible(t.oid) THEN t.typname::text "
	"END, "
	"COALESCE(pg_catalog.array_position(k.conkey, a.attnum), 0)::bigint, a.attidentity::text " TABLES
	"JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
	"LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
	"LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' " ORDER "a.attnum";

static const char enums_sql[] =
	"SELECT c.relname::text, a.attname::text, e.enumlabel::text " TABLES
	"JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"JOIN pg_catalog.pg_enum e ON e.enumtypid = a.atttypid AND pg_catalog.pg_type_is_visible(a.atttypid) " ORDER
	"a.attnum, e.enumsortorder";

static const char indexes_sql[] =
	"SELECT c.relname::text, i.relname::text, x.indisunique, x.indisprimary, "
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
static const char fks_sql[] =
	"SELECT c.relname::text, k.conname::text, r.relname::text, " RULE("k.confdeltype") ", " RULE(
		"k.confupdtype") ", a.attname::text, b.attname::text " TABLES
				 "JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND "
				 "k.conparentid = 0 "
				 "JOIN pg_catalog.pg_class r ON r.oid = k.confrelid "
				 "CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), "
				 "pg_catalog.unnest(k.confkey)) "
				 "WITH ORDINALITY u(here, there, place) "
				 "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.here "
				 "JOIN pg_catalog.pg_attribute b ON b.attrelid = r.oid AND b.attnum = u.there " ORDER
				 "k.conname COLLATE \"C\", u.place";

static const char checks_sql[] =
	"SELECT c.relname::text, k.conname::text, pg_catalog.pg_get_expr(k.conbin, c.oid) " TABLES
	"JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c' " ORDER "k.conname COLLATE \"C\"";

static void on_table(struct catalog *c, const struct value *row)
{
	(void)catalog_add_table(c, row[0]);
}

static void on_other(struct catalog *c, const struct value *row)
{
	catalog_other(c, row[0], row[1]);
}

/* One of the catalog's "char" letters. */
static bool is_char(struct value v, char letter)
{
	return v.kind == VALUE_TEXT && v.u.s.len == 1 && v.u.s.p[0] == letter;
}

static void on_column(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
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
}

static void on_enum(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
	struct live_column *col = t != NULL ? catalog_column(c, t, row[1].u.s) : NULL;

	if (col != NULL)
		catalog_add_name(c, &col->enum_values, &col->n_enum_values, row[2]);
}

static void on_index(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);
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
	struct live_table *t = catalog_table(c, row[0]);
	struct live_foreign_key *fk;

	if (t == NULL)
		return;
	if (t->n_fks == 0 || !str_eq(t->fks[t->n_fks - 1].name, row[1].u.s)) {
		fk = catalog_add_fk(c, t);
		fk->name = catalog_text(c, row[1]);
		fk->to_table = catalog_text(c, row[2]);
		fk->on_delete = catalog_text(c, row[3]);
		fk->on_update = catalog_text(c, row[4]);
	}
	fk = &t->fks[t->n_fks - 1];
	catalog_add_name(c, &fk->columns, &fk->n_columns, row[5]);
	catalog_add_name(c, &fk->to_columns, &fk->n_to_columns, row[6]);
}

static void on_check(struct catalog *c, const struct value *row)
{
	struct live_table *t = catalog_table(c, row[0]);

	if (t != NULL)
		catalog_add_check(c, t, row[1].u.s, row[2].kind == VALUE_TEXT ? row[2].u.s : STR(""));
}

bool postgres_introspect(struct driver_conn *conn, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			 struct err *err)
{
	struct catalog c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret};

	*ret = (struct live_schema){0};
	return catalog_query(&c, str_z(tables_sql), "t", on_table, err) &&
	       catalog_query(&c, str_z(others_sql), "tt", on_other, err) &&
	       catalog_query(&c, str_z(columns_sql), "tttbTbtTit", on_column, err) &&
	       catalog_query(&c, str_z(enums_sql), "ttt", on_enum, err) &&
	       catalog_query(&c, str_z(indexes_sql), "ttbbbbTbB", on_index, err) &&
	       catalog_query(&c, str_z(fks_sql), "ttttttt", on_fk, err) &&
	       catalog_query(&c, str_z(checks_sql), "ttT", on_check, err);
}
