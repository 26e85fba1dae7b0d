/* The reference's joins: what they say of the rows. */
#include "store/query/query_ref.h"

#include "service/base/limits.h"

#include "service/base/banned.h"

static bool fault(struct query_parse *p, const char *pointer, const char *what)
{
	return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "%s", what);
}

/* Is there a left join over the first n hops of the path? It stands for them even where an inner one has them too. */
static bool left_over(const json_t *joins, const json_t *path, size_t n)
{
	for (size_t i = 0; i < json_array_size(joins); i++) {
		const json_t *join = json_array_get(joins, i), *type = json_object_get(join, "join_type");
		const json_t *other = json_object_get(join, "path");
		size_t k = 0;

		if (!json_is_string(type) || !str_eq_z(json_str(type), "left") || json_array_size(other) < n)
			continue;
		while (k < n && json_equal(json_array_get(other, k), json_array_get(path, k)))
			k++;
		if (k == n)
			return true;
	}
	return false;
}

/* An inner join: the record at the end of the path is there. */
static bool parse_join(struct query_parse *p, const struct model *m, const json_t *joins, size_t at,
		       const char *pointer, const struct query_node **ret)
{
	static const char *const members[] = {"join_type", "path", NULL};
	const struct relation *const *hops;
	const json_t *join, *path;
	size_t n, inner;
	struct str type;

	*ret = NULL;
	if (!query_element(p, joins, at, pointer, &join, &pointer) || !query_known(p, join, pointer, members) ||
	    !query_member_str(p, join, "join_type", pointer, true, &type) ||
	    !query_member_array(p, join, "path", pointer, &path) ||
	    !query_reference_hops(p, m, path, json_pointer_key(p->arena, pointer, STR("path")), &hops, &n))
		return false;
	if (!str_eq_z(type, "left") && !str_eq_z(type, "inner"))
		return fault(p, json_pointer_key(p->arena, pointer, STR("join_type")),
			     "\"join_type\" is \"inner\" or \"left\"");
	for (size_t i = 0; i < n; i++)
		if (!hops[i]->to_one)
			return fault(p, json_pointer_key(p->arena, pointer, STR("path")),
				     "a join leads to one record; \"exists\" is for many");
	inner = str_eq_z(type, "inner") ? n : 0;
	while (inner > 0 && left_over(joins, path, inner))
		inner--;
	if (inner > 0)
		*ret = query_related(p->arena, hops, inner, QUANTIFIER_ANY, NULL, 0);
	return true;
}

bool query_joined(struct query_parse *p, const struct model *m, const json_t *joins, const char *pointer,
		  const struct query_node *const **ret, size_t *ret_n)
{
	const size_t n = json_array_size(joins);
	const struct query_node **all = arena_array(p->arena, n + *ret_n, sizeof(const struct query_node *));
	size_t k = 0;

	if (n > LIMIT_COLUMNS)
		return fault(p, pointer, "too many joins");
	for (; k < *ret_n; k++)
		all[k] = (*ret)[k];
	for (size_t i = 0; i < n; i++) {
		if (!parse_join(p, m, joins, i, pointer, &all[k]))
			return false;
		k += all[k] != NULL;
	}
	*ret = all;
	*ret_n = k;
	return true;
}
