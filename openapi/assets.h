/*
 * The API description and the docs page as files carried in the binary (openapi/assets.S); static, NUL-terminated.
 * Owned by nobody.
 */
#ifndef FERROD_OPENAPI_ASSETS_H
#define FERROD_OPENAPI_ASSETS_H

#include <stdint.h>

/* X(symbol): its bytes, and symbol_len without the NUL. */
#define OPENAPI_ASSETS(X) \
	X(openapi_yaml) \
	X(openapi_json) \
	X(openapi_30_json) \
	X(docs_index) \
	X(docs_style) \
	X(docs_app) \
	X(docs_dom) \
	X(docs_client) \
	X(docs_reference) \
	X(docs_schema) \
	X(docs_connections) \
	X(docs_models) \
	X(docs_records) \
	X(docs_tables) \
	X(docs_query) \
	X(docs_migrate)

#define OPENAPI_ASSET(symbol) \
	extern const char symbol[]; \
	extern const uint64_t symbol##_len;
OPENAPI_ASSETS(OPENAPI_ASSET)
#undef OPENAPI_ASSET

#endif
