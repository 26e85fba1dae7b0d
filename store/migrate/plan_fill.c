/* See plan_fill.h. */
#include "store/migrate/plan_fill.h"

#include <string.h>

#include "store/ddl/ddl.h"
#include "store/migrate/live_literal.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* ---- comparing expressions ---------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (c & 0x80) != 0;
}

/* Behind the quoted text or name that begins at i. */
static size_t skip_quoted(struct str s, size_t i)
{
	const char quote = s.p[i++];

	while (i < s.len) {
		if (s.p[i++] != quote)
			continue;
		if (i == s.len || s.p[i] != quote)
			break;
		i++;
	}
	return i;
}

static size_t skip_blanks(struct str s, size_t i)
{
	while (i < s.len && memchr(" \t\r\n\f", s.p[i], 5) != NULL)
		i++;
	return i;
}

static bool word_at(struct str s, size_t i, const char *word, size_t *ret_end)
{
	const size_t n = strlen(word);

	*ret_end = i + n;
	return s.len - i >= n && str_ieq_z(str_n(s.p + i, n), word) && (i + n == s.len || !is_word(s.p[i + n]));
}

/* Behind the type's name that begins at i: its words, schema, modifier and brackets. */
static size_t skip_type(struct str s, size_t i)
{
	static const char *const second[] = {"precision", "varying", "without", "with", "time", "zone"};
	bool more = true;

	i = skip_blanks(s, i);
	while (i < s.len && (is_word(s.p[i]) || s.p[i] == '.' || s.p[i] == '"'))
		i = s.p[i] == '"' ? skip_quoted(s, i) : i + 1;
	while (more) {
		const size_t at = skip_blanks(s, i);
		size_t end;

		more = false;
		if (at < s.len && s.p[at] == '(') {
			while (i < s.len && s.p[i++] != ')')
				;
			more = i < s.len;
		}
		for (size_t k = 0; !more && at < s.len && k < ARRAY_LEN(second); k++)
			if (word_at(s, at, second[k], &end)) {
				i = end;
				more = true;
			}
	}
	while (i < s.len && (s.p[i] == '[' || s.p[i] == ']'))
		i++;
	return i;
}

/* The text without blanks, casts and cases, but for what is quoted; words stay apart. */
static void bring(struct str s, struct strbuf *out)
{
	for (size_t i = skip_blanks(s, 0); i < s.len; i = skip_blanks(s, i)) {
		const char c = s.p[i];
		size_t end;

		if (c == '\'' || c == '"') {
			end = skip_quoted(s, i);
			strbuf_put(out, str_n(s.p + i, end - i));
			i = end;
		} else if (c == ':' && i + 1 < s.len && s.p[i + 1] == ':') {
			i = skip_type(s, i + 2);
		} else if (word_at(s, i, "pg_catalog", &end) && end < s.len && s.p[end] == '.') {
			i = end + 1;
		} else if (is_word(c)) {
			for (strbuf_putc(out, ' '); i < s.len && is_word(s.p[i]); i++)
				strbuf_putc(out, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i]);
			strbuf_putc(out, ' ');
		} else {
			strbuf_putc(out, c);
			i++;
		}
	}
}

/* Does the parenthesis that the text begins with end it? */
static bool enclosed(struct str s)
{
	size_t depth = 0;

	if (s.len < 2 || s.p[0] != '(')
		return false;
	for (size_t i = 0; i < s.len;) {
		if (s.p[i] == '\'' || s.p[i] == '"') {
			i = skip_quoted(s, i);
			continue;
		}
		depth += s.p[i] == '(';
		depth -= s.p[i] == ')';
		if (depth == 0)
			return i + 1 == s.len;
		i++;
	}
	return false;
}

/* A number in quotes is that number: '-1'::integer is how PostgreSQL keeps -1. */
static struct str bare(struct str s)
{
	for (s = str_trim(s); enclosed(s);)
		s = str_trim(str_n(s.p + 1, s.len - 2));
	if (s.len > 2 && s.p[0] == '\'' && skip_quoted(s, 0) == s.len && s.p[1] == '-')
		return str_n(s.p + 1, s.len - 2);
	return s;
}

