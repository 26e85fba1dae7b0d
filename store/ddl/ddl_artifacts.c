/* Text of what a table has beside its columns: keys, indexes, checks, exclusions, comments. */
#include "store/ddl/ddl.h"

#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

static void put_names(struct strbuf *out, const struct str *names, size_t n)
{
	strbuf_putc(out, '(');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_puts(out, ", ");
		dialect_quote_ident(out, names[i]);
	}
	strbuf_putc(out, ')');
}

static void put_deferral(struct strbuf *out, bool deferrable, bool deferred)
{
	if (deferrable)
		strbuf_puts(out, deferred ? " DEFERRABLE INITIALLY DEFERRED" : " DEFERRABLE");
}

/* SQL that came with the model, which must stay inside its parentheses. */
static bool put_expression(const struct dialect *d, struct str sql, const char *what, struct str name,
			   struct strbuf *out, struct err *err)
{
	const char *why;

	if (!schema_sql_expression(d->id, sql, &why))
		return err_set(err, ERR_INVALID_SCHEMA, "the %s \"%.*s\" has an expression that is none of %s: %s",
			       what, STR_FMT(name), d->name, why);
	strbuf_putc(out, '(');
	strbuf_put(out, sql);
	strbuf_putc(out, ')');
	return true;
}

/* ---- foreign keys ---- */

static const char *action(struct str given, const char *otherwise)
{
	static const char *const words[] = {"CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT", "NO ACTION"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(given, words[i]))
			return words[i];
	return otherwise;
}

const char *ddl_on_delete(const struct foreign_key *fk)
{
	return action(fk->on_delete, "CASCADE");
}

const char *ddl_on_update(const struct foreign_key *fk)
{
	return action(fk->on_update, "NO ACTION");
}

/* Before version 3 the database names them. */
static void put_key_name(const struct model *m, const struct foreign_key *fk, struct strbuf *out)
{
	if (m->ir_version < 3)
		return;
	strbuf_puts(out, "CONSTRAINT ");
	dialect_quote_ident(out, fk->name);
	strbuf_putc(out, ' ');
}

static void put_references(const struct foreign_key *fk, struct strbuf *out)
{
	const bool several = fk->n_columns > 1;

	strbuf_puts(out, "REFERENCES ");
	dialect_quote_table(out, fk->to_schema, fk->to_table);
	strbuf_putc(out, ' ');
	put_names(out, several ? fk->to_columns : &fk->to_column, several ? fk->n_columns : 1);
	if (fk->match.p != NULL)
		strbuf_puts(out, " MATCH FULL");
	strbuf_printf(out, " ON DELETE %s", ddl_on_delete(fk));
	if (fk->on_update.p != NULL && !str_ieq_z(fk->on_update, "NO ACTION"))
		strbuf_printf(out, " ON UPDATE %s", ddl_on_update(fk));
	put_deferral(out, fk->deferrable, fk->deferred);
}

void ddl_foreign_key(const struct model *m, const struct foreign_key *fk, struct strbuf *out)
{
	const bool several = fk->n_columns > 1;

	put_key_name(m, fk, out);
	strbuf_puts(out, "FOREIGN KEY ");
	put_names(out, several ? fk->columns : &fk->column, several ? fk->n_columns : 1);
	strbuf_putc(out, ' ');
	put_references(fk, out);
}

void ddl_column_key(const struct model *m, const struct foreign_key *fk, struct strbuf *out)
{
	put_key_name(m, fk, out);
	put_references(fk, out);
}

/* ---- indexes ---- */

static bool put_key(const struct dialect *d, const struct schema_index *x, const struct index_key *k,
		    struct strbuf *out, struct err *err)
{
	const bool postgres = d->id == DIALECT_POSTGRES;

