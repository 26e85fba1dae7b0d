/* The conditions of lists, a subset of PostgREST's grammar. */
#include "handlers/records/list_condition.h"

#include <string.h>

#include "service/base/json.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

static const struct op_word {
	const char *word;
	enum query_op op, negated; /* negated == op: NOT around the leaf */
} ops[] = {
	{"eq", OP_EQ, OP_EQ},
	{"neq", OP_NE, OP_NE},
	{"gt", OP_GT, OP_GT},
	{"gte", OP_GE, OP_GE},
	{"lt", OP_LT, OP_LT},
	{"lte", OP_LE, OP_LE},
	{"like", OP_LIKE, OP_NOT_LIKE},
	{"ilike", OP_ILIKE, OP_NOT_ILIKE},
	{"match", OP_REGEX, OP_REGEX},
	{"imatch", OP_IREGEX, OP_IREGEX},
	{"in", OP_IN, OP_NOT_IN},
	{"isdistinct", OP_DISTINCT, OP_NOT_DISTINCT},
	{"cs", OP_CONTAINS, OP_CONTAINS},
	{"cd", OP_CONTAINED, OP_CONTAINED},
	{"ov", OP_OVERLAP, OP_OVERLAP},
	{"sl", OP_LEFT_OF, OP_LEFT_OF},
	{"sr", OP_RIGHT_OF, OP_RIGHT_OF},
	{"nxl", OP_NOT_LEFT, OP_NOT_LEFT},
	{"nxr", OP_NOT_RIGHT, OP_NOT_RIGHT},
	{"adj", OP_ADJACENT, OP_ADJACENT},
	{"fts", OP_MATCH, OP_MATCH},
	{"plfts", OP_MATCH, OP_MATCH},
	{"phfts", OP_MATCH, OP_MATCH},
	{"wfts", OP_MATCH, OP_MATCH},
	{"is", OP_IS_NULL, OP_IS_NULL},
};

bool url_malformed(const struct url_filter *f, const char *why)
{
	return err_set(f->err, ERR_INVALID_PARAMETERS, "the query argument \"%.*s\": %s",
		       (int)(f->name.len < 100 ? f->name.len : 100), f->name.p, why);
}

bool url_refused(const struct url_filter *f)
{
	if (f->err->code == ERR_INVALID_QUERY) {
		struct str detail = arena_str(f->arena, str_z(f->err->detail));
		return url_malformed(f, detail.p);
	}
	if (f->err->code == ERR_UNKNOWN_COLUMN)
		f->err->has_pointer = false;
	return false;
}

bool url_reference(const struct url_filter *f, struct str text, const struct query_expr **ret)
{
	return query_ref_from_text(f->arena, f->q, f->model, text, "", ret, f->err) || url_refused(f);
}

/* ---- cutting ---- */

bool url_part(struct str *text, struct str *ret)
{
	size_t i = 0;
	int depth = 0;
	bool quoted = false;
	if (text->p == NULL)
		return false;
	for (; i < text->len && (quoted || depth > 0 || text->p[i] != ','); i++) {
		const char c = text->p[i];
		if (quoted && c == '\\' && i + 1 < text->len)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '(' || c == '{' || c == '['))
			depth++;
		else if (!quoted && depth > 0 && (c == ')' || c == '}' || c == ']'))
			depth--;
	}
	*ret = str_n(text->p, i);
	*text = i < text->len ? str_n(text->p + i + 1, text->len - i - 1) : STR_NONE;
	return true;
}

bool url_call(struct str text, struct str *ret_name, struct str *ret_inner)
{
	const char *open = text.len > 1 ? memchr(text.p, '(', text.len) : NULL;
	if (open == NULL || text.p[text.len - 1] != ')')
		return false;
	*ret_name = str_n(text.p, (size_t)(open - text.p));
	*ret_inner = str_n(open + 1, text.len - ret_name->len - 2);
	return true;
}

/* One element: a,"b,c" without its quotes. false: malformed. */
static bool unquote(struct arena *a, struct str text, struct str *ret)
{
	if (text.len == 0 || text.p[0] != '"') {
		*ret = text;
		return true;
	}
	char *out = arena_alloc(a, text.len);
	size_t n = 0, i = 1;
	for (; i < text.len && text.p[i] != '"'; i++) {
		if (text.p[i] == '\\' && i + 1 < text.len)
			i++;
		out[n++] = text.p[i];
	}
	*ret = str_n(out, n);
	return i + 1 == text.len;
}

