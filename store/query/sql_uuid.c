/* Uuids that SQLite has as texts and as bytes, which stand behind all texts there. */
#include "store/query/sql_leaf.h"

#include "service/base/banned.h"

static bool has_twins(const struct sql *s, const struct condition *c, size_t n)
{
	const struct column *type = sql_subject_type(c);

	return !sql_on_postgres(s) && type != NULL && type->logical == LT_UUID && c->node->operand == NULL &&
	       c->node->n_values == n;
}

static void put_side(struct sql *s, const struct condition *c, const char *sign, struct value v)
{
	sql_subject(s, c);
	sql_put(s, sign);
	sql_param(s, v);
}

bool sql_uuid_range(struct sql *s, const struct condition *c, const char *sign)
{
	const bool more = c->node->op == OP_GT || c->node->op == OP_GE;
	size_t text;

	if (!has_twins(s, c, 2))
		return false;
	text = c->node->values[0].kind == VALUE_TEXT ? 0 : 1;
	sql_put(s, more ? "((" : "(");
	put_side(s, c, sign, c->node->values[text]);
	sql_put(s, more ? " AND " : " OR (");
	sql_subject(s, c);
	sql_put(s, more ? " < x'') OR " : " >= x'' AND ");
	put_side(s, c, sign, c->node->values[1 - text]);
	sql_put(s, more ? ")" : "))");
	return true;
}

bool sql_uuid_between(struct sql *s, const struct condition *c)
{
	if (!has_twins(s, c, 4))
		return false;
	for (size_t i = 0; i < 4; i += 2) { /* the twins stand behind both */
		sql_put(s, i == 0 ? "(" : " OR ");
		put_side(s, c, " BETWEEN ", c->node->values[i]);
		sql_put(s, " AND ");
		sql_param(s, c->node->values[i + 1]);
	}
	sql_put(s, ")");
	return true;
}
