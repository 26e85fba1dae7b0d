/* The filter grammar of lists (api section 9), a subset of PostgREST's. */
#include "handlers/records/list_filter.h"

#include "service/base/num.h"

#include "service/base/banned.h"

struct filter {
	const struct request *req;
	struct arena *arena;
	struct query *q;
	struct err *err;
};

static const struct op_word {
	const char *word;
	enum query_op op, negated; /* negated == op: NOT around the leaf */
} ops[] = {
	{"eq", OP_EQ, OP_EQ},           {"neq", OP_NE, OP_NE},
	{"gt", OP_GT, OP_GT},           {"gte", OP_GE, OP_GE},
	{"lt", OP_LT, OP_LT},           {"lte", OP_LE, OP_LE},
	{"like", OP_LIKE, OP_NOT_LIKE}, {"ilike", OP_ILIKE, OP_NOT_ILIKE},
	{"in", OP_IN, OP_NOT_IN},
};

static bool malformed(struct filter *f, struct str name, const char *why)
{
	return err_set(f->err, ERR_INVALID_PARAMETERS, "the query argument \"%.*s\": %s",
		       (int)(name.len < 100 ? name.len : 100), name.p, why);
}

static bool unknown_column(struct filter *f, struct str name)
{
	return err_set(f->err, ERR_UNKNOWN_COLUMN, "model \"%.*s\" has no column \"%.*s\"", STR_FMT(f->q->model->name),
		       (int)(name.len < 100 ? name.len : 100), name.p);
}

/* A refusal by the query's own rules is one of the parameters here. */
static bool as_parameter(struct filter *f, struct str name)
{
	if (f->err->code == ERR_INVALID_QUERY) {
		struct str detail = arena_str(f->arena, str_z(f->err->detail));
		return malformed(f, name, detail.p);
	}
	return false;
}

/* One element of in.(a,"b,c",d): *text moves past it. false: malformed. */
static bool list_element(struct arena *a, struct str *text, struct str *ret)
{
	size_t i = 0;
	if (text->len == 0 || text->p[0] != '"') {
		while (i < text->len && text->p[i] != ',')
			i++;
		*ret = str_n(text->p, i);
	} else {
		char *out = arena_alloc(a, text->len);
		size_t n = 0;
		for (i = 1; i < text->len && text->p[i] != '"'; i++) {
			if (text->p[i] == '\\' && i + 1 < text->len)
				i++;
			out[n++] = text->p[i];
		}
		if (i == text->len)
			return false;
		i++;
		*ret = str_n(out, n);
	}
	if (i < text->len && text->p[i] != ',')
		return false;
	*text = i < text->len ? str_n(text->p + i + 1, text->len - i - 1) : STR_NONE;
	return true;
}

/* in.(...): the texts. */
static bool read_list(struct filter *f, struct str name, struct str text, struct str **ret, size_t *ret_n)
{
	if (text.len < 2 || text.p[0] != '(' || text.p[text.len - 1] != ')')
		return malformed(f, name, "in takes a list in parentheses: in.(a,b)");
	text = str_n(text.p + 1, text.len - 2);
	size_t max = 1;
	for (size_t i = 0; i < text.len; i++)
		max += text.p[i] == ',';
	struct str *list = arena_array(f->arena, max, sizeof(*list));
	size_t n = 0;
	if (text.len == 0)
		text = STR_NONE;
	while (text.p != NULL) {
		if (n == max || !list_element(f->arena, &text, &list[n++]))
			return malformed(f, name, "a quoted element of the list is not closed");
	}
	*ret = list;
	*ret_n = n;
	return true;
}

static const struct query_node *negation(struct arena *a, const struct query_node *leaf)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));
	*n = (struct query_node){.kind = NODE_NOT, .left = leaf};
	return n;
}

/* is.null, is.true, is.false, is.not_null */
static bool is_leaf(struct filter *f, struct str name, const struct column *c, struct str text, bool negated,
		    const struct query_node **ret)
{
	const char *pointer = json_pointer_key(f->arena, "", name);
	enum query_op op = OP_EQ;
	if (str_ieq_z(text, "null"))
		op = negated ? OP_IS_NOT_NULL : OP_IS_NULL;
	else if (str_ieq_z(text, "not_null"))
		op = negated ? OP_IS_NULL : OP_IS_NOT_NULL;
	else if (!str_ieq_z(text, "true") && !str_ieq_z(text, "false"))
		return malformed(f, name, "is takes null, not_null, true or false");
	if (op != OP_EQ)
		return query_leaf_from_text(f->arena, f->q->dialect, c, op, NULL, 0, pointer, ret, f->err) ||
		       as_parameter(f, name);
	if (c->logical != LT_BOOLEAN)
		return malformed(f, name, "is.true and is.false are for boolean columns");
	struct str word = str_ieq_z(text, "true") ? STR("true") : STR("false");
	if (!query_leaf_from_text(f->arena, f->q->dialect, c, OP_EQ, &word, 1, pointer, ret, f->err))
		return as_parameter(f, name);
	if (negated)
		*ret = negation(f->arena, *ret);
	return true;
}

