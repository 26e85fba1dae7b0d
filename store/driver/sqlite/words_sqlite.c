/* See words_sqlite.h. */
#include "store/driver/sqlite/words_sqlite.h"

#include "service/base/banned.h"

static void on_word(struct catalog *c, const struct value *row)
{
	struct str *found = c->more;

	(void)row;
	*found = STR("words");
}

bool sqlite_read_words(struct catalog *c, const struct live_table *t, struct live_column *col, struct err *err)
{
	struct strbuf b;
	struct str sql;
	bool ok;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "SELECT 1 FROM (SELECT ");
	dialect_quote_ident(&b, col->name);
	strbuf_puts(&b, " AS a FROM ");
	dialect_quote_ident(&b, t->name);
	strbuf_puts(&b, ") WHERE typeof(a) = 'text' AND lower(a) IN ('t', 'f', 'true', 'false') LIMIT 1");
	sql = arena_str(c->arena, strbuf_str(&b));
	strbuf_done(&b);
	c->more = &col->spelling;
	ok = catalog_query(c, sql, "i", on_word, err);
	c->more = NULL;
	return ok;
}
