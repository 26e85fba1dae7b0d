/* Rows that are in the way of new ones: by which key, how many, which. See query.h. */
#include "store/query/query_parse.h"
#include "store/query/query_sql.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

static void target_columns(const struct model *m, const struct record_target *t, const struct column *const **ret,
			   size_t *ret_n)
{
	*ret = t->columns;
	*ret_n = t->n_columns;
	if (t->sql.p != NULL || t->n_columns > 0)
		return;
	*ret = m->pk;
	*ret_n = m->n_pk;
}

struct str record_target_key(struct arena *a, const struct model *m, const struct record_row *row,
			     const struct record_target *target)
{
	const struct column *const *columns;
	struct strbuf b;
	struct str key;
	size_t n;

	target_columns(m, target, &columns, &n);
	strbuf_init(&b, 0);
	for (size_t i = 0; i < n; i++) {
		const struct column *c = columns[i];
		struct str part;

		if (!row->given[c->index] || row->values[c->index].kind == VALUE_NULL) {
			strbuf_done(&b);
			return STR_NONE;
		}
		part = codec_key_text(a, c, row->values[c->index]);
		strbuf_int(&b, (int64_t)part.len);
		strbuf_putc(&b, ':');
		strbuf_put(&b, part);
	}
	key = n > 0 && !strbuf_failed(&b) ? arena_str(a, strbuf_str(&b)) : STR_NONE;
	strbuf_done(&b);
	return key;
}

static void put_entries(struct sql *s, const struct model *m, const struct record_target *t)
{
	const struct column *const *columns;
	size_t n;

	target_columns(m, t, &columns, &n);
	if (t->sql.p != NULL)
		sql_puts(s, t->sql);
	else
		sql_columns(s, columns, n);
}

/*
 * "(entries) IN (WITH g(every column) AS (VALUES ...) SELECT entries FROM g) AND predicate": the entries of an index
 * may be expressions, which mean the table's columns outside and the new rows' inside. SQLite compares by the affinity
 * and collation of the left side, as its index does.
 */
static void put_in_the_way(struct sql *s, const struct model *m, const struct record_row *rows, size_t n_rows,
			   const struct record_target *t)
{
	sql_put(s, "(");
	put_entries(s, m, t);
	sql_put(s, ") IN (WITH \"ferrod_new\"(");
	for (size_t i = 0; i < m->n_columns; i++) {
		sql_put(s, i > 0 ? ", " : "");
		sql_ident(s, m->columns[i].name);
	}
	sql_put(s, ") AS (VALUES ");
	for (size_t k = 0; k < n_rows; k++) {
		sql_put(s, k > 0 ? ", " : "");
		for (size_t i = 0; i < m->n_columns; i++) {
			sql_put(s, i > 0 ? ", " : "(");
			if (rows[k].given[i])
				sql_written(s, &m->columns[i], rows[k].values[i]);
			else
				sql_put(s, "NULL");
		}
		sql_put(s, ")");
	}
	sql_put(s, ") SELECT ");
	put_entries(s, m, t);
	sql_put(s, " FROM \"ferrod_new\")");
	if (t->predicate.p == NULL)
		return;
	sql_put(s, " AND (");
	sql_puts(s, t->predicate);
	sql_put(s, ")");
}

/* PostgreSQL: each column by itself, for a list of values has types of its own there. */
static void put_equal(struct sql *s, const struct model *m, const struct record_row *row, const struct record_target *t)
{
	const struct column *const *columns;
	size_t n;

	target_columns(m, t, &columns, &n);
	for (size_t i = 0; i < n; i++) {
		sql_put(s, i > 0 ? " AND " : "");
		sql_ident(s, columns[i]->name);
		sql_put(s, " = ");
		sql_written(s, columns[i], row->values[columns[i]->index]);
	}
	if (t->predicate.p == NULL)
		return;
	sql_put(s, " AND (");
	sql_puts(s, t->predicate);
	sql_put(s, ")");
}

/* PostgreSQL, whose lists of values have types of their own: each row's key by itself. */
static void put_any_equal(struct sql *s, const struct model *m, const struct record_row *rows, size_t n_rows,
			  const struct record_target *t)
{
	sql_put(s, "false");
	for (size_t i = 0; i < n_rows; i++) {
		if (t->sql.p != NULL || record_target_key(s->arena, m, &rows[i], t).p == NULL)
			continue;
		sql_put(s, " OR (");
		put_equal(s, m, &rows[i], t);
		sql_put(s, ")");
	}
}

