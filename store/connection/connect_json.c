/* The members of a connection in JSON, with their bounds. */
#include "store/connection/connect_json.h"

#include "service/base/limits.h"

#include "service/base/banned.h"

#define SECONDS_MAX 31536000.0 /* a year: no timeout of a pool is longer */

static void read_pooler(struct json_reader *r, enum pooler *ret)
{
	struct str word = STR_NONE;
	if (json_reader_str(r, "pooler", &word) && !pooler_of(word, ret))
		json_reader_fault(r, "pooler", "pooler is auto, none or transaction");
}

static void read_pool(struct json_reader *outer, const json_t *obj, struct pool_config *p)
{
	struct json_reader r;
	json_reader_init(&r, outer->arena, obj, json_pointer_key(outer->arena, outer->pointer, STR("pool")),
			 outer->err);
	json_reader_int(&r, "max_connections", 1, LIMIT_POOL_MAX, &p->max_connections);
	json_reader_int(&r, "min_connections", 0, LIMIT_POOL_MAX, &p->min_connections);
	json_reader_number(&r, "acquire_timeout_seconds", 0.001, SECONDS_MAX, &p->acquire_timeout_s);
	json_reader_number(&r, "idle_timeout_seconds", 0, SECONDS_MAX, &p->idle_timeout_s);
	json_reader_number(&r, "max_lifetime_seconds", 0, SECONDS_MAX, &p->max_lifetime_s);
	json_reader_number(&r, "statement_timeout_seconds", 0, SECONDS_MAX, &p->statement_timeout_s);
	read_pooler(&r, &p->pooler);
	if (p->min_connections > p->max_connections) {
		const char *key =
			json_object_get(obj, "min_connections") != NULL ? "min_connections" : "max_connections";
		json_reader_fault(&r, key, "min_connections is larger than max_connections");
	}
	if (!json_reader_done(&r))
		outer->failed = true;
}

static void read_acting(struct json_reader *r, struct str url, enum acting *ret)
{
	struct str word = STR_NONE;
	if (json_reader_str(r, "acting", &word) && !acting_of_word(word, ret))
		json_reader_fault(r, "acting", "acting is none, settings or role");
	if (*ret != ACTING_NONE && str_starts(url, STR("sqlite:")))
		json_reader_fault(r, "acting", "SQLite is told nothing: acting is none there");
}

void connect_json_read(struct json_reader *r, struct connect_options *ret)
{
	const json_t *pool = NULL;
	*ret = (struct connect_options){.identity_map = true, .pool = pool_config_default()};
	json_reader_str(r, "url", &ret->url);
	json_reader_require(r, "url");
	json_reader_str(r, "name", &ret->name);
	json_reader_bool(r, "default", &ret->make_default);
	json_reader_bool(r, "identity_map", &ret->identity_map);
	json_reader_bool(r, "exactly_once", &ret->exactly_once);
	read_acting(r, ret->url, &ret->acting);
	if (json_reader_object(r, "pool", &pool))
		read_pool(r, pool, &ret->pool);
}
