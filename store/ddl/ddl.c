/* Statement text: the pieces, CREATE TABLE, and the whole of create-tables in its order. */
#include "store/ddl/ddl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/map.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

/* ---- CREATE TABLE ------------------------------------------------------------------------------------ */

void ddl_collation(const struct column *c, struct strbuf *out)
{
	if (c->collation.p == NULL)
		return;
	strbuf_puts(out, " COLLATE ");
	dialect_quote_ident(out, c->collation);
}

const char *ddl_strict_type(const struct column *c)
{
	const enum logical_type t = c->logical;

	if (t == LT_INTEGER || t == LT_BOOLEAN)
		return "INTEGER";
	if (t == LT_NUMBER || t == LT_DECIMAL)
		return "REAL";
	return t == LT_BINARY ? "BLOB" : t == LT_UNKNOWN ? "ANY" : "TEXT";
}

void ddl_put_strict_type(const struct column *c, struct strbuf *out)
{
	static const char *const words[] = {"INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"};
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(words) && !known; i++)
		known = str_ieq_z(c->sqlite_type, words[i]);
	if (known)
		strbuf_put(out, c->sqlite_type);
	else
		strbuf_puts(out, ddl_strict_type(c));
}

static bool sqlite_column(const struct model *m, const struct column *c, struct strbuf *out, struct err *err)
{
	/* AUTOINCREMENT is SQLite's only on a column declared exactly INTEGER */
	if (c->autoincrement)
		strbuf_puts(out, "integer");
	else if (m->strict)
		ddl_put_strict_type(c, out);
	else if (c->sqlite_type.p != NULL)
		strbuf_put(out, c->sqlite_type);
	else if (!ddl_column_type(&dialect_sqlite, c, out, err))
		return false;
	ddl_collation(c, out);
	if (!ddl_column_fill(&dialect_sqlite, m, c, out, err))
		return false;
	if (!c->nullable)
		strbuf_puts(out, " NOT NULL");
	if (c->unique && m->ir_version < 3)
		strbuf_puts(out, " UNIQUE");
	if (c->primary_key && m->n_pk == 1)
		strbuf_puts(out, c->autoincrement ? " PRIMARY KEY AUTOINCREMENT" : " PRIMARY KEY");
	return true;
}

static bool postgres_column(const struct model *m, const struct column *c, struct strbuf *out, struct err *err)
{
	if (ddl_column_serial(m, c))
		strbuf_puts(out, c->storage == ST_SMALLINT ? "smallserial"
				 : c->storage == ST_BIGINT ? "bigserial"
							   : "serial");
	else if (!ddl_column_type(&dialect_postgres, c, out, err))
		return false;
	ddl_collation(c, out);
	if (!ddl_column_fill(&dialect_postgres, m, c, out, err))
		return false;
	if (c->primary_key && m->n_pk == 1)
		strbuf_puts(out, " PRIMARY KEY");
	if (!c->nullable)
		strbuf_puts(out, " NOT NULL");
	if (c->unique && m->ir_version < 3)
		strbuf_puts(out, " UNIQUE");
	return true;
}

bool ddl_column_definition(const struct dialect *d, const struct model *m, const struct column *c, struct strbuf *out,
			   struct err *err)
{
	dialect_quote_ident(out, c->name);
	strbuf_putc(out, ' ');
	return d->id == DIALECT_SQLITE ? sqlite_column(m, c, out, err) : postgres_column(m, c, out, err);
}

static struct str folded(struct arena *a, struct str s)
{
	char *p = arena_strz(a, s);

	for (size_t i = 0; i < s.len; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] - 'A' + 'a');
	return str_n(p, s.len);
}

/* SQLite's names ignore ASCII case: "A" and "a" are one name there, and CREATE TABLE IF NOT EXISTS would silently do
 * nothing. */
static bool fold_taken(struct map *names, struct arena *a, struct str name)
{
	static char mark;

	return map_put(names, folded(a, name), &mark) != NULL;
}