/* (a,"b,c") or {a,b}: the texts. */
static bool read_list(const struct url_filter *f, struct str text, char open, struct str **ret, size_t *ret_n)
{
	const char close = open == '(' ? ')' : '}';
	if (text.len < 2 || text.p[0] != open || text.p[text.len - 1] != close)
		return url_malformed(f, open == '(' ? "in takes a list in parentheses: in.(a,b)"
						    : "a list in braces is needed here: {a,b}");
	text = str_n(text.p + 1, text.len - 2);
	size_t max = 1;
	for (size_t i = 0; i < text.len; i++)
		max += text.p[i] == ',';
	struct str *list = arena_array(f->arena, max, sizeof(*list));
	size_t n = 0;
	struct str item;
	if (text.len == 0)
		text = STR_NONE;
	while (text.p != NULL) {
		size_t i = 0;
		bool quoted = text.len > 0 && text.p[0] == '"';
		for (; i < text.len && (text.p[i] != ',' || quoted); i++) {
			if (quoted && text.p[i] == '\\' && i + 1 < text.len)
				i++;
			else if (quoted && i > 0 && text.p[i] == '"')
				quoted = false;
		}
		item = str_n(text.p, i);
		text = i < text.len ? str_n(text.p + i + 1, text.len - i - 1) : STR_NONE;
		if (n == max || !unquote(f->arena, item, &list[n++]))
			return url_malformed(f, "a quoted element of the list is not closed");
	}
	*ret = list;
	*ret_n = n;
	return true;
}

/* ---- leaves ---- */

static struct query_node *around(struct arena *a, enum node_kind kind, const struct query_node *left,
				 const struct query_node *right)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));
	*n = (struct query_node){.kind = kind, .left = left, .right = right};
	return n;
}

static bool leaf(const struct url_filter *f, const struct query_expr *subject, enum query_op op,
		 const struct str *texts, size_t n, const struct query_node **ret)
{
	const char *pointer = json_pointer_key(f->arena, "", f->name);
	return query_leaf_from_text(f->arena, f->q->dialect, subject, op, texts, n, pointer, ret, f->err) ||
	       url_refused(f);
}

/* is.null, is.true, is.false, is.not_null */
static bool is_leaf(const struct url_filter *f, const struct query_expr *e, struct str text, bool negated,
		    const struct query_node **ret)
{
	enum query_op op = OP_EQ;
	if (str_ieq_z(text, "null") || str_ieq_z(text, "unknown"))
		op = negated ? OP_IS_NOT_NULL : OP_IS_NULL;
	else if (str_ieq_z(text, "not_null"))
		op = negated ? OP_IS_NULL : OP_IS_NOT_NULL;
	else if (!str_ieq_z(text, "true") && !str_ieq_z(text, "false"))
		return url_malformed(f, "is takes null, not_null, true or false");
	if (op != OP_EQ)
		return leaf(f, e, op, NULL, 0, ret);
	if (e->type.logical != LT_BOOLEAN)
		return url_malformed(f, "is.true and is.false are for boolean columns");
	struct str word = str_ieq_z(text, "true") ? STR("true") : STR("false");
	if (!leaf(f, e, OP_EQ, &word, 1, ret))
		return false;
	if (negated)
		*ret = around(f->arena, NODE_NOT, *ret, NULL);
	return true;
}

static const struct op_word *find_op(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (str_eq_z(word, ops[i].word))
			return &ops[i];
	}
	return NULL;
}

/* What stands before the value: [not.]word[(modifier)]. */
struct op_text {
	bool negated;
	const struct op_word *op;
	struct str modifier; /* any, all, a text search configuration; STR_NONE: none */
	struct str value;
};

/* false, without an error: the text does not begin with an operator. */
static bool read_op(struct str text, struct op_text *ret)
{
	struct str word, name;
	*ret = (struct op_text){.modifier = STR_NONE};
	ret->negated = str_starts(text, STR("not."));
	if (ret->negated)
		text = str_n(text.p + 4, text.len - 4);
	const char *dot = text.len > 0 ? memchr(text.p, '.', text.len) : NULL;
	if (dot == NULL)
		return false;
	word = str_n(text.p, (size_t)(dot - text.p));
	ret->value = str_n(dot + 1, text.len - word.len - 1);
	if (url_call(word, &name, &ret->modifier))
		word = name;
	ret->op = find_op(word);
	return ret->op != NULL;
}

/* The words of a search: the grammar of to_tsquery is not read as if it were words. */
static bool search_text(const struct url_filter *f, const struct op_text *o, struct str *ret)
{
	*ret = o->value;
	if (str_eq_z(str_z(o->op->word), "phfts")) {
		for (size_t i = 0; i < o->value.len; i++) {
			if (o->value.p[i] == '"')
				return url_malformed(f, "a phrase has no quotes in it");
		}
		*ret = arena_printf(f->arena, "\"%.*s\"", STR_FMT(o->value));
	}
	for (size_t i = 0; str_eq_z(str_z(o->op->word), "fts") && i < o->value.len; i++) {
		if (o->value.p[i] != '\0' && strchr("&|!:<>()", o->value.p[i]) != NULL)
			return url_malformed(f, "fts takes words; wfts knows \"or\", \"-\" and quotes");
	}
	return true;
}

