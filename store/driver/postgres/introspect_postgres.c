/*
 * The current schema of a PostgreSQL database, from pg_catalog, in one query a kind. Rows come ordered by table, so
 * that each finds its table next to the last one.
 */
#include "store/driver/introspect.h"

#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "store/driver/catalog.h"
#include "store/schema/schema_sql.h"
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

/* Keys first, then what the index carries besides. */
static const char indexes_sql[] = PLACE
	"i.relname::text, x.indisunique, x.indisprimary, k.contype::text, "
	"pg_catalog.pg_get_expr(x.indpred, x.indrelid), a.attname::text, NOT x.indisvalid, "
	"CASE WHEN u.attnum = 0 THEN pg_catalog.pg_get_indexdef(x.indexrelid, u.place::integer, false) END, "
	"u.place > x.indnkeyatts, COALESCE(x.indoption[u.place - 1], 0)::bigint, "
	"CASE WHEN NOT o.opcdefault AND pg_catalog.pg_opclass_is_visible(o.oid) THEN o.opcname::text END, "
	"CASE WHEN x.indcollation[u.place - 1] <> COALESCE(a.attcollation, d.oid) "
	"AND pg_catalog.pg_collation_is_visible(l.oid) THEN l.collname::text END, "
	"NULLIF(m.amname, 'btree')::text, "
	"COALESCE((pg_catalog.to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false), "
	"COALESCE(k.condeferrable, false), COALESCE(k.condeferred, false), p.oprname::text, "
	"i.reloptions IS NOT NULL OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute v WHERE v.attrelid = i.oid AND "
	"v.attoptions IS NOT NULL) OR x.indisprimary AND x.indnatts <> x.indnkeyatts " TABLES
	"JOIN pg_catalog.pg_index x ON x.indrelid = c.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid "
	"JOIN pg_catalog.pg_am m ON m.oid = i.relam "
	"LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = c.oid "
	"AND k.contype IN ('u', 'x') "
	"CROSS JOIN LATERAL pg_catalog.unnest(x.indkey::pg_catalog.int2[]) WITH ORDINALITY u(attnum, place) "
	"LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum AND u.attnum <> 0 "
	"LEFT JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[u.place - 1] "
	"LEFT JOIN pg_catalog.pg_collation l ON l.oid = x.indcollation[u.place - 1] "
	"LEFT JOIN pg_catalog.pg_collation d ON d.collname = 'default' "
	"AND d.collnamespace = 'pg_catalog'::pg_catalog.regnamespace "
	"LEFT JOIN pg_catalog.pg_operator p ON p.oid = k.conexclop[u.place] " ORDER "i.relname COLLATE \"C\", u.place";

#define RULE(column) \
	"CASE " column " WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT' WHEN 'n' THEN 'SET NULL' " \
	"WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END"
static const char fks_sql[] = PLACE "k.conname::text, r.relname::text, " RULE("k.confdeltype") ", " RULE(
	"k.confupdtype") ", a.attname::text, b.attname::text, NULLIF(rn.nspname, "
			 "pg_catalog.current_schema())::text, k.confmatchtype = 'f', k.condeferrable, "
			 "k.condeferred, NOT k.convalidated OR "
			 "(pg_catalog.to_jsonb(k) ->> 'confdelsetcols') IS NOT NULL " TABLES
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
	"k.conname::text, pg_catalog.pg_get_expr(k.conbin, c.oid), NOT k.convalidated OR k.connoinherit " TABLES
	"JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c' " ORDER "k.conname COLLATE \"C\"";

/* Comments, and collations that are not the type's; of the table itself (no name) its comment. */
static const char remarks_sql[] =
	PLACE "a.attname::text, CASE WHEN a.attcollation <> t.typcollation AND "
	      "pg_catalog.pg_collation_is_visible(l.oid) THEN "
	      "l.collname::text END, e.description " TABLES
	      "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	      "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
	      "LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation "
	      "LEFT JOIN pg_catalog.pg_description e ON e.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass "
	      "AND e.objoid = c.oid AND e.objsubid = a.attnum "
	      "WHERE a.attcollation <> t.typcollation OR e.description IS NOT NULL " ORDER "a.attnum";
static const char table_remarks_sql[] =
	PLACE "NULL::text, NULL::text, e.description " TABLES
	      "JOIN pg_catalog.pg_description e ON e.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass "
	      "AND e.objoid = c.oid AND e.objsubid = 0 " BY_TABLE;

