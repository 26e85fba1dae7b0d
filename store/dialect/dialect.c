/* The two dialects and the only functions that quote. */
#include "store/dialect/dialect.h"

#include <string.h>

#include "service/base/limits.h"

#include "service/base/banned.h"

const struct dialect dialect_sqlite = {
	.id = DIALECT_SQLITE,
	.name = "sqlite",
	.params_max = LIMIT_SQL_PARAMS_SQLITE,
	.numbered_placeholders = false,
};

const struct dialect dialect_postgres = {
	.id = DIALECT_POSTGRES,
	.name = "postgres",
	.params_max = LIMIT_SQL_PARAMS_PG,
	.numbered_placeholders = true,
};

const struct dialect *dialect_get(enum dialect_id id)
{
	return id == DIALECT_SQLITE ? &dialect_sqlite : &dialect_postgres;
}

const struct dialect *dialect_by_name(struct str name)
{
	if (str_eq_z(name, dialect_sqlite.name))
		return &dialect_sqlite;
	if (str_eq_z(name, dialect_postgres.name))
		return &dialect_postgres;
	return NULL;
}

/* text between two `quote`s, inner ones doubled; whole runs at a time. */
static void put_quoted(struct strbuf *b, struct str text, char quote)
{
	strbuf_putc(b, quote);
	while (text.len > 0) {
		const char *q = memchr(text.p, quote, text.len);
		size_t run = q != NULL ? (size_t)(q - text.p) + 1 : text.len;

		strbuf_put(b, str_n(text.p, run));
		if (q != NULL)
			strbuf_putc(b, quote);
		text = str_n(text.p + run, text.len - run);
	}
	strbuf_putc(b, quote);
}

void dialect_quote_ident(struct strbuf *b, struct str name)
{
	put_quoted(b, name, '"');
}

void dialect_quote_table(struct strbuf *b, struct str schema, struct str table)
{
	if (schema.p != NULL) {
		dialect_quote_ident(b, schema);
		strbuf_putc(b, '.');
	}
	dialect_quote_ident(b, table);
}

void dialect_quote_literal(struct strbuf *b, struct str text)
{
	put_quoted(b, text, '\'');
}

void dialect_put_literal(const struct dialect *d, struct strbuf *b, struct str text)
{
	if (d->id != DIALECT_POSTGRES || text.len == 0 || memchr(text.p, '\\', text.len) == NULL) {
		put_quoted(b, text, '\'');
		return;
	}
	/* the blank: what stands before must not become one word with it */
	strbuf_puts(b, " E'");
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\'' || text.p[i] == '\\')
			strbuf_putc(b, text.p[i]);
		strbuf_putc(b, text.p[i]);
	}
	strbuf_putc(b, '\'');
}

void dialect_quote_element(struct strbuf *b, struct str text)
{
	strbuf_putc(b, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			strbuf_putc(b, '\\');
		strbuf_putc(b, text.p[i]);
	}
	strbuf_putc(b, '"');
}

void dialect_placeholder(const struct dialect *d, struct strbuf *b, size_t n)
{
	if (!d->numbered_placeholders) {
		strbuf_putc(b, '?');
		return;
	}
	strbuf_putc(b, '$');
	strbuf_int(b, (int64_t)n);
}