static bool search(const struct url_filter *f, const struct query_expr *e, const struct op_text *o,
		   const struct query_node **ret)
{
	struct str text;
	if (!search_text(f, o, &text) || !leaf(f, e, OP_MATCH, &text, 1, ret))
		return false;
	if (o->modifier.p != NULL && f->q->dialect->id != DIALECT_POSTGRES)
		return url_malformed(f, "a configuration is PostgreSQL's");
	if (o->modifier.p != NULL) {
		struct query_node *n = arena_alloc(f->arena, sizeof(*n));
		*n = **ret;
		if (n->kind != NODE_LEAF)
			return url_malformed(f, "a configuration goes with the record's own columns");
		n->config = o->modifier;
		*ret = n;
	}
	return true;
}

/* op(any).{a,b} and op(all).{a,b} */
static bool each(const struct url_filter *f, const struct query_expr *e, const struct op_text *o,
		 const struct query_node **ret)
{
	const bool any = str_eq_z(o->modifier, "any");
	struct str *texts;
	size_t n;
	if (!any && !str_eq_z(o->modifier, "all"))
		return url_malformed(f, "an operator is followed by (any) or (all)");
	if (o->op->op > OP_ILIKE && o->op->op != OP_REGEX && o->op->op != OP_IREGEX)
		return url_malformed(f, "this operator has neither (any) nor (all)");
	if (!read_list(f, o->value, '{', &texts, &n))
		return false;
	if (n == 0 || n > LIMIT_EXPR_ARGS)
		return url_malformed(f, "the list holds 1 to 100 values");
	for (size_t i = 0; i < n; i++) {
		const struct query_node *one;
		if (!leaf(f, e, o->op->op, &texts[i], 1, &one))
			return false;
		*ret = i == 0 ? one : around(f->arena, any ? NODE_OR : NODE_AND, *ret, one);
	}
	return true;
}

static bool leaf_of(const struct url_filter *f, const struct query_expr *e, const struct op_text *o,
		    const struct query_node **ret)
{
	struct str *texts = arena_alloc(f->arena, sizeof(*texts));
	const enum query_op op = o->negated && o->modifier.p == NULL ? o->op->negated : o->op->op;
	size_t n = 1;
	bool ok;
	*texts = o->value;
	if (o->op->op == OP_IS_NULL)
		return is_leaf(f, e, o->value, o->negated, ret);
	if (o->op->op == OP_MATCH)
		ok = search(f, e, o, ret);
	else if (o->modifier.p != NULL)
		ok = each(f, e, o, ret);
	else
		ok = (o->op->op != OP_IN || read_list(f, o->value, '(', &texts, &n)) && leaf(f, e, op, texts, n, ret);
	if (ok && o->negated && op == o->op->op)
		*ret = around(f->arena, NODE_NOT, *ret, NULL);
	return ok;
}

/* ---- trees ---- */

static bool inner_condition(struct url_filter *f, struct str text, const struct query_node **ret);

/* (a.eq.1,or(b.eq.2,c.eq.3)): each a condition. */
static bool read_conditions(struct url_filter *f, struct str text, const struct query_node ***ret, size_t *ret_n)
{
	size_t max = 1;
	for (size_t i = 0; i < text.len; i++)
		max += text.p[i] == ',';
	const struct query_node **list = arena_array(f->arena, max, sizeof(const struct query_node *));
	size_t n = 0;
	struct str part;
	if (f->depth == LIMIT_PREDICATE_DEPTH)
		return url_malformed(f, "the conditions are nested too deep");
	f->depth++;
	while (url_part(&text, &part)) {
		if (!inner_condition(f, part, &list[n++]))
			return false;
	}
	f->depth--;
	*ret = list;
	*ret_n = n;
	return true;
}

/* or(...), and(...) */
static bool junction(struct url_filter *f, enum node_kind kind, struct str inner, bool negated,
		     const struct query_node **ret)
{
	const struct query_node **list;
	size_t n;
	if (!read_conditions(f, inner, &list, &n))
		return false;
	*ret = list[0];
	for (size_t i = 1; i < n; i++)
		*ret = around(f->arena, kind, *ret, list[i]);
	if (negated)
		*ret = around(f->arena, NODE_NOT, *ret, NULL);
	return true;
}

