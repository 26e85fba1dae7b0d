/* What every session needs set, and what puts back what a statement may have left in one. */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

static void put_setting(struct strbuf *b, const char *local, const char *name, struct str value)
{
	strbuf_puts(b, "pg_catalog.set_config(");
	dialect_put_literal(&dialect_postgres, b, str_z(name));
	strbuf_puts(b, ", ");
	dialect_put_literal(&dialect_postgres, b, value);
	strbuf_puts(b, ", ");
	strbuf_puts(b, local);
	strbuf_puts(b, "), ");
}

void pg_settings_sql(const struct dsn *dsn, const char *local, struct strbuf *b)
{
	strbuf_puts(b, "SELECT ");
	/* first: literals that others write may rely on it */
	put_setting(b, local, "standard_conforming_strings", STR("on"));
	put_setting(b, local, "datestyle", STR("ISO, MDY"));
	put_setting(b, local, "intervalstyle", STR("iso_8601"));
	put_setting(b, local, "timezone", STR("UTC"));
	put_setting(b, local, "bytea_output", STR("hex"));
	put_setting(b, local, "extra_float_digits", STR("1"));
	if (dsn->search_path.p != NULL) {
		struct strbuf path;

		strbuf_init(&path, 0);
		dialect_quote_ident(&path, dsn->search_path);
		put_setting(b, local, "search_path", strbuf_str(&path));
		strbuf_done(&path);
	}
	strbuf_truncate(b, b->len - 2); /* the last comma */
}

/* DISCARD ALL knows nothing of setseed(), after which a caller would know the random() of the next. Operators by their
 * schema: a search_path of the database's own may put others first. */
static const char unlock_and_reseed[] =
	"SELECT pg_catalog.pg_advisory_unlock_all(), "
	"pg_catalog.setseed(pg_catalog.float8(pg_catalog.hashtext(pg_catalog.concat(pg_catalog.clock_timestamp(), "
	"pg_catalog.pg_backend_pid(), pg_catalog.random()))) OPERATOR(pg_catalog./) 2147483648::pg_catalog.float8)";

const char *const pg_leavings[] = {
	"SET SESSION AUTHORIZATION DEFAULT",
	"RESET ALL",
	"CLOSE ALL",
	"UNLISTEN *",
	unlock_and_reseed,
	"DISCARD TEMP",
	"DISCARD SEQUENCES",
	NULL,
};

static void put_leavings(struct strbuf *b)
{
	for (size_t i = 0; pg_leavings[i] != NULL; i++) {
		strbuf_puts(b, pg_leavings[i]);
		strbuf_puts(b, "; ");
	}
}

void pg_settings_texts(struct driver_db *db)
{
	strbuf_init(&db->settings, 0);
	strbuf_init(&db->path, 0);
	strbuf_init(&db->begin, 0);
	strbuf_init(&db->reset, 0);
	pg_settings_sql(db->dsn, "true", &db->settings);
	/* without one of its own a URL means what the role and the database say */
	strbuf_puts(&db->path, "SET LOCAL search_path TO ");
	if (db->dsn->search_path.p != NULL)
		dialect_quote_ident(&db->path, db->dsn->search_path);
	else
		strbuf_puts(&db->path, "DEFAULT");
	strbuf_puts(&db->begin, "; SET LOCAL standard_conforming_strings = on; SET LOCAL datestyle = 'ISO, MDY'; "
				"SET LOCAL intervalstyle = iso_8601; SET LOCAL timezone = 'UTC'; "
				"SET LOCAL bytea_output = hex; SET LOCAL extra_float_digits = 1; ");
	strbuf_put(&db->begin, strbuf_str(&db->path));
	put_leavings(&db->reset);
	pg_settings_sql(db->dsn, "false", &db->reset);
	/* last: is there a prepared statement that is not ours, and how many of ours are there? */
	strbuf_puts(&db->reset, "; SELECT COALESCE(pg_catalog.bool_or(from_sql), false), pg_catalog.count(*) "
				"FROM pg_catalog.pg_prepared_statements");
}

/* What was prepared by SQL, each by its name: those of the protocol are ours, and the pooler's. */
static const char drop_by_name[] =
	"DO 'DECLARE r record; BEGIN "
	"FOR r IN SELECT s.name AS n FROM pg_catalog.pg_prepared_statements s WHERE s.from_sql LOOP "
	"EXECUTE pg_catalog.concat(''DEALLOCATE \"'', pg_catalog.replace(r.n, ''\"'', ''\"\"''), ''\"''); "
	"END LOOP; END' LANGUAGE plpgsql";

const char *pg_drop_prepared(const struct pg_conn *c)
{
	return c->has_plpgsql ? drop_by_name : "DEALLOCATE ALL";
}

void pg_clean_sql(const struct pg_conn *c, struct strbuf *b)
{
	put_leavings(b);
	strbuf_puts(b, pg_drop_prepared(c));
}

void pg_commit_clean_sql(const struct pg_conn *c, struct strbuf *b)
{
	pg_clean_sql(c, b);
	strbuf_puts(b, "; COMMIT");
}

void pg_rollback_clean_sql(const struct pg_conn *c, struct strbuf *b)
{
	strbuf_puts(b, "ROLLBACK; ");
	pg_clean_sql(c, b);
}