/* The form in which two texts are compared: brought twice, for what casts were around. */
static void form(struct str s, struct strbuf *ret)
{
	struct strbuf once;

	strbuf_init(ret, 0);
	strbuf_init(&once, 0);
	bring(s, &once);
	bring(bare(strbuf_str(&once)), ret);
	strbuf_done(&once);
}

/* No default is NULL, to both databases. */
static bool is_null(struct str sql)
{
	struct literal l;

	return sql.p == NULL || (literal_read(sql, &l) && l.kind == LITERAL_NULL);
}

bool plan_same_sql(struct str x, struct str y)
{
	struct strbuf one, other;
	bool same;

	if (x.p == NULL || y.p == NULL)
		return is_null(x) && is_null(y);
	form(x, &one);
	form(y, &other);
	same = !strbuf_failed(&one) && !strbuf_failed(&other) && str_eq(strbuf_str(&one), strbuf_str(&other));
	strbuf_done(&one);
	strbuf_done(&other);
	return same;
}

/* ---- differences -------------------------------------------------------------------------------------- */

/* Is it the model's business what the column's default is? */
static bool says_default(const struct table_pair *tp, const struct column *c)
{
	return c->fill.generated == GENERATED_NOT && c->fill.default_sql.p != NULL && !ddl_column_serial(tp->m, c);
}

bool plan_default_differs(const struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live)
{
	return pl->d->id == DIALECT_SQLITE && says_default(tp, c) && !live->generated && !live->autoincrement &&
	       !plan_same_sql(c->fill.default_sql, live->default_text);
}

static void alter(struct planner *pl, const struct table_pair *tp, const struct column *c, const char *what)
{
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_puts(&pl->b, " ALTER COLUMN ");
	dialect_quote_ident(&pl->b, c->name);
	strbuf_puts(&pl->b, what);
}

/* Is the column's type one whose name can be written as it is, and that runs nothing of its owner's on a value? */
static bool is_plain_type(const struct live_column *live)
{
	return !live->native_enum &&
	       (live->made_of == NULL || live->made_of->kind == 'a' || live->made_of->kind == 'b');
}

static void put_value(struct planner *pl, const struct live_column *live, struct str literal)
{
	strbuf_puts(&pl->b, "CAST(CAST((");
	strbuf_put(&pl->b, literal);
	strbuf_puts(&pl->b, ") AS ");
	strbuf_put(&pl->b, live->type);
	strbuf_puts(&pl->b, ") AS pg_catalog.text)");
}

/* PostgreSQL keeps a literal as the value that it is of the column's type: '2026-01-01' of a timestamp is '2026-01-01
 * 00:00:00' from then on. Only it knows whether two are one; until it was asked, they are not. */
static bool same_value(struct planner *pl, const struct table_pair *tp, const struct column *c,
		       const struct live_column *live)
{
	struct plan_probe p = {
		.of_default = true, .schema_name = tp->t->schema_name, .table = tp->t->name, .column = live->name};
	const char *why;

	if (live->default_same >= 0)
		return live->default_same > 0;
	if (live->default_text.p == NULL || !is_plain_type(live) || !schema_sql_literal(c->fill.default_sql) ||
	    !schema_sql_literal(live->default_text) ||
	    !schema_sql_expression(DIALECT_POSTGRES, c->fill.default_sql, &why) ||
	    !schema_sql_expression(DIALECT_POSTGRES, live->default_text, &why))
		return false;
	strbuf_puts(&pl->b, "SELECT CAST(CASE WHEN ");
	put_value(pl, live, c->fill.default_sql);
	strbuf_puts(&pl->b, " IS NOT DISTINCT FROM ");
	put_value(pl, live, live->default_text);
	strbuf_puts(&pl->b, " THEN 1 ELSE 0 END AS pg_catalog.int8)");
	p.query = arena_str(pl->a, strbuf_str(&pl->b));
	strbuf_reset(&pl->b);
	planner_probe(pl, &p);
	return false;
}