/* column=[not.]op.value */
static bool condition(struct filter *f, struct str name, struct str text, const struct query_node **ret)
{
	const struct column *c = model_column(f->q->model, name);
	if (c == NULL)
		return unknown_column(f, name);
	bool negated = str_starts(text, STR("not."));
	if (negated)
		text = str_n(text.p + 4, text.len - 4);
	const char *dot = text.len > 0 ? memchr(text.p, '.', text.len) : NULL;
	if (dot == NULL)
		return malformed(f, name, "expected operator.value, as in eq.1");
	struct str word = str_n(text.p, (size_t)(dot - text.p));
	struct str rest = str_n(dot + 1, text.len - word.len - 1);
	if (str_eq_z(word, "is"))
		return is_leaf(f, name, c, rest, negated, ret);
	const struct op_word *op = NULL;
	for (size_t i = 0; i < ARRAY_LEN(ops) && op == NULL; i++) {
		if (str_eq_z(word, ops[i].word))
			op = &ops[i];
	}
	if (op == NULL)
		return malformed(f, name, "the operators are eq, neq, gt, gte, lt, lte, like, ilike, in and is");
	struct str *texts = &rest;
	size_t n = 1;
	if (op->op == OP_IN && !read_list(f, name, rest, &texts, &n))
		return false;
	const char *pointer = json_pointer_key(f->arena, "", name);
	enum query_op effective = negated ? op->negated : op->op;
	if (!query_leaf_from_text(f->arena, f->q->dialect, c, effective, texts, n, pointer, ret, f->err))
		return as_parameter(f, name);
	if (negated && op->negated == op->op)
		*ret = negation(f->arena, *ret);
	return true;
}

/* order=age.desc.nullslast,id */
static bool order(struct filter *f, struct str name, struct str text)
{
	struct query *q = f->q;
	size_t max = 1;
	for (size_t i = 0; i < text.len; i++)
		max += text.p[i] == ',';
	q->order = arena_array(f->arena, max, sizeof(*q->order));
	q->n_order = 0;
	struct str item;
	while (str_split(&text, ',', &item)) {
		struct query_order *o = &q->order[q->n_order++];
		struct str part;
		if (!str_split(&item, '.', &part) || part.len == 0)
			return malformed(f, name,
					 "expected column[.asc|.desc][.nullsfirst|.nullslast], separated by commas");
		o->column = model_column(q->model, part);
		if (o->column == NULL)
			return unknown_column(f, part);
		while (str_split(&item, '.', &part)) {
			if (str_eq_z(part, "desc"))
				o->descending = true;
			else if (str_eq_z(part, "nullsfirst"))
				o->nulls = NULLS_FIRST;
			else if (str_eq_z(part, "nullslast"))
				o->nulls = NULLS_LAST;
			else if (!str_eq_z(part, "asc"))
				return malformed(f, name,
						 "a column is followed by .asc, .desc, .nullsfirst or .nullslast");
		}
	}
	return true;
}

static bool selection(struct filter *f, struct str name, struct str text)
{
	struct query *q = f->q;
	const struct column **list = arena_array(f->arena, q->model->n_columns + 1, sizeof(const struct column *));
	size_t n = 0;
	struct str item;
	while (str_split(&text, ',', &item)) {
		const struct column *c = model_column(q->model, item);
		if (c == NULL)
			return item.len == 0 ? malformed(f, name, "expected column names, separated by commas")
					     : unknown_column(f, item);
		for (size_t i = 0; i < n; i++) {
			if (list[i] == c)
				return malformed(f, name, "a column is named twice");
		}
		list[n++] = c;
	}
	q->select = list;
	q->n_select = n;
	return true;
}

static bool number(struct filter *f, struct str name, struct str text, bool *ret_has, int64_t *ret)
{
	if (!num_parse_int(text, ret) || *ret < 0)
		return malformed(f, name, "expected a whole number that is not negative");
	*ret_has = true;
	return true;
}

bool list_filter(const struct request *req, struct arena *a, struct query *q, struct err *err)
{
	struct filter f = {.req = req, .arena = a, .q = q, .err = err};
	const struct query_node **where =
		arena_array(a, q->n_where + req->n_args + 1, sizeof(const struct query_node *));
	for (size_t i = 0; i < q->n_where; i++)
		where[i] = q->where[i];
	for (size_t i = 0; i < req->n_args; i++) {
		struct str name = req->args[i].name;
		struct str value = req->args[i].value;
		bool ok = true;
		if (str_eq_z(name, "using"))
			continue;
		if (str_eq_z(name, "order"))
			ok = order(&f, name, value);
		else if (str_eq_z(name, "select"))
			ok = selection(&f, name, value);
		else if (str_eq_z(name, "limit"))
			ok = number(&f, name, value, &q->has_limit, &q->limit);
		else if (str_eq_z(name, "offset"))
			ok = number(&f, name, value, &q->has_offset, &q->offset);
		else if (str_eq_z(name, "cursor"))
			q->cursor = value;
		else
			ok = condition(&f, name, value, &where[q->n_where]);
		if (!ok)
			return false;
		if (where[q->n_where] != NULL)
			q->n_where++;
	}
	q->where = where;
	if (query_check(q, "", err))
		return true;
	struct str member = arena_str(a, str_z(err->pointer)); /* "/offset" and the like: its parameter has that name */
	return as_parameter(&f, str_n(member.p + (member.len > 0), member.len - (member.len > 0)));
}