static bool sqlite_columns_distinct(const struct model *m, struct err *err)
{
	struct arena a;
	struct map names;
	const struct column *twice = NULL;

	arena_init(&a);
	map_init(&names);
	for (size_t i = 0; i < m->n_columns && twice == NULL; i++)
		if (fold_taken(&names, &a, m->columns[i].name))
			twice = &m->columns[i];
	map_done(&names);
	arena_done(&a);
	return twice == NULL || err_set(err, ERR_INVALID_SCHEMA,
					"table \"%.*s\" has two columns \"%.*s\" that differ in case only; SQLite "
					"takes them for one",
					STR_FMT(m->table), STR_FMT(twice->name));
}

static void put_primary_key(const struct model *m, struct strbuf *out)
{
	strbuf_puts(out, ", PRIMARY KEY (");
	for (size_t i = 0; i < m->n_pk; i++) {
		if (i > 0)
			strbuf_puts(out, ", ");
		dialect_quote_ident(out, m->pk[i]->name);
	}
	strbuf_putc(out, ')');
}

static int by_position(const void *x, const void *y)
{
	const struct column *p = *(const struct column *const *)x, *q = *(const struct column *const *)y;

	if (p->fill.position != q->fill.position)
		return p->fill.position == 0 || (q->fill.position != 0 && p->fill.position > q->fill.position) ? 1 : -1;
	return p < q ? -1 : p > q;
}

/* The columns by their places, those without one last and by name; the caller frees the list. */
static const struct column **in_order(const struct model *m)
{
	const struct column **list = mem_array(m->n_columns + 1, sizeof(*list));

	for (size_t i = 0; i < m->n_columns; i++)
		list[i] = &m->columns[i];
	if (m->n_columns > 1)
		qsort(list, m->n_columns, sizeof(*list), by_position);
	return list;
}

static bool put_columns(const struct dialect *d, const struct model *m, struct strbuf *out, struct err *err)
{
	const struct column **list = in_order(m);
	bool ok = true;

	for (size_t i = 0; ok && i < m->n_columns + m->n_retired; i++) {
		if (i > 0)
			strbuf_puts(out, ", ");
		ok = ddl_column_definition(d, m, i < m->n_columns ? list[i] : model_made_column(m, i), out, err);
	}
	mem_free(list);
	return ok;
}

bool ddl_create_table(const struct dialect *d, const struct model *m, const bool *inline_fk, struct strbuf *out,
		      struct err *err)
{
	if (d->id == DIALECT_SQLITE && !sqlite_columns_distinct(m, err))
		return false;
	strbuf_puts(out, "CREATE TABLE IF NOT EXISTS ");
	dialect_quote_table(out, m->schema_name, m->table);
	strbuf_puts(out, " ( ");
	if (!put_columns(d, m, out, err))
		return false;
	if (m->n_pk > 1)
		put_primary_key(m, out);
	for (size_t i = 0; i < m->n_fks; i++) {
		if (inline_fk != NULL && !inline_fk[i])
			continue;
		strbuf_puts(out, ", ");
		ddl_foreign_key(m, &m->fks[i], out);
	}
	if (!ddl_table_constraints(d, m, out, err))
		return false;
	strbuf_puts(out, " )");
	ddl_table_options(d, m, out);
	return true;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static void add_and_reset(struct ddl_plan *p, enum ddl_kind kind, struct str table, struct strbuf *b)
{
	ddl_plan_add(p, kind, table, strbuf_str(b));
	strbuf_reset(b);
}

/* One index, which SQLite may not have at all: then that is said. */
static bool post_index(const struct dialect *d, const struct model *m, const struct schema_index *x, struct ddl_plan *p,
		       struct err *err)
{
	struct strbuf b;
	bool ok = true;