bool record_lower_count(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *rows,
			size_t n_rows, const struct record_target *target, struct stmt *ret, struct err *err)
{
	struct sql s;

	sql_init(&s, a, d);
	sql_put(&s, "SELECT count(*) FROM ");
	sql_table(&s, m);
	sql_put(&s, " WHERE ");
	if (d->id == DIALECT_SQLITE)
		put_in_the_way(&s, m, rows, n_rows, target);
	else
		put_any_equal(&s, m, rows, n_rows, target);
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->cache = n_rows == 1;
	ret->n_columns = 1;
	return true;
}

bool record_lower_blocking(struct arena *a, const struct dialect *d, const struct model *m,
			   const struct record_row *row, const struct record_target *target, struct stmt *ret,
			   struct result_shape *ret_shape, struct err *err)
{
	const bool postgres = d->id == DIALECT_POSTGRES;
	struct sql s;

	*ret = (struct stmt){.sql = STR_NONE};
	if (postgres && (target->sql.p != NULL || record_target_key(a, m, row, target).p == NULL))
		return true;
	sql_init(&s, a, d);
	sql_put(&s, "SELECT ");
	*ret_shape = (struct result_shape){.n = m->n_columns, .decode = m->columns, .full = true};
	ret_shape->columns = arena_array(a, m->n_columns, sizeof(*ret_shape->columns));
	ret_shape->names = arena_array(a, m->n_columns, sizeof(*ret_shape->names));
	for (size_t i = 0; i < m->n_columns; i++) {
		ret_shape->columns[i] = &m->columns[i];
		ret_shape->names[i] = m->columns[i].name;
		sql_put(&s, i > 0 ? ", " : "");
		sql_ident(&s, m->columns[i].name);
	}
	sql_put(&s, " FROM ");
	sql_table(&s, m);
	sql_put(&s, " WHERE ");
	if (postgres)
		put_equal(&s, m, row, target);
	else
		put_in_the_way(&s, m, row, 1, target);
	sql_put(&s, " LIMIT 1");
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->n_columns = m->n_columns;
	return true;
}

/* ---- what the database's catalog knows ---- */

static struct value table_param(struct arena *a, const struct dialect *d, const struct model *m)
{
	struct strbuf b;
	struct value v;

	if (d->id == DIALECT_SQLITE)
		return value_text(m->table);
	strbuf_init(&b, 0);
	dialect_quote_table(&b, m->schema_name, m->table);
	v = value_text(arena_str(a, strbuf_str(&b)));
	strbuf_done(&b);
	return v;
}

/* Triggers that are the database's own (foreign keys) do not count. On PostgreSQL rules count, and the triggers of
 * partitions. */
bool record_lower_triggers(struct arena *a, const struct dialect *d, const struct model *m, struct stmt *ret,
			   struct err *err)
{
	struct sql s;

	sql_init(&s, a, d);
	if (d->id == DIALECT_SQLITE) {
		sql_put(&s, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ");
		sql_param(&s, table_param(a, d, m));
		sql_put(&s, " COLLATE NOCASE) + 2 + 4 * (SELECT count(*) FROM pragma_index_list(");
		sql_param(&s, table_param(a, d, m));
		sql_put(&s, ") WHERE \"unique\" AND origin <> 'pk')");
	} else {
		sql_put(&s,
			"SELECT (CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal AND "
			"t.tgenabled <> 'D' AND (t.tgrelid = c.oid OR t.tgrelid IN (SELECT p.relid FROM "
			"pg_catalog.pg_partition_tree(c.oid) p))) OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r "
			"WHERE "
			"r.ev_class = c.oid AND r.ev_type <> '1') OR EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i "
			"WHERE "
			"i.inhrelid = c.oid OR (i.inhparent = c.oid AND EXISTS (SELECT 1 FROM pg_catalog.pg_class k "
			"WHERE "
			"k.oid = c.oid AND k.relkind = 'r'))) THEN 1 ELSE 0 END + CASE WHEN EXISTS (SELECT 1 FROM "
			"pg_catalog.pg_class k WHERE k.oid = c.oid AND k.relkind = 'r') THEN 2 ELSE 0 END + 4 * "
			"(SELECT "
			"count(*) FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND NOT x.indisprimary AND "
			"(x.indisunique OR x.indisexclusion)))::bigint "
			"FROM "
			"(SELECT pg_catalog.to_regclass(");
		sql_param(&s, table_param(a, d, m));
		sql_put(&s, "::text)::oid AS oid) c");
	}
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->quick = true;
	ret->n_columns = 1;
	return true;
}

bool record_lower_defaults(struct arena *a, const struct model *m, struct stmt *ret, struct err *err)
{
	struct sql s;

	sql_init(&s, a, &dialect_sqlite);
	sql_put(&s, "SELECT name, dflt_value FROM pragma_table_xinfo(");
	sql_param(&s, value_text(m->table));
	sql_put(&s, ")");
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->n_columns = 2;
	return true;
}

bool record_lower_index(struct arena *a, const struct dialect *d, const struct model *m, struct str name,
			struct stmt *ret, struct err *err)
{
	struct sql s;

