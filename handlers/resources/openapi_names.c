/* See openapi_names.h. */
#include "handlers/resources/openapi_names.h"

#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/schema/schema_subset.h"

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

#define MARK_BYTES 4

/* The name and a mark that is made of what was wanted and of nothing else, so that it stays whatever comes beside. */
static struct str marked(struct arena *a, struct str name, struct str wanted)
{
	char mark[2 * MARK_BYTES + 1] = "";
	uint8_t digest[32];
	num_sha256(wanted, digest);
	num_hex(digest, MARK_BYTES, mark);
	return arena_printf(a, "%.*s_%.*s", STR_FMT(name), 2 * MARK_BYTES, mark);
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
	struct str base = safe(d->a, wanted);
	if (is_taken(d, base))
		base = marked(d->a, base, wanted);
	for (size_t n = 1;; n++) {
		const struct str name = numbered(d->a, base, n);
		if (is_taken(d, name))
			continue;
		take(d, name);
		return name;
	}
}

static struct str with_suffix(struct describing *d, struct str name, size_t i)
{
	return arena_printf(d->a, "%.*s%s", STR_FMT(name), suffixes[i]);
}

static bool all_free(struct describing *d, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (is_taken(d, with_suffix(d, name, i)))
			return false;
	return true;
}

static bool of_set(const struct describing *d, const struct model *m)
{
	return d->set.p == NULL || model_of_set(m, d->set);
}

static struct str plain_name(struct describing *d, const struct model *m)
{
	return safe(d->a, arena_printf(d->a, "Model_%.*s", STR_FMT(m->name)));
}

/* Whose plain name, with whatever may follow it, is that of another, too. None of them has it: it would be another's
 * when a model came or went, and clients that were made before would take the one for the other. */
static void find_alike(struct describing *d, bool *alike)
{
	struct map owners;
	map_init(&owners);
	for (size_t i = 0; i < d->s->n_models; i++) {
		const struct model *m = &d->s->models[i];
		wait_may_step_aside();
		for (size_t k = 0; of_set(d, m) && k < ARRAY_LEN(suffixes); k++) {
			const struct str key = describing_squashed(d->a, with_suffix(d, plain_name(d, m), k));
			const struct model *other = map_get(&owners, key);
			alike[i] = alike[i] || map_get(&d->taken, key) != NULL || (other != NULL && other != m);
			if (other == NULL)
				(void)map_put(&owners, key, (struct model *)(uintptr_t)m);
			else
				alike[other - d->s->models] = alike[other - d->s->models] || other != m;
		}
	}
	map_done(&owners);
}

static struct str model_name(struct describing *d, const struct model *m, bool is_alike)
{
	const struct str plain = plain_name(d, m), base = is_alike ? marked(d->a, plain, m->name) : plain;
	for (size_t n = 1;; n++) {
		const struct str name = numbered(d->a, base, n);
		if (!all_free(d, name))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
			take(d, with_suffix(d, name, i));
		return name;
	}
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
	bool *alike = arena_array(d->a, d->s->n_models + 1, sizeof(*alike));
	find_alike(d, alike);
	for (size_t i = 0; i < d->s->n_models; i++) {
		wait_may_step_aside();
		d->names[i] = of_set(d, &d->s->models[i]) ? model_name(d, &d->s->models[i], alike[i]) : STR_NONE;
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
