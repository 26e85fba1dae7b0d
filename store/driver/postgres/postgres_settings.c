/* What every session needs set. */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

static void put_setting(struct strbuf *b, const char *local, const char *name, struct str value)
{
	strbuf_puts(b, b->len == 0 ? "SELECT " : ", ");
	strbuf_puts(b, "pg_catalog.set_config(");
	dialect_quote_literal(b, str_z(name));
	strbuf_puts(b, ", ");
	dialect_quote_literal(b, value);
	strbuf_puts(b, ", ");
	strbuf_puts(b, local);
	strbuf_putc(b, ')');
}

void pg_settings_sql(const struct dsn *dsn, const char *local, struct strbuf *b)
{
	/* first: the literals below and in DDL rely on it */
	put_setting(b, local, "standard_conforming_strings", STR("on"));
	put_setting(b, local, "datestyle", STR("ISO, MDY"));
	put_setting(b, local, "intervalstyle", STR("postgres"));
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
}