	sql_init(&s, a, d);
	if (d->id == DIALECT_SQLITE) {
		sql_put(&s, "SELECT x.name, NULL, s.sql FROM pragma_index_list(");
		sql_param(&s, value_text(m->table));
		sql_put(&s, ") l JOIN pragma_index_xinfo(l.name) x LEFT JOIN sqlite_schema s ON s.type = 'index' AND "
			    "s.name = "
			    "l.name WHERE l.\"unique\" AND x.key AND l.name = ");
		sql_param(&s, value_text(name));
		sql_put(&s, " COLLATE NOCASE ORDER BY x.seqno");
	} else {
		sql_put(&s,
			"SELECT a.attname::text, pg_catalog.pg_get_indexdef(x.indexrelid, k.n, false), "
			"pg_catalog.pg_get_expr(x.indpred, x.indrelid) FROM pg_catalog.pg_index x JOIN "
			"pg_catalog.pg_class i ON i.oid = x.indexrelid CROSS JOIN LATERAL "
			"pg_catalog.generate_series(1, x.indnkeyatts::int) k(n) LEFT JOIN pg_catalog.pg_attribute a ON "
			"a.attrelid = x.indrelid AND a.attnum = x.indkey[k.n - 1] AND a.attnum <> 0 WHERE "
			"x.indisunique AND "
			"x.indrelid = pg_catalog.to_regclass(");
		sql_param(&s, table_param(a, d, m));
		sql_put(&s, "::text) AND i.relname::text = ");
		sql_param(&s, value_text(name));
		sql_put(&s, "::text ORDER BY k.n");
	}
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->n_columns = 3;
	return true;
}

static struct str text_of(struct value v)
{
	return v.kind == VALUE_TEXT ? v.u.s : STR_NONE;
}

/* The entries as PostgreSQL's ON CONFLICT wants them: a name, or an expression in parentheses. */
static struct str join_entries(struct arena *a, const struct value *const *rows, size_t n)
{
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	for (size_t i = 0; i < n; i++) {
		const struct str column = text_of(rows[i][0]);

		strbuf_puts(&b, i > 0 ? ", " : "");
		if (column.p != NULL) {
			dialect_quote_ident(&b, column);
		} else {
			strbuf_putc(&b, '(');
			strbuf_put(&b, text_of(rows[i][1]));
			strbuf_putc(&b, ')');
		}
	}
	s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}

bool record_target_index(struct arena *a, const struct dialect *d, const struct model *m,
			 const struct value *const *rows, size_t n_rows, struct record_target *ret, struct err *err)
{
	const struct column **columns = arena_array(a, n_rows, sizeof(*columns));
	struct str entries = STR_NONE;
	bool plain = true;

	*ret = (struct record_target){.known = true, .sql = STR_NONE, .predicate = STR_NONE};
	for (size_t i = 0; i < n_rows; i++) {
		columns[i] = text_of(rows[i][0]).p != NULL ? model_column(m, text_of(rows[i][0])) : NULL;
		plain = plain && columns[i] != NULL;
	}
	if (d->id == DIALECT_POSTGRES) {
		ret->predicate = text_of(rows[0][2]);
		entries = join_entries(a, rows, n_rows);
	} else if (text_of(rows[0][2]).p != NULL && !schema_sql_index(text_of(rows[0][2]), &entries, &ret->predicate)) {
		return err_set(err, ERR_INVALID_QUERY, "the index's own statement cannot be read");
	}
	if (plain) {
		ret->columns = columns;
		ret->n_columns = n_rows;
	} else {
		ret->sql = entries;
	}
	return true;
}
