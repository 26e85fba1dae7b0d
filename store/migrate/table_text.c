/*
 * A reader of CREATE TABLE that knows SQLite's tokens and parentheses and the words that begin a constraint. SQLite has
 * parsed the text before, so that nothing here has to judge it.
 */
#include "store/migrate/table_text.h"

#include <string.h>

#include "service/base/banned.h"

enum token_kind { TOKEN_WORD, TOKEN_NAME /* quoted */, TOKEN_TEXT, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	size_t from, to;
	size_t depth; /* of parentheses around it; of a parenthesis: that outside */
};

struct reader {
	struct arena *arena;   /* of what is handed out */
	struct arena *scratch; /* of the tokens */
	struct str sql;
	struct token *tokens;
	size_t n;
	struct table_text *out;
};

/* ---- tokens ------------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

static bool at_text(struct str sql, size_t at, const char *z)
{
	const size_t n = strlen(z);

	return sql.len - at >= n && memcmp(sql.p + at, z, n) == 0;
}

static size_t past(struct str sql, size_t at, const char *end)
{
	while (at < sql.len && !at_text(sql, at, end))
		at++;
	return at < sql.len ? at + strlen(end) : sql.len;
}

static size_t past_blank(struct str sql, size_t at)
{
	for (;;) {
		if (at < sql.len && is_space(sql.p[at]))
			at++;
		else if (at < sql.len && at_text(sql, at, "--"))
			at = past(sql, at, "\n");
		else if (at < sql.len && at_text(sql, at, "/*"))
			at = past(sql, at, "*/");
		else
			return at;
	}
}

/* From the opening quote to behind the closing one; a doubled one is part of it. */
static size_t past_quoted(struct str sql, size_t at, char end)
{
	for (at++; at < sql.len; at++) {
		if (sql.p[at] != end)
			continue;
		if (end == ']' || at + 1 >= sql.len || sql.p[at + 1] != end)
			return at + 1;
		at++;
	}
	return sql.len;
}

static void read_tokens(struct reader *r)
{
	const struct str sql = r->sql;
	size_t depth = 0, size = 0;

	for (size_t at = past_blank(sql, 0); at < sql.len; at = past_blank(sql, at)) {
		const char c = sql.p[at];
		struct token *t;

		if (r->n == size) {
			struct token *wider =
				arena_array(r->scratch, size = size == 0 ? 256 : 2 * size, sizeof(*wider));

			if (r->n > 0)
				memcpy(wider, r->tokens, r->n * sizeof(*wider));
			r->tokens = wider;
		}
		t = &r->tokens[r->n++];
		*t = (struct token){.kind = TOKEN_SIGN, .from = at, .depth = depth};
		if (c == '"' || c == '`' || c == '[' || c == '\'') {
			at = past_quoted(sql, at, c == '[' ? ']' : c);
			t->kind = c == '\'' ? TOKEN_TEXT : TOKEN_NAME;
		} else if (is_word(c)) {
			while (at < sql.len && is_word(sql.p[at]))
				at++;
			t->kind = TOKEN_WORD;
		} else {
			at++;
			if (c == '(')
				depth++;
			else if (c == ')' && depth > 0)
				t->depth = --depth;
		}
		t->to = at;
	}
}

static struct str text_of(const struct reader *r, size_t i)
{
	return str_n(r->sql.p + r->tokens[i].from, r->tokens[i].to - r->tokens[i].from);
}

static bool is(const struct reader *r, size_t i, const char *word)
{
	return i < r->n && r->tokens[i].kind == TOKEN_WORD && str_ieq_z(text_of(r, i), word);
}

static bool sign(const struct reader *r, size_t i, char c)
{
	return i < r->n && r->tokens[i].kind == TOKEN_SIGN && r->sql.p[r->tokens[i].from] == c;
}

/* The name that the token spells, without quotes. */
static struct str name_of(const struct reader *r, size_t i)
{
	const struct str t = i < r->n ? text_of(r, i) : STR("");
	char *out = arena_alloc(r->arena, t.len + 1);
	size_t n = 0;

	if (t.len < 2 || r->tokens[i].kind == TOKEN_WORD || r->tokens[i].kind == TOKEN_SIGN)
		return arena_str(r->arena, t);
	for (size_t k = 1; k + 1 < t.len; k++) {
		out[n++] = t.p[k];
		if (t.p[0] != '[' && t.p[k] == t.p[0] && k + 2 < t.len && t.p[k + 1] == t.p[0])
			k++;
	}
	return str_n(out, n);
}

/* i is an opening parenthesis: its partner, or the end. */
static size_t partner(const struct reader *r, size_t i, size_t end)
{
	const size_t depth = r->tokens[i].depth;

	for (i++; i < end && !(sign(r, i, ')') && r->tokens[i].depth == depth);)
		i++;
	return i;
}

/* ---- constraints ------------------------------------------------------------------------------------- */

