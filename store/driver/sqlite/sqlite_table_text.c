/*
 * A reader of CREATE TABLE that knows SQLite's tokens and parentheses and a few words at the right depth. SQLite has
 * parsed the text before, so that nothing here has to judge it.
 */
#include "store/driver/sqlite/sqlite_table_text.h"

#include <string.h>

#include "store/driver/catalog.h"

#include "service/base/banned.h"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NAME /* quoted */, TOKEN_TEXT, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	struct str text; /* with its quotes */
};

struct reader {
	struct arena *arena;
	struct str sql;
	size_t at;
	struct token now;
	size_t depth;
	struct table_text *out;
	struct str column;  /* of the definition that is being read, as written; STR_NONE: a table constraint */
	struct str pending; /* CONSTRAINT name that waits for its constraint */
	bool item_begins;
	bool after_not, after_on, in_key;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

static bool at_text(const struct reader *r, const char *z)
{
	const size_t n = strlen(z);

	return r->sql.len - r->at >= n && memcmp(r->sql.p + r->at, z, n) == 0;
}

static void skip_past(struct reader *r, const char *end)
{
	while (r->at < r->sql.len && !at_text(r, end))
		r->at++;
	r->at = r->at < r->sql.len ? r->at + strlen(end) : r->sql.len;
}

static void skip_blank(struct reader *r)
{
	for (;;) {
		if (r->at < r->sql.len && is_space(r->sql.p[r->at]))
			r->at++;
		else if (at_text(r, "--"))
			skip_past(r, "\n");
		else if (at_text(r, "/*"))
			skip_past(r, "*/");
		else
			return;
	}
}

/* From the opening quote to the closing one; a doubled one is part of it. */
static void skip_quoted(struct reader *r, char end)
{
	for (r->at++; r->at < r->sql.len; r->at++) {
		if (r->sql.p[r->at] != end)
			continue;
		if (end != ']' && r->at + 1 < r->sql.len && r->sql.p[r->at + 1] == end) {
			r->at++;
			continue;
		}
		r->at++;
		return;
	}
}

static void next(struct reader *r)
{
	size_t from;
	char c;

	skip_blank(r);
	from = r->at;
	if (from >= r->sql.len) {
		r->now = (struct token){TOKEN_END, str_n(r->sql.p + r->sql.len, 0)};
		return;
	}
	c = r->sql.p[from];
	if (c == '"' || c == '`' || c == '[' || c == '\'') {
		skip_quoted(r, c == '[' ? ']' : c);
		r->now.kind = c == '\'' ? TOKEN_TEXT : TOKEN_NAME;
	} else if (is_word(c)) {
		while (r->at < r->sql.len && is_word(r->sql.p[r->at]))
			r->at++;
		r->now.kind = TOKEN_WORD;
	} else {
		r->at++;
		r->now.kind = TOKEN_SIGN;
	}
	r->now.text = str_n(r->sql.p + from, r->at - from);
}

static bool is(const struct reader *r, const char *word)
{
	return r->now.kind == TOKEN_WORD && str_ieq_z(r->now.text, word);
}

static bool sign(const struct reader *r, char c)
{
	return r->now.kind == TOKEN_SIGN && r->now.text.p[0] == c;
}

/* The name that the token spells, without quotes. */
static struct str name_of(const struct reader *r)
{
	const struct str t = r->now.text;
	char *out = arena_alloc(r->arena, t.len + 1);
	size_t n = 0;

	if (r->now.kind == TOKEN_WORD || t.len < 2)
		return arena_str(r->arena, t);
	for (size_t i = 1; i + 1 < t.len; i++) {
		out[n++] = t.p[i];
		if (t.p[0] != '[' && t.p[i] == t.p[0] && i + 2 < t.len && t.p[i + 1] == t.p[0])
			i++;
	}
	return str_n(out, n);
}

static void peculiar(struct reader *r, const char *what)
{
	if (r->out->peculiar == NULL)
		r->out->peculiar = what;
}

/* The token is the opening parenthesis; goes past its partner and gives what is between them. */
static struct str parenthesised(struct reader *r)
{
	const size_t from = r->at;
	size_t depth = 1, to = from;