/* relation!any(...): `spec` is before the parentheses. */
static bool related(struct url_filter *f, struct str spec, struct str inner, bool negated,
		    const struct query_node **ret)
{
	static const char *const words[] = {
		[QUANTIFIER_ANY] = "any", [QUANTIFIER_NONE] = "none", [QUANTIFIER_ALL] = "all"};
	const char *mark = memchr(spec.p, '!', spec.len);
	struct str name = str_n(spec.p, (size_t)(mark - spec.p));
	struct str word = str_n(mark + 1, spec.len - name.len - 1);
	const struct relation *r = model_relation(f->model, name);
	const struct model *here = f->model;
	const struct query_node **list = NULL;
	size_t n = 0, q = 0;
	while (q < ARRAY_LEN(words) && !str_eq_z(word, words[q]))
		q++;
	if (r == NULL || q == ARRAY_LEN(words))
		return url_malformed(f, r == NULL ? "the model has no such relation"
						  : "a relation is followed by !any, !none or !all");
	f->model = r->target;
	if (inner.len > 0 && !read_conditions(f, inner, &list, &n))
		return false;
	f->model = here;
	*ret = query_relation_node(f->arena, r, (enum quantifier)q, list, n);
	if (negated)
		*ret = around(f->arena, NODE_NOT, *ret, NULL);
	return true;
}

static bool is_junction(struct str word, enum node_kind *ret)
{
	*ret = str_eq_z(word, "or") ? NODE_OR : NODE_AND;
	return *ret == NODE_OR || str_eq_z(word, "and");
}

/* column.op.value: the first operator that has a column before it. */
static bool inner_leaf(const struct url_filter *f, struct str text, const struct query_node **ret)
{
	struct op_text o;
	for (size_t i = 1; i + 1 < text.len; i++) {
		const struct query_expr *e;
		struct err ignored;
		if (text.p[i] != '.' || !read_op(str_n(text.p + i + 1, text.len - i - 1), &o))
			continue;
		if (!query_ref_from_text(f->arena, f->q, f->model, str_n(text.p, i), "", &e, &ignored))
			continue;
		if (o.op->op != OP_IN && o.modifier.p == NULL && !unquote(f->arena, o.value, &o.value))
			return url_malformed(f, "a quoted value is not closed");
		return leaf_of(f, e, &o, ret);
	}
	return url_malformed(f, "expected column.operator.value in the list");
}

static bool inner_condition(struct url_filter *f, struct str text, const struct query_node **ret)
{
	const bool negated = str_starts(text, STR("not."));
	struct str plain = negated ? str_n(text.p + 4, text.len - 4) : text;
	enum node_kind kind;
	struct str name, inner;
	if (url_call(plain, &name, &inner) && is_junction(name, &kind))
		return junction(f, kind, inner, negated, ret);
	if (url_call(plain, &name, &inner) && memchr(name.p, '!', name.len) != NULL &&
	    memchr(name.p, '.', name.len) == NULL)
		return related(f, name, inner, negated, ret);
	return inner_leaf(f, text, ret);
}

/* What the name says before the value is looked at: or=, not.and=, relation!any=. */
static bool named(struct url_filter *f, struct str value, bool *ret_known, const struct query_node **ret)
{
	const bool negated = str_starts(f->name, STR("not."));
	struct str plain = negated ? str_n(f->name.p + 4, f->name.len - 4) : f->name;
	const bool marked = plain.len > 0 && memchr(plain.p, '!', plain.len) != NULL;
	enum node_kind kind;
	const bool junctions = is_junction(plain, &kind);
	struct str ignored, inner;
	*ret_known = marked || junctions;
	if (!*ret_known)
		return true;
	if (!url_call(value, &ignored, &inner) || ignored.len > 0)
		return url_malformed(f, "expected conditions in parentheses: (a.eq.1,b.gt.2)");
	if (junctions)
		return junction(f, kind, inner, negated, ret);
	return related(f, plain, inner, negated, ret);
}

bool url_condition(struct url_filter *f, struct str value, const struct query_node **ret)
{
	const struct query_expr *e;
	struct op_text o;
	bool known = false;
	if (model_column(f->model, f->name) == NULL && !named(f, value, &known, ret))
		return false;
	if (known)
		return true;
	if (!url_reference(f, f->name, &e))
		return false;
	if (value.len == 0 || memchr(value.p, '.', value.len) == NULL)
		return url_malformed(f, "expected operator.value, as in eq.1");
	if (!read_op(value, &o))
		return url_malformed(f,
				     "the operators are eq, neq, gt, gte, lt, lte, like, ilike, match, imatch, in, is, "
				     "isdistinct, cs, cd, ov, sl, sr, nxl, nxr, adj, fts, plfts, phfts and wfts");
	return leaf_of(f, e, &o, ret);
}
