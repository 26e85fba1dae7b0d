/*
 * What the parts of a description of models share: whom it is about, and the names under which its models stand among
 * the components. Everything lives in the arena; of one fiber. Next: openapi_records.h, openapi_operations.h.
 */
#ifndef FERROD_HANDLERS_OPENAPI_NAMES_H
#define FERROD_HANDLERS_OPENAPI_NAMES_H

#include "handlers/answer/render.h"
#include "service/base/map.h"
#include "store/schema/schema.h"

struct describing {
	struct arena *a;
	struct arena *scratch; /* of the part at hand: emptied with each model */
	const struct schema *s;
	struct str set, using; /* STR_NONE: any */
	bool old;              /* OpenAPI 3.0 rather than 3.1 */
	const json_t *general; /* the description without models; borrowed */
	struct str *names;     /* of the models, by their place in the schema; STR_NONE: not described */
	struct map taken;      /* owned until describing_done */
};

/* Names the models of the set: letters, digits and _, no two alike for generators that know neither case nor _, none
 * like one of the general description's. A name never goes over to another model: where two would have one, each has a
 * mark of its own. Parks. */
void describing_init(struct describing *d);
void describing_done(struct describing *d);

/* The model's component; STR_NONE: it is not described. */
struct str described_as(const struct describing *d, const struct model *m);
/* What a generator that knows neither case nor punctuation makes of a name; in the arena. */
struct str describing_squashed(struct arena *a, struct str name);
/* A name that nothing has yet: this one, or with a mark that is made of it. */
struct str describing_name(struct describing *d, struct str wanted);

/* An object's member; o takes v. */
static inline void put_json(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v);
}

static inline json_t *json_text(struct str s)
{
	return json_stringn(s.p, s.len);
}

/* {"$ref": "#/components/<kind>/<name><suffix>"} */
static inline json_t *component_ref(const char *kind, struct str name, const char *suffix)
{
	json_t *o = json_object();
	put_json(o, "$ref", json_sprintf("#/components/%s/%.*s%s", kind, STR_FMT(name), suffix));
	return o;
}

#endif
