/* The arguments of lists (api section 9). */
#include "handlers/records/list_filter.h"

#include "handlers/records/list_select.h"

#include "service/base/banned.h"

/* The parameters that are no conditions; false: it is none of them. */
static bool parameter(const struct url_filter *f, struct query *q, struct str value, bool *ret_ok)
{
	*ret_ok = true;
	if (str_eq_z(f->name, "using"))
		return true;
	if (str_eq_z(f->name, "select"))
		*ret_ok = url_select(f, q, value);
	else if (str_eq_z(f->name, "limit"))
		*ret_ok = url_number(f, value, &q->has_limit, &q->limit);
	else if (str_eq_z(f->name, "offset"))
		*ret_ok = url_number(f, value, &q->has_offset, &q->offset);
	else if (str_eq_z(f->name, "include"))
		*ret_ok = url_include(f, q, value);
	else if (str_eq_z(f->name, "cursor"))
		q->cursor = value;
	else
		return str_eq_z(f->name, "order");
	return true;
}

static bool read_args(const struct request *req, struct url_filter *f, struct query *q)
{
	const struct query_node **where =
		arena_array(f->arena, q->n_where + req->n_args + 1, sizeof(const struct query_node *));
	for (size_t i = 0; i < q->n_where; i++)
		where[i] = q->where[i];
	q->where = where;
	for (size_t i = 0; i < req->n_args; i++) {
		bool ok;
		f->name = req->args[i].name;
		if (parameter(f, q, req->args[i].value, &ok)) {
			if (!ok)
				return false;
			continue;
		}
		if (!url_condition(f, req->args[i].value, &where[q->n_where]))
			return false;
		q->n_where++;
	}
	/* last: it may go by the names of what is selected */
	for (size_t i = 0; i < req->n_args; i++) {
		f->name = req->args[i].name;
		if (str_eq_z(f->name, "order") && !url_order(f, q, req->args[i].value))
			return false;
	}
	return true;
}

bool list_filter(const struct request *req, struct arena *a, struct query *q, struct err *err)
{
	struct url_filter f = {.arena = a, .q = q, .model = q->model, .err = err};
	if (!read_args(req, &f, q))
		return false;
	url_read_links(a, q);
	if (query_check(q, "", err))
		return true;
	struct str member = arena_str(a, str_z(err->pointer)); /* "/offset" and the like: its parameter has that name */
	f.name = str_n(member.p + (member.len > 0), member.len - (member.len > 0));
	return url_refused(&f);
}
