/* See schema_subset.h. */
#include "store/schema/schema_subset.h"

#include "service/base/banned.h"

bool model_of_set(const struct model *m, struct str set)
{
	for (size_t i = 0; i < m->n_sets; i++)
		if (str_eq(m->sets[i], set))
			return true;
	return false;
}

static void forget(void *map)
{
	map_done(map);
}

const struct schema *schema_of_set(const struct schema *s, struct str set, struct arena *a)
{
	struct schema *part = arena_array(a, 1, sizeof(*part));

	part->models = arena_array(a, s->n_models + 1, sizeof(*part->models));
	map_init(&part->by_name);
	map_init(&part->by_table);
	arena_on_done(a, forget, &part->by_name);
	arena_on_done(a, forget, &part->by_table);
	for (size_t i = 0; i < s->n_models; i++) {
		if (!model_of_set(&s->models[i], set))
			continue;
		struct model *m = &part->models[part->n_models++];

		*m = s->models[i];
		(void)map_put(&part->by_name, m->name, m);
		(void)map_put(&part->by_table, m->place, m);
	}
	return part;
}