static void plan_default(struct planner *pl, const struct table_pair *tp, const struct column *c,
			 const struct live_column *live)
{
	const char *why;

	if (pl->d->id == DIALECT_SQLITE) {
		if (plan_default_differs(pl, tp, c, live))
			planner_warn(pl, "default_drift", tp->m->table, c->name,
				     "has the default %.*s in the database and %.*s in the model: SQLite cannot change "
				     "that in place; migrate with rebuild",
				     STR_FMT(live->default_text.p != NULL ? live->default_text : STR("NULL")),
				     STR_FMT(c->fill.default_sql));
		return;
	}
	if (live->generated || live->identity || plan_same_sql(c->fill.default_sql, live->default_text) ||
	    same_value(pl, tp, c, live))
		return;
	if (!schema_sql_expression(pl->d->id, c->fill.default_sql, &why)) {
		planner_warn(pl, "default_drift", tp->m->table, c->name,
			     "has another default in the database, and the model's is no expression here: %s", why);
		return;
	}
	alter(pl, tp, c, " SET DEFAULT ");
	strbuf_put(&pl->b, c->fill.default_sql);
	(void)planner_emit(pl, CHANGE_SET_DEFAULT, tp->m->table, c->name);
}

static const char *identity_words(enum column_generated g)
{
	return g == GENERATED_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT";
}

static void plan_identity(struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live)
{
	const bool always = c->fill.generated == GENERATED_IDENTITY_ALWAYS;

	if (live->identity && live->identity_always == always)
		return;
	if (live->identity) {
		alter(pl, tp, c, " SET GENERATED ");
		strbuf_puts(&pl->b, identity_words(c->fill.generated));
	} else {
		planner_warn(pl, "identity_drift", tp->m->table, c->name,
			     "is an identity (%s) in the model and none in the database: it is not made one unasked, "
			     "for it would count from 1 whatever rows there are; do that with SQL of your own",
			     identity_words(c->fill.generated));
		return;
	}
	(void)planner_emit(pl, CHANGE_SET_IDENTITY, tp->m->table, c->name);
}

static void plan_generated(struct planner *pl, const struct table_pair *tp, const struct column *c,
			   const struct live_column *live)
{
	const bool want = c->fill.generated == GENERATED_ALWAYS;

	if (want != live->generated)
		planner_warn(
			pl, "generated_drift", tp->m->table, c->name,
			want ? "is computed in the model and an ordinary column in the database: it cannot be made "
			       "one in place; drop it and let it be added, or change the model"
			     : "is computed by the database, which refuses the values that the model allows: "
			       "declare it as \"generated\": \"always\"");
	else if (want && c->fill.default_sql.p != NULL && live->generation.p != NULL &&
		 !plan_same_sql(c->fill.default_sql, live->generation))
		planner_warn(pl, "generated_drift", tp->m->table, c->name,
			     "is computed as %.*s in the database and as %.*s in the model: that cannot be changed in "
			     "place; drop it and let it be added, or change the model",
			     STR_FMT(live->generation), STR_FMT(c->fill.default_sql));
	else if (want && c->fill.default_sql.p != NULL && c->fill.computed_on_read != live->generated_virtual)
		planner_warn(pl, "generated_drift", tp->m->table, c->name,
			     "is %s in the database and %s in the model: that cannot be changed in place",
			     live->generated_virtual ? "computed when it is read" : "stored",
			     c->fill.computed_on_read ? "computed when it is read" : "stored");
}

void plan_fill(struct planner *pl, const struct table_pair *tp, const struct column *c, const struct live_column *live)
{
	const enum column_generated g = c->fill.generated;

	if (g == GENERATED_ALWAYS || (live->generated && !c->fill.read_only))
		plan_generated(pl, tp, c, live);
	else if (pl->d->id == DIALECT_POSTGRES && g != GENERATED_NOT)
		plan_identity(pl, tp, c, live);
	else if (says_default(tp, c))
		plan_default(pl, tp, c, live);
}

struct str plan_fill_clause(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	struct strbuf b;
	struct str clause;
	struct err ignored;

	strbuf_init(&b, 0);
	if (!ddl_column_fill(pl->d, tp->m, c, &b, &ignored))
		strbuf_reset(&b);
	clause = arena_str(pl->a, strbuf_str(&b));
	strbuf_done(&b);
	return clause;
}