/* Whether a constraint begins here, at the body's own depth. */
static bool begins(const struct reader *r, size_t i)
{
	static const char *const words[] = {"CONSTRAINT", "PRIMARY",    "UNIQUE",    "CHECK", "FOREIGN",
					    "COLLATE",    "REFERENCES", "GENERATED", "AS"};

	if (r->tokens[i].depth != 1)
		return false;
	for (size_t k = 0; k < ARRAY_LEN(words); k++)
		if (is(r, i, words[k]))
			return true;
	if (is(r, i, "NOT"))
		return !is(r, i + 1, "DEFERRABLE");
	/* SET NULL, SET DEFAULT are actions of a foreign key */
	return (is(r, i, "NULL") || is(r, i, "DEFAULT")) && !is(r, i - 1, "SET");
}

static enum table_piece_kind kind_at(const struct reader *r, size_t i)
{
	static const struct {
		const char *word;
		enum table_piece_kind kind;
	} words[] = {
		{"PRIMARY", PIECE_PRIMARY_KEY},    {"NOT", PIECE_NOT_NULL},        {"NULL", PIECE_NULL},
		{"UNIQUE", PIECE_UNIQUE},          {"CHECK", PIECE_CHECK},         {"DEFAULT", PIECE_DEFAULT},
		{"COLLATE", PIECE_COLLATE},        {"GENERATED", PIECE_GENERATED}, {"AS", PIECE_GENERATED},
		{"REFERENCES", PIECE_FOREIGN_KEY}, {"FOREIGN", PIECE_FOREIGN_KEY},
	};

	for (size_t k = 0; k < ARRAY_LEN(words); k++)
		if (is(r, i, words[k].word))
			return words[k].kind;
	return PIECE_OTHER;
}

/* Where the constraint that begins at i ends. Its own first words begin none. */
static size_t piece_end(const struct reader *r, size_t i, enum table_piece_kind kind, size_t end)
{
	switch (kind) {
	case PIECE_DEFAULT:
		i++;
		if (sign(r, i, '+') || sign(r, i, '-'))
			i++;
		i = sign(r, i, '(') ? partner(r, i, end) + 1 : i + 1;
		break;
	case PIECE_NOT_NULL:
		i += 2;
		break;
	case PIECE_COLLATE:
		return i + 2 < end ? i + 2 : end;
	case PIECE_GENERATED:
		while (i < end && !sign(r, i, '('))
			i++;
		i = i < end ? partner(r, i, end) + 1 : end;
		break;
	case PIECE_FOREIGN_KEY:
		while (i < end && !is(r, i, "REFERENCES"))
			i++;
		i++;
		break;
	case PIECE_PRIMARY_KEY:
	case PIECE_NULL:
	case PIECE_UNIQUE:
	case PIECE_CHECK:
	case PIECE_OTHER:
		i++;
		break;
	}
	while (i < end && !begins(r, i))
		i++;
	return i < end ? i : end;
}

/* The first word of each entry of the first list of the piece. */
static void read_list(struct reader *r, struct table_piece *p, size_t i, size_t end)
{
	struct str *columns;
	size_t close;
	bool first = true;

	while (i < end && !sign(r, i, '('))
		i++;
	if (i >= end)
		return;
	close = partner(r, i, end);
	columns = arena_array(r->arena, close - i, sizeof(*columns));
	for (i++; i < close; i++) {
		if (r->tokens[i].depth == 2 && sign(r, i, ',')) {
			first = true;
			continue;
		}
		if (first)
			columns[p->n_columns++] = name_of(r, i);
		first = false;
		p->descending = p->descending || is(r, i, "DESC");
	}
	p->columns = columns;
}

static void read_expression(const struct reader *r, struct table_piece *p, size_t i, size_t end)
{
	while (i < end && !sign(r, i, '('))
		i++;
	if (i < end) {
		const size_t close = partner(r, i, end), from = r->tokens[i].to;
		const size_t to = close < r->n ? r->tokens[close].from : r->sql.len;

		p->expression = str_trim(str_n(r->sql.p + from, to - from));
	}
}

