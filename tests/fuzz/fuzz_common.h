/* The model set that the fuzz targets resolve names against. */
#ifndef FERROD_TESTS_FUZZ_COMMON_H
#define FERROD_TESTS_FUZZ_COMMON_H

#include <stdint.h>
#include <stdlib.h>

#include "store/dialect/dialect.h"
#include "store/schema/schema_json.h"

static const char fuzz_models[] =
	"{\"models\":["
	"{\"model_name\":\"User\",\"columns\":["
	"{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true},"
	"{\"name\":\"name\",\"logical_type\":\"string\",\"db_type\":\"varchar(40)\",\"unique\":true},"
	"{\"name\":\"age\",\"logical_type\":\"integer\",\"nullable\":true,\"index\":true},"
	"{\"name\":\"score\",\"logical_type\":\"number\",\"nullable\":true},"
	"{\"name\":\"balance\",\"logical_type\":\"decimal\",\"nullable\":true},"
	"{\"name\":\"active\",\"logical_type\":\"boolean\",\"nullable\":true},"
	"{\"name\":\"token\",\"logical_type\":\"uuid\",\"nullable\":true},"
	"{\"name\":\"born\",\"logical_type\":\"date\",\"nullable\":true},"
	"{\"name\":\"seen\",\"logical_type\":\"datetime\",\"nullable\":true},"
	"{\"name\":\"wakes\",\"logical_type\":\"time\",\"nullable\":true},"
	"{\"name\":\"photo\",\"logical_type\":\"binary\",\"nullable\":true},"
	"{\"name\":\"extra\",\"logical_type\":\"json\",\"nullable\":true}]},"
	"{\"model_name\":\"Post\",\"columns\":["
	"{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true},"
	"{\"name\":\"title\",\"logical_type\":\"string\"},"
	"{\"name\":\"author_id\",\"logical_type\":\"integer\"}],"
	"\"foreign_keys\":[{\"column\":\"author_id\",\"to_table\":\"user\",\"to_column\":\"id\"}]}]}";

/* Made once and kept: the targets run millions of times. */
static inline struct schema *fuzz_schema(void)
{
	static struct schema *schema;
	if (schema != NULL)
		return schema;
	struct arena a;
	struct err err;
	json_t *doc;
	arena_init(&a);
	if (!json_parse(&a, str_z(fuzz_models), &doc, &err) || !schema_from_json(doc, NULL, &a, &schema, &err))
		abort();
	arena_done(&a);
	return schema;
}

static inline struct str fuzz_text(const uint8_t *data, size_t size)
{
	return str_n(size > 0 ? (const char *)data : "", size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
