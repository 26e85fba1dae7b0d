/*
 * Which tables call nothing that could change the session of whoever reads or writes them. A view, a trigger, a
 * default, a check, an index on an expression, a policy, a domain may call any function, of which the statement's text
 * says nothing, and so may a domain within an array, a row or a range, and the operator class of an index. What such a
 * function sets must not stay on a pooled connection. Only what the server itself brings is trusted: functions of
 * pg_catalog that are not volatile, and the few volatile ones that leave nothing behind; of types and operator classes
 * those of extensions written in C, too.
 *
 * What was found is looked up again after a while, for a table may be altered by others; after a caller's own DDL at
 * once.
 */
#include <string.h>

#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* $1: the quoted name. Cascades write other tables, partitions and children are tables of their own. */
static const char plain_sql[] =
	"WITH RECURSIVE r(oid) AS (SELECT pg_catalog.to_regclass($1)::pg_catalog.oid UNION "
	"SELECT k.conrelid FROM r JOIN pg_catalog.pg_constraint k ON k.confrelid = r.oid AND k.contype = 'f' "
	"AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))), "
	"e(tree) AS (SELECT d.adbin::pg_catalog.text FROM r JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.oid UNION "
	"ALL "
	"SELECT k.conbin::pg_catalog.text FROM r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid "
	"WHERE k.conbin IS NOT NULL UNION ALL "
	"SELECT concat(x.indexprs::pg_catalog.text, x.indpred::pg_catalog.text) FROM r "
	"JOIN pg_catalog.pg_index x ON x.indrelid = r.oid), "
	"types(oid) AS (SELECT a.atttypid FROM r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 "
	"AND NOT a.attisdropped UNION SELECT t.typelem FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid "
	"WHERE t.typelem <> 0) "
	"SELECT EXISTS (SELECT 1 FROM r WHERE r.oid IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM r "
	"JOIN pg_catalog.pg_class c ON c.oid = r.oid WHERE c.relkind <> 'r' OR c.relhasrules OR c.relrowsecurity "
	"OR c.relhassubclass) "
	"AND NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_statistic_ext x ON x.stxrelid = r.oid "
	"WHERE 'e' = ANY (x.stxkind)) "
	"AND NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal) "
	"AND NOT EXISTS (SELECT 1 FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid WHERE t.typtype = 'd' "
	"OR (t.oid >= 16384 AND t.typtype NOT IN ('b', 'e'))) " PG_INDEXES_PLAIN
	"AND NOT EXISTS (SELECT 1 FROM e WHERE e.tree LIKE '%COERCETODOMAIN%') "
	"AND NOT EXISTS (SELECT 1 FROM e, LATERAL pg_catalog.regexp_matches(e.tree, '(?:funcid|aggfnoid) ([0-9]+)', "
	"'g') f(id) "
	"LEFT JOIN pg_catalog.pg_proc p ON p.oid = f.id[1]::pg_catalog.oid "
	"WHERE p.oid IS NULL OR p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace OR (p.provolatile = 'v' AND "
	"p.proname NOT IN (" PG_LEAVES_NOTHING ")))";

bool pg_plain_known(struct driver_db *db, const struct stmt *s)
{
	uint64_t since;
	bool plain;

	for (size_t i = 0; i < s->n_tables; i++)
		if (!pg_plain_get(db->plain, "", s->tables[i], &plain, &since) || !plain)
			return false;
	return true;
}

/* A table's place (store/schema/schema.h): its name, behind its schema and a NUL where it has one. */
void pg_put_place(struct str place, struct strbuf *out)
{
	const char *nul = place.len > 0 ? memchr(place.p, '\0', place.len) : NULL;
	const size_t n = nul != NULL ? (size_t)(nul - place.p) : 0;

	if (nul == NULL)
		dialect_quote_ident(out, place);
	else
		dialect_quote_table(out, str_n(place.p, n), str_n(nul + 1, place.len - n - 1));
}

static bool look(struct pg_conn *c, struct str table, int64_t deadline, bool *ret, struct err *err)
{
	struct strbuf name;
	bool ok;

	strbuf_init(&name, 0);
	pg_put_place(table, &name);
	ok = pg_ask(&c->base, str_z(plain_sql), strbuf_str(&name), deadline, ret, err);
	strbuf_done(&name);
	return ok;
}

bool pg_plain_table(struct pg_conn *c, struct str place, int64_t deadline_ns, bool *ret, struct err *err)
{
	uint64_t since;

	if (pg_plain_get(c->base.db->plain, c->base.role, place, ret, &since))
		return true;
	if (!look(c, place, deadline_ns, ret, err))
		return false;
	pg_plain_keep(c->base.db->plain, c->base.role, place, *ret, since);
	return true;
}

/* Are all of the statement's tables plain? */
static bool all_plain(struct pg_conn *c, const struct stmt *s, int64_t deadline, bool *ret, struct err *err)
{
	*ret = true;
	for (size_t i = 0; i < s->n_tables; i++) {
		bool plain;

		if (!pg_plain_table(c, s->tables[i], deadline, &plain, err))
			return false;
		*ret = *ret && plain;
	}
	return true;
}

bool pg_plain_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		      struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	/* COMMIT, and what follows, travels with the statement, not with a question about it */
	const bool closing = c->closing;
	const size_t n_stmts = c->ahead.n_stmts;
	bool plain;

	if (pg_ahead_left(c) > 0) /* it has been looked at when it was sent */
		return pg_prepare(base, s, deadline_ns, ret, err);

	c->closing = false;
	c->ahead.n_stmts = 0;
	if (!all_plain(c, s, deadline_ns, &plain, err)) {
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	c->closing = closing;
	c->ahead.n_stmts = n_stmts;
	if (!plain && c->pooled)
		c->leaves = c->unclean = true;
	else if (!plain)
		base->session_dirty = true;
	return pg_prepare(base, s, deadline_ns, ret, err);
}