	if (k->column.p != NULL)
		dialect_quote_ident(out, k->column);
	else if (!put_expression(d, k->expression, "index", x->name, out, err))
		return false;
	if (k->collation.p != NULL) {
		strbuf_puts(out, " COLLATE ");
		dialect_quote_ident(out, k->collation);
	}
	if (postgres && k->op_class.p != NULL) {
		strbuf_putc(out, ' ');
		dialect_quote_ident(out, k->op_class);
	}
	if (k->descending)
		strbuf_puts(out, " DESC");
	if (postgres && k->nulls != INDEX_NULLS_NATIVE)
		strbuf_puts(out, k->nulls == INDEX_NULLS_FIRST ? " NULLS FIRST" : " NULLS LAST");
	if (k->operator.p != NULL) {
		strbuf_puts(out, " WITH ");
		strbuf_put(out, k->operator); /* signs: schema validation lets nothing else pass */
	}
	return true;
}

/* "(keys) INCLUDE (...) WHERE (...)" */
static bool put_index(const struct dialect *d, const struct schema_index *x, struct strbuf *out, struct err *err)
{
	const bool postgres = d->id == DIALECT_POSTGRES;

	if (x->keys == NULL) {
		put_names(out, x->columns, x->n_columns);
	} else {
		strbuf_putc(out, '(');
		for (size_t i = 0; i < x->n_keys; i++) {
			if (i > 0)
				strbuf_puts(out, ", ");
			if (!put_key(d, x, &x->keys[i], out, err))
				return false;
		}
		strbuf_putc(out, ')');
	}
	if (postgres && x->n_include > 0) {
		strbuf_puts(out, " INCLUDE ");
		put_names(out, x->include, x->n_include);
	}
	if (postgres && x->nulls_not_distinct)
		strbuf_puts(out, " NULLS NOT DISTINCT");
	if (x->predicate.p == NULL)
		return true;
	strbuf_puts(out, " WHERE ");
	return put_expression(d, x->predicate, "index", x->name, out, err);
}

bool ddl_index(const struct dialect *d, const struct model *m, const struct schema_index *x, const char *concurrently,
	       struct strbuf *out, struct err *err)
{
	strbuf_printf(out, "CREATE %sINDEX %sIF NOT EXISTS ", x->unique ? "UNIQUE " : "", concurrently);
	dialect_quote_ident(out, x->name);
	strbuf_puts(out, " ON ");
	dialect_quote_table(out, m->schema_name, m->table);
	if (x->method.p != NULL) {
		strbuf_puts(out, " USING ");
		dialect_quote_ident(out, x->method);
	}
	strbuf_putc(out, ' ');
	return put_index(d, x, out, err);
}

bool ddl_column_unique(const struct model *m, const struct schema_index *x)
{
	const struct column *c = x->n_columns == 1 ? model_column(m, x->columns[0]) : NULL;

	return !x->constraint && c != NULL && c->unique && m->ir_version < 3;
}

bool ddl_inline_unique(const struct model *m, const struct schema_index *x)
{
	return x->constraint || ddl_column_unique(m, x);
}

static void put_unique(const struct dialect *d, const struct schema_index *x, struct strbuf *out)
{
	const bool postgres = d->id == DIALECT_POSTGRES;

	strbuf_puts(out, "CONSTRAINT ");
	dialect_quote_ident(out, x->name);
	strbuf_puts(out, postgres && x->nulls_not_distinct ? " UNIQUE NULLS NOT DISTINCT " : " UNIQUE ");
	put_names(out, x->columns, x->n_columns);
	if (postgres && x->n_include > 0) {
		strbuf_puts(out, " INCLUDE ");
		put_names(out, x->include, x->n_include);
	}
	put_deferral(out, postgres && x->deferrable, x->deferred);
}

static void alter_table(const struct model *m, const char *what, struct strbuf *out)
{
	strbuf_puts(out, "ALTER TABLE ");
	dialect_quote_table(out, m->schema_name, m->table);
	strbuf_puts(out, what);
}