/* Sequences that a column's default counts with, and that are not its own. */
static const char sequences_sql[] = PLACE
	"a.attname::text, s.relname::text, q.seqstart, q.seqincrement, "
	"CASE WHEN NOT pg_catalog.pg_table_is_visible(s.oid) THEN (SELECT y.nspname::text "
	"FROM pg_catalog.pg_namespace y WHERE y.oid = s.relnamespace) END " TABLES
	"JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
	"JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid "
	"AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass "
	"JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S' "
	"JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid "
	"WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend o WHERE o.classid = p.refclassid AND o.objid = s.oid "
	"AND o.refclassid = p.refclassid AND o.refobjid = c.oid AND o.refobjsubid = a.attnum AND o.deptype = "
	"'a') " ORDER "a.attnum";

/* What the table and its indexes stand on, of those of others' making. */
#define STANDS_ON \
	"SELECT d.refobjid FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass " \
	"AND d.objid = ANY (ARRAY(SELECT c.oid UNION ALL SELECT x.indexrelid FROM pg_catalog.pg_index x " \
	"WHERE x.indrelid = c.oid)) AND d.refclassid = "

/* What a table has that no model says. */
static const char things_sql[] = PLACE
	"x.kind, x.name " TABLES "CROSS JOIN LATERAL ("
	"SELECT 'trigger', g.tgname::text FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal "
	"UNION ALL SELECT 'policy', o.polname::text FROM pg_catalog.pg_policy o WHERE o.polrelid = c.oid "
	"UNION ALL SELECT 'rule', r.rulename::text FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid "
	"AND r.rulename <> '_RETURN' "
	"UNION ALL SELECT 'parent', h.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits h "
	"WHERE h.inhrelid = c.oid "
	"UNION ALL SELECT 'collation off the search path', l.collnamespace::pg_catalog.regnamespace::text || '.' || "
	"pg_catalog.quote_ident(l.collname) FROM pg_catalog.pg_collation l WHERE l.oid IN (" STANDS_ON
	"'pg_catalog.pg_collation'::pg_catalog.regclass) AND NOT pg_catalog.pg_collation_is_visible(l.oid) "
	"UNION ALL SELECT 'operator class off the search path', o.opcnamespace::pg_catalog.regnamespace::text || '.' "
	"|| "
	"pg_catalog.quote_ident(o.opcname) FROM pg_catalog.pg_opclass o WHERE o.oid IN (" STANDS_ON
	"'pg_catalog.pg_opclass'::pg_catalog.regclass) AND NOT o.opcdefault "
	"AND NOT pg_catalog.pg_opclass_is_visible(o.oid) "
	"UNION ALL SELECT 'persistence', 'UNLOGGED' WHERE c.relpersistence = 'u' "
	"UNION ALL SELECT 'partition key', pg_catalog.pg_get_partkeydef(c.oid) WHERE c.relkind = 'p' "
	") x(kind, name) " ORDER "x.kind COLLATE \"C\", x.name COLLATE \"C\"";

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

/* Behind the index's own members: one key, or a column that it carries besides. */
static void on_key(struct catalog *c, struct live_index *x, const struct value *row)
{
	const int64_t option = catalog_int(row[10]);
	struct index_key *k;

	if (catalog_bool(row[9])) {
		x->special = true;
		catalog_add_name(c, &x->include, &x->n_include, row[6]);
		return;
	}
	k = catalog_add_key(c, x);
	k->column = catalog_text(c, row[6]);
	if (k->column.p == NULL)
		k->expression = arena_str(c->arena, schema_sql_bare(DIALECT_POSTGRES, row[8].u.s));
	k->descending = (option & 1) != 0;
	if (k->descending != ((option & 2) != 0)) /* DESC puts them first by itself */
		k->nulls = (option & 2) != 0 ? INDEX_NULLS_FIRST : INDEX_NULLS_LAST;
	k->op_class = catalog_text(c, row[11]);
	k->collation = catalog_text(c, row[12]);
	k->operator= catalog_text(c, row[17]);
	x->special = x->special || option != 0 || k->op_class.p != NULL || k->collation.p != NULL;
	if (k->column.p != NULL)
		catalog_add_name(c, &x->columns, &x->n_columns, row[6]);
	else
		x->expression = true;
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
		x->origin = catalog_bool(row[3])        ? LIVE_INDEX_PRIMARY
			    : row[4].kind == VALUE_TEXT ? LIVE_INDEX_UNIQUE
							: LIVE_INDEX_CREATED;
		x->exclusion = is_char(row[4], 'x');
		x->unique = catalog_bool(row[2]);
		x->partial = row[5].kind == VALUE_TEXT;
		if (x->partial)
			x->predicate = arena_str(c->arena, schema_sql_bare(DIALECT_POSTGRES, row[5].u.s));
		x->invalid = catalog_bool(row[7]);
		x->method = catalog_text(c, row[13]);
		x->nulls_not_distinct = catalog_bool(row[14]);
		x->deferrable = catalog_bool(row[15]);
		x->deferred = catalog_bool(row[16]);
		x->more = catalog_bool(row[18]);
		x->special = x->method.p != NULL || x->nulls_not_distinct;
	}
	on_key(c, x, row);
}