static size_t read_piece(struct reader *r, size_t item, size_t at, size_t end)
{
	struct table_text *t = r->out;
	struct table_piece *p = &t->pieces[t->n_pieces++];
	const struct str column = t->items[item].column;
	size_t i = at;

	*p = (struct table_piece){.item = item, .kind = PIECE_OTHER};
	if (is(r, i, "CONSTRAINT")) {
		p->name = name_of(r, i + 1);
		i += 2;
	}
	if (i < end)
		p->kind = kind_at(r, i);
	const size_t stop = piece_end(r, i, p->kind, end);

	p->span = (struct text_span){r->tokens[at].from, r->tokens[stop - 1].to};
	if (p->kind == PIECE_CHECK || p->kind == PIECE_GENERATED)
		read_expression(r, p, i, stop);
	else if (p->kind == PIECE_COLLATE)
		p->expression = name_of(r, i + 1);
	else if (column.p == NULL)
		read_list(r, p, i, stop);
	for (; i < stop; i++) {
		if (r->tokens[i].depth != 1)
			continue;
		p->autoincrement = p->autoincrement || is(r, i, "AUTOINCREMENT");
		p->deferrable = p->deferrable || (is(r, i, "DEFERRABLE") && !is(r, i - 1, "NOT"));
		p->deferred = p->deferred || (is(r, i, "DEFERRED") && is(r, i - 1, "INITIALLY"));
		p->conflict = p->conflict || (is(r, i, "CONFLICT") && is(r, i - 1, "ON"));
		p->descending = p->descending || (is(r, i, "DESC") && p->kind == PIECE_PRIMARY_KEY);
	}
	if (column.p != NULL) {
		p->columns = &t->items[item].column;
		p->n_columns = 1;
	}
	return stop;
}

/* ---- the body ---------------------------------------------------------------------------------------- */

static bool is_constraint_item(const struct reader *r, size_t i)
{
	return is(r, i, "CONSTRAINT") || is(r, i, "PRIMARY") || is(r, i, "UNIQUE") || is(r, i, "CHECK") ||
	       is(r, i, "FOREIGN");
}

static void read_item(struct reader *r, size_t at, size_t end)
{
	struct table_text *t = r->out;
	const size_t number = t->n_items++;
	struct table_item *item = &t->items[number];
	size_t i = at;

	*item = (struct table_item){.span = {r->tokens[at].from, r->tokens[end - 1].to}};
	if (!is_constraint_item(r, at)) {
		item->column = name_of(r, at);
		for (i++; i < end && !begins(r, i);)
			i++;
		item->type = i > at + 1 ? (struct text_span){r->tokens[at + 1].from, r->tokens[i - 1].to}
					: (struct text_span){r->tokens[at].to, r->tokens[at].to};
	}
	while (i < end)
		i = read_piece(r, number, i, end);
}

static void read_body(struct reader *r)
{
	struct table_text *t = r->out;
	size_t open = 0, close, from;

	read_tokens(r);
	while (open < r->n && !sign(r, open, '('))
		open++;
	if (open >= r->n)
		return;
	close = partner(r, open, r->n);
	t->items = arena_array(r->arena, close - open + 1, sizeof(*t->items));
	t->pieces = arena_array(r->arena, close - open + 1, sizeof(*t->pieces));
	from = open + 1;
	for (size_t i = open + 1; i <= close && i < r->n; i++) {
		if (i < close && !(r->tokens[i].depth == 1 && sign(r, i, ',')))
			continue;
		if (i > from)
			read_item(r, from, i);
		from = i + 1;
	}
	for (size_t i = close; i < r->n; i++) {
		t->without_rowid = t->without_rowid || is(r, i, "WITHOUT");
		t->strict = t->strict || is(r, i, "STRICT");
	}
}

void table_text_read(struct arena *a, struct str sql, struct table_text *ret)
{
	struct arena scratch;
	struct reader r = {.arena = a, .scratch = &scratch, .sql = sql, .out = ret};

	*ret = (struct table_text){.sql = sql};
	arena_init(&scratch);
	read_body(&r);
	arena_done(&scratch);
}

enum trigger_event sqlite_trigger_event(struct str sql)
{
	static const char *const words[] = {
		[TRIGGER_INSERT] = "INSERT", [TRIGGER_UPDATE] = "UPDATE", [TRIGGER_DELETE] = "DELETE"};
	struct arena scratch;
	struct reader r = {.arena = &scratch, .scratch = &scratch, .sql = sql};
	size_t event = TRIGGER_INSERT;
	bool found = false;

	arena_init(&scratch);
	read_tokens(&r);
	/* CREATE TRIGGER name: the event is the first of the words behind them */
	for (size_t i = 2; i < r.n && !found; i++)
		for (size_t k = 0; k < ARRAY_LEN(words) && !found; k++)
			if (is(&r, i, words[k])) {
				event = k;
				found = true;
			}
	arena_done(&scratch);
	return (enum trigger_event)event;
}

bool sqlite_text_names(struct str text, struct str name)
{
	struct arena scratch;
	struct reader r = {.arena = &scratch, .scratch = &scratch, .sql = text};
	bool found = false;

	arena_init(&scratch);
	read_tokens(&r);
	for (size_t i = 0; i < r.n && !found; i++)
		found = (r.tokens[i].kind == TOKEN_WORD || r.tokens[i].kind == TOKEN_NAME) &&
			live_name_eq(&dialect_sqlite, name_of(&r, i), name);
	arena_done(&scratch);
	return found;
}

bool table_piece_has(const struct table_piece *p, struct str column)
{
	for (size_t i = 0; i < p->n_columns; i++)
		if (live_name_eq(&dialect_sqlite, p->columns[i], column))
			return true;
	return false;
}