void ddl_add_unique(const struct model *m, const struct schema_index *x, struct strbuf *out)
{
	alter_table(m, " ADD ", out);
	put_unique(&dialect_postgres, x, out);
}

bool ddl_add_exclusion(const struct model *m, const struct schema_index *x, struct strbuf *out, struct err *err)
{
	alter_table(m, " ADD CONSTRAINT ", out);
	dialect_quote_ident(out, x->name);
	strbuf_puts(out, " EXCLUDE USING ");
	dialect_quote_ident(out, x->method.p != NULL ? x->method : STR("btree"));
	strbuf_putc(out, ' ');
	if (!put_index(&dialect_postgres, x, out, err))
		return false;
	put_deferral(out, x->deferrable, x->deferred);
	return true;
}

/* ---- checks ---- */

bool ddl_check_body(const struct dialect *d, const struct schema_check *c, struct strbuf *out, struct err *err)
{
	const char *why;

	if (c->expression.p != NULL) {
		if (!schema_sql_expression(d->id, c->expression, &why))
			return err_set(err, ERR_INVALID_SCHEMA, "the check \"%.*s\" is no expression of %s: %s",
				       STR_FMT(c->name), d->name, why);
		strbuf_put(out, c->expression);
		return true;
	}
	dialect_quote_ident(out, c->column);
	strbuf_puts(out, " IN (");
	for (size_t i = 0; i < c->n_values; i++) {
		if (i > 0)
			strbuf_puts(out, ", ");
		strbuf_put(out, c->values[i]); /* literals: schema validation lets nothing else pass */
	}
	strbuf_putc(out, ')');
	return true;
}

bool ddl_add_check(const struct model *m, const struct schema_check *c, struct strbuf *out, struct err *err)
{
	alter_table(m, " ADD CONSTRAINT ", out);
	dialect_quote_ident(out, c->name);
	strbuf_puts(out, " CHECK (");
	if (!ddl_check_body(&dialect_postgres, c, out, err))
		return false;
	strbuf_putc(out, ')');
	return true;
}

/* ---- the rest of a table ---- */

bool ddl_table_constraints(const struct dialect *d, const struct model *m, struct strbuf *out, struct err *err)
{
	for (size_t i = 0; i < m->n_uniques; i++) {
		const struct schema_index *x = &m->uniques[i];

		if (!x->constraint)
			continue;
		strbuf_puts(out, ", ");
		put_unique(d, x, out);
	}
	for (size_t i = 0; (d->id == DIALECT_SQLITE || m->ir_version >= 3) && i < m->n_checks; i++) {
		strbuf_puts(out, ", CONSTRAINT ");
		dialect_quote_ident(out, m->checks[i].name);
		strbuf_puts(out, " CHECK (");
		if (!ddl_check_body(d, &m->checks[i], out, err))
			return false;
		strbuf_putc(out, ')');
	}
	return true;
}

void ddl_table_options(const struct dialect *d, const struct model *m, struct strbuf *out)
{
	if (d->id != DIALECT_SQLITE)
		return;
	if (m->without_rowid)
		strbuf_puts(out, " WITHOUT ROWID");
	if (m->strict)
		strbuf_puts(out, m->without_rowid ? ", STRICT" : " STRICT");
}

void ddl_comment(const struct model *m, const struct column *c, struct strbuf *out)
{
	const struct str text = c != NULL ? c->comment : m->comment;

	strbuf_puts(out, c != NULL ? "COMMENT ON COLUMN " : "COMMENT ON TABLE ");
	dialect_quote_table(out, m->schema_name, m->table);
	if (c != NULL) {
		strbuf_putc(out, '.');
		dialect_quote_ident(out, c->name);
	}
	strbuf_puts(out, " IS ");
	if (text.p != NULL)
		dialect_put_literal(&dialect_postgres, out, text);
	else
		strbuf_puts(out, "NULL");
}
