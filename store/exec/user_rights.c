/* Looks what the pool's user may do by itself. */
#include "store/exec/user_rights.h"

#include "service/base/clock.h"
#include "store/exec/exec.h"

#include "service/base/banned.h"

#define FRESH_NS (60 * CLOCK_NS_PER_S)
#define ROWS_MAX (5 + USER_RIGHTS_TABLES_MAX + 1) /* that an honest server can answer */

/* Rows of what it is, of what it owns and of what it may do, by letters. What extensions show to all does not count. An
 * older server's memberships do not say themselves whether they inherit. */
static const char sql[] =
	"WITH me AS (SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolinherit "
	"FROM pg_catalog.pg_roles r WHERE r.rolname = current_user), "
	"spaces AS (SELECT n.oid, n.nspname, n.nspowner FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' "
	"AND n.nspname <> 'information_schema') "
	"SELECT 's', rolname::pg_catalog.text FROM me WHERE rolsuper UNION ALL "
	"SELECT 'b', rolname::pg_catalog.text FROM me WHERE rolbypassrls UNION ALL "
	"SELECT 'c', rolname::pg_catalog.text FROM me WHERE rolcreaterole UNION ALL "
	"(SELECT 'i', g.rolname::pg_catalog.text FROM me JOIN pg_catalog.pg_auth_members m ON m.member = me.oid "
	"JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE COALESCE((pg_catalog.to_jsonb(m) ->> "
	"'inherit_option')::pg_catalog.bool, me.rolinherit) ORDER BY 2 LIMIT 1) UNION ALL "
	"(SELECT 'o', spaces.nspname::pg_catalog.text FROM me, spaces WHERE NOT me.rolsuper AND "
	"pg_catalog.pg_has_role(me.oid, spaces.nspowner, 'USAGE') ORDER BY 2 LIMIT 1) UNION ALL "
	"(SELECT 't', pg_catalog.concat(spaces.nspname, '.', c.relname) FROM me, spaces JOIN pg_catalog.pg_class c "
	"ON c.relnamespace = spaces.oid WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
	"AND pg_catalog.left(c.relname, 8) <> '_ferrod_' "
	"AND (pg_catalog.pg_has_role(me.oid, c.relowner, 'USAGE') OR (NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d "
	"WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') "
	"AND (pg_catalog.has_table_privilege(me.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, "
	"TRIGGER') OR pg_catalog.has_any_column_privilege(me.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')))) "
	"ORDER BY 2 LIMIT 101)";

struct looking {
	struct arena *a;
	struct user_rights *ret;
	struct str *tables;
	struct strbuf why;
	size_t n_rows;
};

static void say(struct strbuf *b, const char *what, struct str whom)
{
	strbuf_puts(b, b->len > 0 ? ", " : "");
	strbuf_puts(b, what);
	if (whom.p != NULL)
		strbuf_printf(b, " \"%.*s\"", STR_FMT(whom));
}

static bool take_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	static const struct {
		char letter;
		const char *what;
	} kinds[] = {{'s', "is the superuser"},
		     {'b', "passes row security by as"},
		     {'c', "may give itself roles as"},
		     {'i', "inherits what may be done by"},
		     {'o', "owns the schema"}};
	struct looking *q = arg;

	(void)ret_stop;
	if (++q->n_rows > ROWS_MAX || n != 2 || values[0].kind != VALUE_TEXT || values[0].u.s.len != 1 ||
	    values[1].kind != VALUE_TEXT)
		return err_set(err, ERR_INTERNAL_ERROR, "the rights of the pool's user cannot be read");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].letter == values[0].u.s.p[0])
			say(&q->why, kinds[i].what, values[1].u.s);
	if (values[0].u.s.p[0] != 't')
		return true;
	if (q->ret->n_tables == USER_RIGHTS_TABLES_MAX)
		q->ret->more = true;
	else
		q->tables[q->ret->n_tables++] = arena_str(q->a, values[1].u.s);
	return true;
}

static bool ask(struct connection *c, int64_t deadline, struct looking *q, struct err *err)
{
	const struct stmt s = {.sql = str_n(sql, sizeof(sql) - 1), .access = STMT_READ, .cache = true, .n_columns = 2};
	struct row_sink sink = {.row = take_row, .arg = q};
	struct route r = {.conn = c};
	struct exec_result result;
	struct exec x = {0};
	struct err ignored;

	exec_begin(&x, &r, deadline, false);
	x.probes = true;
	const bool ok = exec_run(&x, &s, &sink, &result, err);
	return exec_end(&x, ok, ok ? err : &ignored) && ok;
}

bool user_rights_look(struct connection *c, struct arena *a, int64_t deadline, struct user_rights *ret, struct err *err)
{
	struct looking q = {.a = a, .ret = ret};
	bool ok;

	*ret = (struct user_rights){0};
	if (c->acting != ACTING_ROLE)
		return true;
	q.tables = arena_array(a, USER_RIGHTS_TABLES_MAX, sizeof(*q.tables));
	ret->tables = q.tables;
	strbuf_init(&q.why, 0);
	ok = ask(c, deadline, &q, err);
	ret->any = q.why.len > 0 || ret->n_tables > 0;
	if (ret->n_tables > 0)
		say(&q.why, "has rights to tables of its own", STR_NONE);
	ret->why = arena_str(a, strbuf_str(&q.why));
	strbuf_done(&q.why);
	if (!ok)
		return false;
	__atomic_store_n(&c->user_rights, ret->any ? 1 : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->rights_at_ns, clock_mono_ns(), __ATOMIC_RELEASE);
	return true;
}

bool user_rights_any(struct connection *c, struct arena *a, int64_t deadline, bool *ret, struct err *err)
{
	const int64_t at = __atomic_load_n(&c->rights_at_ns, __ATOMIC_ACQUIRE);
	struct user_rights found;

	*ret = false;
	if (c->acting != ACTING_ROLE)
		return true;
	if ((at == 0 || clock_mono_ns() - at > FRESH_NS) && !user_rights_look(c, a, deadline, &found, err))
		return false;
	*ret = __atomic_load_n(&c->user_rights, __ATOMIC_RELAXED) != 0;
	return true;
}