	if (d->id == DIALECT_SQLITE && x->method.p != NULL) {
		ddl_plan_warn(p, "index_not_made", m->table, STR_NONE,
			      "%.*s: the index \"%.*s\" is of the method \"%.*s\", which SQLite does not have",
			      STR_FMT(m->table), STR_FMT(x->name), STR_FMT(x->method));
		return true;
	}
	strbuf_init(&b, 0);
	ok = ddl_index(d, m, x, "", &b, err);
	if (ok)
		add_and_reset(p, DDL_CREATE_INDEX, m->table, &b);
	strbuf_done(&b);
	return ok;
}

bool ddl_post_create(const struct dialect *d, const struct model *m, struct ddl_plan *p, struct err *err)
{
	struct strbuf b;
	bool ok = true;

	p->schema_name = m->schema_name;
	for (size_t i = 0; ok && i < m->n_indexes; i++)
		ok = post_index(d, m, &m->indexes[i], p, err);
	for (size_t i = 0; ok && i < m->n_uniques; i++)
		if (!ddl_inline_unique(m, &m->uniques[i]))
			ok = post_index(d, m, &m->uniques[i], p, err);
	strbuf_init(&b, 0);
	for (size_t i = 0; ok && d->id == DIALECT_POSTGRES && m->ir_version < 3 && i < m->n_checks; i++) {
		ok = ddl_add_check(m, &m->checks[i], &b, err);
		add_and_reset(p, DDL_ADD_CHECK, m->table, &b);
	}
	for (size_t i = 0; ok && d->id == DIALECT_POSTGRES && i < m->n_exclusions; i++) {
		ok = ddl_add_exclusion(m, &m->exclusions[i], &b, err);
		add_and_reset(p, DDL_ADD_CHECK, m->table, &b);
	}
	for (size_t i = 0; ok && d->id == DIALECT_POSTGRES && i <= m->n_columns; i++) {
		const struct column *c = i > 0 ? &m->columns[i - 1] : NULL;

		if ((c != NULL ? c->comment.p : m->comment.p) == NULL)
			continue;
		ddl_comment(m, c, &b);
		add_and_reset(p, DDL_COMMENT, m->table, &b);
	}
	strbuf_done(&b);
	return ok;
}

#define NOT_PLACED SIZE_MAX

/* Whether everything the model refers to has its place (itself and tables outside the set do not count). */
static bool satisfied(const struct schema *s, size_t i, const size_t *place)
{
	const struct model *m = &s->models[i];

	for (size_t k = 0; k < m->n_fks; k++) {
		const struct model *target = schema_model_at(s, m->fks[k].to_schema, m->fks[k].to_table);

		if (target != NULL && target != m && place[target - s->models] == NOT_PLACED)
			return false;
	}
	return true;
}

void ddl_order(const struct schema *s, size_t *order)
{
	size_t *place = mem_array(s->n_models + 1, sizeof(*place));
	size_t n = 0;

	for (size_t i = 0; i < s->n_models; i++)
		place[i] = NOT_PLACED;
	while (n < s->n_models) {
		size_t before = n, first = NOT_PLACED;

		for (size_t i = 0; i < s->n_models; i++) {
			if (place[i] != NOT_PLACED)
				continue;
			if (!satisfied(s, i, place)) {
				first = first == NOT_PLACED ? i : first;
				continue;
			}
			place[i] = n;
			order[n++] = i;
		}
		if (n == before && first != NOT_PLACED) { /* a circle: break it at its first model */
			place[first] = n;
			order[n++] = first;
		}
	}
	mem_free(place);
}

/* Whether a constraint of CREATE TABLE is over exactly these columns. */
static bool is_whole(const struct model *m, const struct str *columns, size_t n)
{
	size_t hits = 0;

	for (size_t i = 0; i < m->n_pk && n == m->n_pk; i++)
		for (size_t k = 0; k < n; k++)
			hits += str_eq(m->pk[i]->name, columns[k]);
	for (size_t i = 0; i < m->n_uniques && hits < n; i++) {
		const struct schema_index *x = &m->uniques[i];

		hits = 0;
		for (size_t j = 0; j < x->n_columns && x->constraint && x->n_columns == n; j++)
			for (size_t k = 0; k < n; k++)
				hits += str_eq(x->columns[j], columns[k]);
	}
	return hits == n;
}

/* Whether CREATE TABLE alone makes the columns a possible target of a foreign key. */
static bool is_key(const struct model *m, const struct foreign_key *fk)
{
	const struct column *c = model_column(m, fk->to_column);

	if (fk->n_columns > 1)
		return is_whole(m, fk->to_columns, fk->n_columns);
	return c != NULL && ((c->unique && m->ir_version < 3) || (c->primary_key && m->n_pk == 1));
}

struct creation {
	const struct dialect *d;
	const struct schema *s;
	struct ddl_plan *p;
	struct strbuf b;
	size_t *order, *place;
	bool *there;      /* per model: the table exists already */
	bool **inline_fk; /* per model and foreign key */
};

static void decide_foreign_keys(struct creation *c, size_t i)
{
	const struct model *m = &c->s->models[i];

	c->inline_fk[i] = arena_array(c->p->arena, m->n_fks, sizeof(bool));
	for (size_t k = 0; k < m->n_fks; k++) {
		const struct model *target = schema_model_at(c->s, m->fks[k].to_schema, m->fks[k].to_table);
		size_t t = target != NULL ? (size_t)(target - c->s->models) : 0;

		c->inline_fk[i][k] = c->d->id == DIALECT_SQLITE || target == NULL || c->there[t] ||
				     (c->place[t] <= c->place[i] && is_key(target, &m->fks[k]));
	}
}

/* Columns that the n-th table in the order is made with. */
static size_t n_made(const struct creation *c, size_t n)
{
	const struct model *m = &c->s->models[c->order[n]];

	return c->there[c->order[n]] ? 0 : m->n_columns + m->n_retired;
}

/* Of the tables, and of the types and sequences of their columns. */
static void create_schemas(struct creation *c)
{
	struct map seen;

	map_init(&seen);
	for (size_t n = 0; n < c->s->n_models; n++) {
		struct model *m = &c->s->models[c->order[n]];

		if (c->there[c->order[n]] || m->schema_name.p == NULL || map_put(&seen, m->schema_name, m) != NULL)
			continue;
		strbuf_puts(&c->b, "CREATE SCHEMA IF NOT EXISTS ");
		dialect_quote_ident(&c->b, m->schema_name);
		add_and_reset(c->p, DDL_CREATE_SCHEMA, STR_NONE, &c->b);
	}
	for (size_t n = 0; n < c->s->n_models; n++)
		for (size_t k = 0; k < n_made(c, n); k++)
			ddl_create_schemas(c->p, &seen, model_made_column(&c->s->models[c->order[n]], k));
	map_done(&seen);
}

static void create_enums(struct creation *c)
{
	struct map seen;

	map_init(&seen);
	for (size_t n = 0; n < c->s->n_models; n++) {
		const struct model *m = &c->s->models[c->order[n]];

		for (size_t k = 0; k < n_made(c, n); k++) {
			const struct column *col = model_made_column(m, k);

			if (!col->postgres_native_enum || map_put(&seen, col->enum_type_name, &seen) != NULL)
				continue;
			ddl_create_enum(col, &c->b);
			add_and_reset(c->p, DDL_CREATE_TYPE, STR_NONE, &c->b);
		}
	}
	map_done(&seen);
}

/* Those that stand by themselves; a column's own comes with it. */
static void create_sequences(struct creation *c)
{
	struct map seen;

	map_init(&seen);
	for (size_t n = 0; n < c->s->n_models; n++) {
		const struct model *m = &c->s->models[c->order[n]];

		for (size_t k = 0; k < n_made(c, n); k++)
			ddl_create_sequence(c->p, &seen, model_made_column(m, k));
	}
	map_done(&seen);
}

static bool create_types(struct creation *c, struct err *err)
{
	struct map seen;
	bool ok = true;

	map_init(&seen);
	for (size_t n = 0; ok && n < c->s->n_models; n++) {
		const struct model *m = &c->s->models[c->order[n]];

		for (size_t k = 0; ok && k < n_made(c, n); k++) {
			const struct column *col = model_made_column(m, k);

			ok = col->type_json == NULL ||
			     ddl_create_types(c->p, &seen, col->db_type, col->type_json, col->enum_values, err);
		}
	}
	map_done(&seen);
	return ok;
}

static void add_foreign_keys(struct creation *c, size_t i)
{
	const struct model *m = &c->s->models[i];

	c->p->schema_name = m->schema_name;
	for (size_t k = 0; k < m->n_fks; k++) {
		if (c->inline_fk[i][k])
			continue;
		strbuf_puts(&c->b, "ALTER TABLE ");
		dialect_quote_table(&c->b, m->schema_name, m->table);
		strbuf_puts(&c->b, " ADD ");
		ddl_foreign_key(m, &m->fks[k], &c->b);
		add_and_reset(c->p, DDL_ADD_FOREIGN_KEY, m->table, &c->b);
	}
}

bool ddl_makes(const struct dialect *d, const struct model *m)
{
	return model_is_table(m) && (m->schema_name.p == NULL || d->id != DIALECT_SQLITE);
}

static bool sqlite_tables_distinct(const struct schema *s, struct err *err)
{
	struct arena a;
	struct map names;
	const struct model *twice = NULL;

	arena_init(&a);
	map_init(&names);
	for (size_t i = 0; i < s->n_models && twice == NULL; i++)
		if (ddl_makes(&dialect_sqlite, &s->models[i]) && fold_taken(&names, &a, s->models[i].table))
			twice = &s->models[i];
	map_done(&names);
	arena_done(&a);
	return twice == NULL || err_set(err, ERR_INVALID_SCHEMA,
					"there are two tables \"%.*s\" that differ in case only; SQLite takes them "
					"for one",
					STR_FMT(twice->table));
}

static bool create_tables(struct creation *c, struct err *err)
{
	for (size_t n = 0; n < c->s->n_models; n++) {
		const size_t i = c->order[n];
		struct err cause;

		if (c->there[i])
			continue;
		c->p->schema_name = c->s->models[i].schema_name;
		decide_foreign_keys(c, i);
		if (!ddl_create_table(c->d, &c->s->models[i], c->inline_fk[i], &c->b, &cause)) {
			(void)err_set(err, cause.code, "cannot create table \"%.*s\": %s",
				      STR_FMT(c->s->models[i].table), cause.detail);
			(void)snprintf(err->table, sizeof(err->table), "%.*s", STR_FMT(c->s->models[i].table));
			return false;
		}
		add_and_reset(c->p, DDL_CREATE_TABLE, c->s->models[i].table, &c->b);
	}
	return true;
}

bool ddl_create_all(const struct dialect *d, const struct schema *s, bool (*exists)(void *arg, const struct model *m),
		    void *arg, struct ddl_plan *p, struct err *err)
{
	struct creation c = {.d = d, .s = s, .p = p};
	bool ok = true;

	if (d->id == DIALECT_SQLITE && !sqlite_tables_distinct(s, err))
		return false;
	strbuf_init(&c.b, 0);
	c.order = arena_array(p->arena, s->n_models, sizeof(*c.order));
	c.place = arena_array(p->arena, s->n_models, sizeof(*c.place));
	c.there = arena_array(p->arena, s->n_models, sizeof(*c.there));
	c.inline_fk = arena_array(p->arena, s->n_models, sizeof(*c.inline_fk));
	ddl_order(s, c.order);
	for (size_t n = 0; n < s->n_models; n++) {
		c.place[c.order[n]] = n;
		c.there[n] = !ddl_makes(d, &s->models[n]) || (exists != NULL && exists(arg, &s->models[n]));
	}
	if (d->id == DIALECT_POSTGRES) {
		create_schemas(&c);
		create_enums(&c);
		create_sequences(&c);
		ok = create_types(&c, err);
	}
	ok = ok && create_tables(&c, err);
	for (size_t n = 0; ok && n < s->n_models; n++)
		if (!c.there[c.order[n]])
			ok = ddl_post_create(d, &s->models[c.order[n]], p, err);
	for (size_t n = 0; ok && n < s->n_models; n++)
		if (!c.there[c.order[n]])
			add_foreign_keys(&c, c.order[n]);
	strbuf_done(&c.b);
	return ok;
}
