/* See openapi_names.h. */
#include "handlers/resources/openapi_names.h"

#include "service/base/wait.h"

#include "service/base/banned.h"

/* What may follow a model's name, in components and operations. */
static const char *const suffixes[] = {"",        "_list", "_row",  "_given",  "_changed", "_or_null", "_where",
				       "_create", "_get",  "_save", "_update", "_delete",  "_related"};

/* ModelShopItem of Model_shop_item and of Model_ShopItem alike. */
struct str describing_squashed(struct arena *a, struct str name)
{
	char *p = arena_alloc(a, name.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.p[i];
		if (c >= 'A' && c <= 'Z')
			p[n++] = (char)(c - 'A' + 'a');
		else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80)
			p[n++] = c;
	}
	return str_n(p, n);
}

static void take(struct describing *d, struct str name)
{
	(void)map_put(&d->taken, describing_squashed(d->a, name), d);
}

static bool is_taken(struct describing *d, struct str name)
{
	return map_get(&d->taken, describing_squashed(d->a, name)) != NULL;
}

static struct str numbered(struct arena *a, struct str name, size_t n)
{
	return n == 1 ? name : arena_printf(a, "%.*s_%zu", STR_FMT(name), n);
}

static struct str safe(struct arena *a, struct str name)
{
	char *p = arena_strz(a, name);
	for (size_t i = 0; i < name.len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9')))
			p[i] = '_';
	return str_n(p, name.len);
}

struct str describing_name(struct describing *d, struct str wanted)
{
	const struct str base = safe(d->a, wanted);
	for (size_t n = 1;; n++) {
		const struct str name = numbered(d->a, base, n);
		if (is_taken(d, name))
			continue;
		take(d, name);
		return name;
	}
}

static bool all_free(struct describing *d, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (is_taken(d, arena_printf(d->a, "%.*s%s", STR_FMT(name), suffixes[i])))
			return false;
	return true;
}

static struct str model_name(struct describing *d, const struct model *m)
{
	const struct str base = safe(d->a, arena_printf(d->a, "Model_%.*s", STR_FMT(m->name)));
	for (size_t n = 1;; n++) {
		const struct str name = numbered(d->a, base, n);
		if (!all_free(d, name))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
			take(d, arena_printf(d->a, "%.*s%s", STR_FMT(name), suffixes[i]));
		return name;
	}
}

static bool of_set(const struct describing *d, const struct model *m)
{
	if (d->set.p == NULL)
		return true;
	for (size_t i = 0; i < m->n_sets; i++)
		if (str_eq(m->sets[i], d->set))
			return true;
	return false;
}

static void take_general(struct describing *d)
{
	const json_t *schemas = json_object_get(json_object_get(d->general, "components"), "schemas");
	const char *key, *path;
	json_t *v, *item;
	json_object_foreach((json_t *)(uintptr_t)schemas, key, v) take(d, str_z(key));
	json_object_foreach(json_object_get(d->general, "paths"), path, item)
	{
		json_object_foreach(item, key, v)
		{
			const json_t *id = json_object_get(v, "operationId");
			if (json_is_string(id))
				take(d, json_str(id));
		}
	}
}

void describing_init(struct describing *d)
{
	map_init(&d->taken);
	take_general(d);
	d->names = arena_array(d->a, d->s->n_models + 1, sizeof(*d->names));
	for (size_t i = 0; i < d->s->n_models; i++) {
		wait_may_step_aside();
		d->names[i] = of_set(d, &d->s->models[i]) ? model_name(d, &d->s->models[i]) : STR_NONE;
	}
}

void describing_done(struct describing *d)
{
	map_done(&d->taken);
}

struct str described_as(const struct describing *d, const struct model *m)
{
	return d->names[m - d->s->models];
}
