/* What a migration needs of the driver on PostgreSQL: its lock, its patience, and what hangs on columns. */
#include "store/driver/introspect.h"

#include <stdio.h>

#include "service/base/clock.h"
#include "store/driver/catalog.h"

#include "service/base/banned.h"

/* "ferrod": the one lock of all migrations of a database, whoever runs them. */
#define LOCK_KEY "112585897832292"
/* A row that is locked until the transaction ends: store/exec/coordination.h makes the table. */
#define LEASE_SQL \
	"INSERT INTO _ferrod_lease (name, taken) VALUES ('migration', 1) ON CONFLICT (name) DO UPDATE SET taken = " \
	"_ferrod_lease.taken + 1"

/* Columns of tables on which something else hangs: what PostgreSQL would drop along in silence (an
 * index with an expression or a predicate, a check over several columns), what it does not know of (the text of a
 * trigger's function), and what it refuses for (views, generated columns, policies): so that a plan can say so. */
#define ON_COLUMN(object) \
	"JOIN pg_catalog.pg_class c ON c.oid = " object " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
	"AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
#define DEPENDS \
	"FROM pg_catalog.pg_depend d " ON_COLUMN( \
		"d.refobjid") "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid "

/* The text of trigger t's function speaks of the new or old row's column. */
#define NAMES_IT \
	"p.prosrc ~* ('\\m(new|old)\\s*\\.\\s*\"?' || pg_catalog.regexp_replace(a.attname::text, " \
	"'([^a-zA-Z0-9_])', '\\\\\\1', 'g') || '\"?(\\W|$)')"

static const char uses_sql[] =
	"SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, v.relname::text, "
	"c.relname::text, "
	"a.attname::text, NULLIF(n.nspname, pg_catalog.current_schema())::text " DEPENDS
	"JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = "
	"'pg_catalog.pg_rewrite'::regclass JOIN pg_catalog.pg_class v ON v.oid = r.ev_class WHERE d.refclassid = "
	"'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 AND v.oid <> c.oid "
	"UNION SELECT CASE WHEN " NAMES_IT " THEN '" LIVE_USE_TEXT
	"' ELSE 'trigger' END, t.tgname::text, c.relname::text, a.attname::text, NULLIF(n.nspname, "
	"pg_catalog.current_schema())::text FROM pg_catalog.pg_trigger "
	"t " ON_COLUMN(
		"t.tgrelid") "JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid "
			     "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
			     "a.attisdropped "
			     "WHERE NOT t.tgisinternal AND (a.attnum = ANY (t.tgattr::pg_catalog.int2[]) OR " NAMES_IT
			     ") "
			     "UNION SELECT 'index', i.relname::text, c.relname::text, a.attname::text, "
			     "NULLIF(n.nspname, pg_catalog.current_schema())::text " DEPENDS
			     "JOIN pg_catalog.pg_index x ON "
			     "x.indexrelid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass AND (x.indexprs "
			     "IS NOT NULL OR x.indpred IS "
			     "NOT NULL) JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid WHERE d.refclassid = "
			     "'pg_catalog.pg_class'::regclass "
			     "UNION SELECT 'CHECK constraint', k.conname::text, c.relname::text, a.attname::text, "
			     "NULLIF(n.nspname, pg_catalog.current_schema())::text FROM "
			     "pg_catalog.pg_constraint k " ON_COLUMN(
				     "k.conrelid") "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum "
						   "= ANY (k.conkey) "
						   "WHERE k.contype = 'c' AND pg_catalog.array_length(k.conkey, 1) > 1 "
						   "UNION SELECT 'generated column', g.attname::text, c.relname::text, "
						   "a.attname::text, NULLIF(n.nspname, "
						   "pg_catalog.current_schema())::text " DEPENDS "JOIN "
						   "pg_catalog.pg_attrdef f ON f.oid = d.objid AND d.classid = "
						   "'pg_catalog.pg_attrdef'::regclass AND f.adrelid = c.oid "
						   "AND f.adnum <> d.refobjsubid JOIN pg_catalog.pg_attribute g ON "
						   "g.attrelid = c.oid AND g.attnum = f.adnum "
						   "WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND "
						   "g.attgenerated <> '' "
						   "UNION SELECT 'policy', p.polname::text, c.relname::text, "
						   "a.attname::text, NULLIF(n.nspname, "
						   "pg_catalog.current_schema())::text " DEPENDS
						   "JOIN pg_catalog.pg_policy p ON "
						   "p.oid = d.objid AND d.classid = 'pg_catalog.pg_policy'::regclass "
						   "WHERE d.refclassid = 'pg_catalog.pg_class'::regclass "
						   "ORDER BY 1, 2, 3, 4, 5";

static void on_use(struct catalog *c, const struct value *row)
{
	struct live_schema *l = c->live;

	l->uses = catalog_more(c->arena, l->uses, l->n_uses, sizeof(*l->uses));
	l->uses[l->n_uses++] = (struct live_use){
		.kind = catalog_text(c, row[0]),
		.name = catalog_text(c, row[1]),
		.schema_name = catalog_text(c, row[4]),
		.table = catalog_text(c, row[2]),
		.column = catalog_text(c, row[3]),
	};
}

bool postgres_migrate_uses(struct driver_conn *conn, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			   struct err *err)
{
	struct catalog c = {.conn = conn, .arena = a, .deadline = deadline_ns, .live = ret};

	ret->uses = NULL;
	ret->n_uses = 0;
	return catalog_query(&c, str_z(uses_sql), "ttttT", on_use, err);
}

/* The time left for waiting, as the server's setting; at least a millisecond, for 0 would mean for ever. */
bool postgres_migrate_patience(struct driver_conn *c, int64_t lock_ns, int64_t deadline_ns, struct err *err)
{
	const int64_t left = (lock_ns - clock_mono_ns()) / CLOCK_NS_PER_MS;
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = %lld", (long long)(left > 1 ? left : 1));
	return c->driver->simple(c, str_z(sql), deadline_ns, err);
}

bool postgres_migrate_begin(struct driver_conn *c, const struct migrate_begin *how, struct err *err)
{
	const int64_t began = clock_mono_ns();
	struct err lock;

	/* read committed: what is introspected after the wait for the lock must be what the one before has left; who
	 * only looks sees one moment */
	if (!c->driver->begin(c, how->plan_only ? TX_ISO_REPEATABLE_READ : TX_ISO_READ_COMMITTED, how->plan_only,
			      how->deadline_ns, err) ||
	    !postgres_migrate_patience(c, how->lock_ns, how->deadline_ns, err))
		return false;
	if (how->plan_only)
		return true;
	if (!c->driver->simple(
		    c, how->leases ? STR(LEASE_SQL) : STR("SELECT pg_catalog.pg_advisory_xact_lock(" LOCK_KEY ")"),
		    how->deadline_ns, &lock)) {
		*err = lock;
		if (lock.code == ERR_DATABASE_BUSY)
			(void)err_set(err, ERR_DATABASE_BUSY,
				      "another migration of this database has been running for %.0f s; nothing was "
				      "changed: try again",
				      (double)(clock_mono_ns() - began) / 1e9);
		return false;
	}
	return postgres_migrate_patience(c, how->lock_ns, how->deadline_ns, err);
}