	while (depth > 0 && r->now.kind != TOKEN_END) {
		next(r);
		to = (size_t)(r->now.text.p - r->sql.p);
		depth += sign(r, '(');
		depth -= sign(r, ')');
	}
	next(r);
	return str_trim(str_n(r->sql.p + from, to - from));
}

static void add_check(struct reader *r)
{
	struct table_text *t = r->out;

	next(r);
	if (!sign(r, '('))
		return;
	t->checks = catalog_more(r->arena, t->checks, t->n_checks, sizeof(*t->checks));
	t->checks[t->n_checks++] =
		(struct live_check){.name = r->pending, .expression = arena_str(r->arena, parenthesised(r))};
	r->pending = STR_NONE;
}

static void add_fk(struct reader *r)
{
	struct table_text *t = r->out;

	t->fk_names = catalog_more(r->arena, t->fk_names, t->n_fk_names, sizeof(*t->fk_names));
	t->fk_names[t->n_fk_names++] = r->pending;
	r->pending = STR_NONE;
	next(r);
}

static bool begins_constraint(const struct reader *r)
{
	return is(r, "CONSTRAINT") || is(r, "PRIMARY") || is(r, "UNIQUE") || is(r, "CHECK") || is(r, "FOREIGN");
}

static void read_constraint_name(struct reader *r)
{
	next(r);
	r->pending = name_of(r);
	next(r);
}

/* AS (expression), of a generated column. */
static void add_generated(struct reader *r)
{
	struct table_text *t = r->out;

	next(r);
	if (!sign(r, '('))
		return;
	t->generated = catalog_more(r->arena, t->generated, t->n_generated, sizeof(*t->generated));
	t->generated[t->n_generated].column = r->column;
	t->generated[t->n_generated++].expression = arena_str(r->arena, parenthesised(r));
}

/* A default: an expression whose words say nothing about the table. */
static void skip_value(struct reader *r)
{
	next(r);
	if (sign(r, '('))
		(void)parenthesised(r);
	else if (r->now.kind != TOKEN_END)
		next(r);
}

/* One word inside the body. */
static void read_word(struct reader *r)
{
	const bool after_not = r->after_not, after_on = r->after_on;

	r->after_not = is(r, "NOT");
	r->after_on = is(r, "ON");
	if (is(r, "PRIMARY"))
		r->in_key = true;
	if (is(r, "CHECK")) {
		add_check(r);
		return;
	}
	if (is(r, "REFERENCES")) {
		add_fk(r);
		return;
	}
	if (is(r, "CONSTRAINT")) {
		read_constraint_name(r);
		return;
	}
	if (is(r, "DEFAULT")) {
		skip_value(r);
		return;
	}
	if (is(r, "AS")) {
		add_generated(r);
		return;
	}
	if (is(r, "PRIMARY") || is(r, "UNIQUE") || is(r, "NOT") || is(r, "COLLATE"))
		r->pending = STR_NONE;
	if (is(r, "AUTOINCREMENT"))
		r->out->autoincrement = r->column;
	else if (is(r, "COLLATE"))
		peculiar(r, "a COLLATE clause");
	else if ((is(r, "DEFERRABLE") && !after_not) || is(r, "INITIALLY"))
		peculiar(r, "a deferrable foreign key");
	else if (is(r, "CONFLICT") && after_on)
		peculiar(r, "an ON CONFLICT clause");
	else if (is(r, "DESC") && r->in_key)
		peculiar(r, "a descending primary key");
	next(r);
}

/* The first token of a definition. */
static void begin_item(struct reader *r)
{
	r->item_begins = false;
	r->pending = STR_NONE;
	r->column = STR_NONE;
	r->after_not = r->after_on = r->in_key = false;
	if (begins_constraint(r))
		return;
	r->column = name_of(r);
	next(r);
}

static void read_body(struct reader *r)
{
	r->depth = 1;
	r->item_begins = true;
	next(r);
	while (r->depth > 0 && r->now.kind != TOKEN_END) {
		if (r->item_begins) {
			begin_item(r);
			continue;
		}
		if (r->now.kind == TOKEN_WORD) {
			read_word(r);
			continue;
		}
		r->depth += sign(r, '(');
		r->depth -= sign(r, ')');
		r->item_begins = r->depth == 1 && sign(r, ',');
		next(r);
	}
}

void table_text_read(struct arena *a, struct str sql, struct table_text *ret)
{
	struct reader r = {.arena = a, .sql = sql, .out = ret};

	*ret = (struct table_text){0};
	do
		next(&r);
	while (r.now.kind != TOKEN_END && !sign(&r, '('));
	read_body(&r);
	for (; r.now.kind != TOKEN_END; next(&r)) {
		if (is(&r, "WITHOUT"))
			peculiar(&r, "WITHOUT ROWID");
		else if (is(&r, "STRICT"))
			peculiar(&r, "STRICT");
	}
}