static void on_remark(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_column *col;

	if (t == NULL)
		return;
	if (row[1].kind != VALUE_TEXT) {
		t->comment = catalog_text(c, row[3]);
		return;
	}
	col = catalog_column(c, t, row[1].u.s);
	if (col == NULL)
		return;
	col->collation = catalog_text(c, row[2]);
	col->comment = catalog_text(c, row[3]);
}

static void on_sequence(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);
	struct live_column *col = t != NULL ? catalog_column(c, t, row[1].u.s) : NULL;

	if (col == NULL)
		return;
	col->sequence = catalog_text(c, row[2]);
	col->sequence_start = catalog_int(row[3]);
	col->sequence_increment = catalog_int(row[4]);
	col->sequence_schema = catalog_text(c, row[5]);
}

static void on_thing(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);

	if (t != NULL)
		catalog_add_thing(c, t, row[1], row[2]);
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
		fk->match_full = catalog_bool(row[8]);
		fk->deferrable = catalog_bool(row[9]);
		fk->deferred = catalog_bool(row[10]);
		fk->more = catalog_bool(row[11]);
	}
	fk = &t->fks[t->n_fks - 1];
	catalog_add_name(c, &fk->columns, &fk->n_columns, row[5]);
	catalog_add_name(c, &fk->to_columns, &fk->n_to_columns, row[6]);
}

static void on_check(struct catalog *c, const struct value *row)
{
	struct live_table *t = next_table(c, &row);

	if (t == NULL)
		return;
	catalog_add_check(c, t, row[1].u.s, row[2].kind == VALUE_TEXT ? row[2].u.s : STR(""));
	t->checks[t->n_checks - 1].more = catalog_bool(row[3]);
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
	static const char referred[] =
		") OR c.oid IN (SELECT f.confrelid FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class t "
		"ON t.oid = f.conrelid AND t.relname IN (";
	static const char *const texts[] = {"(c.relname IN (", referred, ") WHERE f.contype = 'f'))"};

	catalog_put_tables(scope, &dialect_postgres, texts, b);
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

static void on_absent(struct catalog *c, const struct value *row)
{
	int64_t *first = c->more;

	if (*first < 0 || catalog_int(row[0]) < *first)
		*first = catalog_int(row[0]);
}

/* A schema that is asked for and is not there is no empty one. */
static bool schemas_there(struct catalog *c, const struct introspect_scope *scope, struct err *err)
{
	int64_t first = -1;
	struct strbuf b;
	bool ok;

	if (!scope->listed_only || scope->n_schemas == 0)
		return true;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "SELECT s.i FROM (VALUES ");
	for (size_t i = 0; i < scope->n_schemas; i++) {
		strbuf_printf(&b, "%s(%zu::int8, ", i > 0 ? ", " : "", i);
		dialect_put_literal(&dialect_postgres, &b, scope->schemas[i]);
		strbuf_puts(&b, "::text)");
	}
	strbuf_puts(&b, ") s (i, name) WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname::text = "
			"s.name)");
	c->more = &first;
	ok = catalog_query(c, strbuf_str(&b), "i", on_absent, err);
	c->more = NULL;
	strbuf_done(&b);
	return ok && (first < 0 || catalog_absent_schema(scope, (size_t)first, err));
}

bool postgres_introspect(struct driver_conn *conn, const struct introspect_scope *scope, struct arena *a,
			 int64_t deadline_ns, struct live_schema *ret, struct err *err)
{
	static const char tables[] = "'r', 'p'", views[] = "'v', 'm', 'f'";
	struct live_schema seen = {0};
	struct catalog c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret};
	struct catalog v = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = &seen};

	*ret = (struct live_schema){0};
	if (!schemas_there(&c, scope, err) || !read_columns(&c, scope, tables, err) ||
	    !ask(&c, scope, tables, others_sql, "Ttt", on_other, err) ||
	    !ask(&c, scope, tables, indexes_sql, "TttbbTTTbTbiTTTbbbTb", on_index, err) ||
	    !ask(&c, scope, tables, fks_sql, "TtttttttTbbbb", on_fk, err) ||
	    !ask(&c, scope, tables, remarks_sql, "TtTTT", on_remark, err) ||
	    !ask(&c, scope, tables, table_remarks_sql, "TtTTt", on_remark, err) ||
	    !ask(&c, scope, tables, sequences_sql, "TtttiiT", on_sequence, err) ||
	    !ask(&c, scope, tables, things_sql, "TttT", on_thing, err) ||
	    !ask(&c, scope, tables, checks_sql, "TttTb", on_check, err) ||
	    (scope->views && !read_columns(&v, scope, views, err)))
		return false;
	ret->views = seen.tables;
	ret->n_views = seen.n_tables;
	return true;
}
