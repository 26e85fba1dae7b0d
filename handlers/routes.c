/* Method, path, operationId, handler, scope, body: one row an operation (openapi/openapi.yaml has the same list). */
#include "handlers/routes.h"

#include "handlers/handlers.h"
#include "handlers/unit/idempotency.h"
#include "service/auth/auth.h"

#include "service/base/banned.h"

#define ROUTE(m, p, op, fn, s, b) \
	{ \
		.method = HTTP_##m, .path = p, .operation_id = op, .handler = fn, .scope = SCOPE_##s, .body = BODY_##b \
	}
#define ROUTE_WORK(m, p, op, fn, s, b) \
	{ \
		.method = HTTP_##m, .path = p, .operation_id = op, .handler = fn, .scope = SCOPE_##s, \
		.body = BODY_##b, .works = true \
	}
#define ROUTE_ROWS(m, p, op, fn, s, b) \
	{ \
		.method = HTTP_##m, .path = p, .operation_id = op, .handler = fn, .scope = SCOPE_##s, \
		.body = BODY_##b, .works = true, .rows = true \
	}
#define ROUTE_TYPE(m, p, op, fn, s, type) \
	{ \
		.method = HTTP_##m, .path = p, .operation_id = op, .handler = fn, .scope = SCOPE_##s, \
		.body = BODY_NONE, .content_type = type \
	}

/* What writes heeds Idempotency-Key. */
#define ONCE_AS(fn, kind) \
	static bool once_##fn(struct request *req, struct response *res, struct err *err) \
	{ \
		return idempotent(req, res, fn, kind, err); \
	}
#define ONCE(fn) ONCE_AS(fn, TOLD_NOT)
ONCE_AS(handle_connect, TOLD_TELLING)
ONCE_AS(handle_models_post, TOLD_TELLING)
ONCE(handle_introspect)
ONCE(handle_create_tables)
ONCE(handle_migrate)
ONCE_AS(handle_session_open, TOLD_SESSION)
ONCE(handle_tx_begin)
ONCE(handle_query_update)
ONCE(handle_query_delete)
ONCE(handle_records_create)
ONCE(handle_record_put)
ONCE(handle_record_patch)
ONCE(handle_record_delete)
ONCE(handle_relation_add)
ONCE(handle_relation_remove)
ONCE(handle_get_or_create)
ONCE(handle_update_or_create)
ONCE(handle_batch)
ONCE(handle_sql_execute)
ONCE(handle_sql_fetch_all)
ONCE(handle_sql_fetch_one)

#define DESCRIPTION(path_, id, handler_) \
	{ \
		.method = HTTP_GET, .path = (path_), .operation_id = (id), .handler = (handler_), .scope = SCOPE_NONE, \
		.body = BODY_NONE, .query_reads = true \
	}
#define RECORDS "/v1/models/{model}/records"
#define RECORD "/v1/models/{model}/records/{pk}"

static const struct route_def routes[] = {
	/* service */
	{.method = HTTP_GET, .path = "/", .operation_id = "root", .handler = handle_root, .html_too = true},
	ROUTE(GET, "/healthz", "healthz", handle_healthz, NONE, NONE),
	ROUTE(GET, "/readyz", "readyz", handle_readyz, NONE, NONE),
	ROUTE(GET, "/version", "version", handle_version, ANY, NONE),
	ROUTE_TYPE(GET, "/metrics", "metrics", handle_metrics, ANY, "text/plain; version=0.0.4; charset=utf-8"),
	DESCRIPTION("/openapi.json", "openapi_json", handle_openapi_json),
	ROUTE_TYPE(GET, "/openapi.yaml", "openapi_yaml", handle_openapi_yaml, NONE, "application/yaml"),
	DESCRIPTION("/openapi-3.0.json", "openapi_30_json", handle_openapi_30_json),
	ROUTE_TYPE(GET, "/docs", "docs", handle_docs, NONE, "text/html; charset=utf-8"),
	ROUTE_TYPE(GET, "/docs/style.css", "docs_style", handle_docs_style, NONE, "text/css; charset=utf-8"),
	ROUTE_TYPE(GET, "/docs/{module}", "docs_module", handle_docs_module, NONE, "text/javascript; charset=utf-8"),
	ROUTE_TYPE(GET, "/problems", "problems", handle_problems, NONE, "text/html; charset=utf-8"),
	ROUTE_TYPE(GET, "/problems/{code}", "problem", handle_problem, NONE, "text/html; charset=utf-8"),
	/* connections */
	ROUTE(POST, "/v1/connections", "connect", once_handle_connect, ADMIN, JSON),
	ROUTE(GET, "/v1/connections", "list_connections", handle_connections, READ, NONE),
	ROUTE(GET, "/v1/connections/{name}", "get_connection", handle_connection, READ, NONE),
	ROUTE(DELETE, "/v1/connections/{name}", "disconnect", handle_disconnect, ADMIN, NONE),
	ROUTE(POST, "/v1/connections/{name}/check", "check_connection", handle_connection_check, READ, OPTIONAL),
	ROUTE(POST, "/v1/connections/{name}/backup", "backup_connection", handle_connection_backup, ADMIN, OPTIONAL),
	ROUTE(PUT, "/v1/default-connection", "set_default_connection", handle_set_default, ADMIN, JSON),
	ROUTE(POST, "/v1/reset", "reset_engine", handle_reset, ADMIN, OPTIONAL),
	/* the catalog */
	ROUTE(GET, "/v1/catalog", "get_catalog", handle_catalog, READ, NONE),
	ROUTE(POST, "/v1/catalog/reload", "reload_catalog", handle_catalog_reload, ADMIN, OPTIONAL),
	ROUTE(GET, "/v1/nodes", "list_nodes", handle_nodes, ADMIN, NONE),
	/* models and tables */
	ROUTE(PUT, "/v1/models", "replace_models", handle_models_put, SCHEMA, JSON),
	ROUTE(POST, "/v1/models", "register_models", once_handle_models_post, SCHEMA, JSON),
	ROUTE(GET, "/v1/models", "get_models", handle_models, READ, NONE),
	ROUTE(DELETE, "/v1/models", "clear_registry", handle_models_clear, SCHEMA, NONE),
	ROUTE(GET, "/v1/models/{model}", "get_model", handle_model, READ, NONE),
	ROUTE(DELETE, "/v1/models/{model}", "remove_model", handle_model_remove, SCHEMA, NONE),
	ROUTE_TYPE(GET, "/v1/ddl", "get_ddl", handle_ddl, READ, "application/sql"),
	ROUTE(POST, "/v1/create-tables", "create_tables", once_handle_create_tables, SCHEMA, OPTIONAL),
	ROUTE(POST, "/v1/migrate", "migrate", once_handle_migrate, SCHEMA, OPTIONAL),
	ROUTE(POST, "/v1/introspect", "introspect", once_handle_introspect, SCHEMA, OPTIONAL),
	/* sessions */
	ROUTE(POST, "/v1/sessions", "open_session", once_handle_session_open, READ, OPTIONAL),
	ROUTE(GET, "/v1/sessions", "list_sessions", handle_sessions, ADMIN, NONE),
	ROUTE(GET, "/v1/session", "get_session", handle_session, READ, NONE),
	ROUTE(PATCH, "/v1/session", "change_session", handle_session_patch, READ, JSON),
	ROUTE(DELETE, "/v1/session", "close_session", handle_session_close, READ, NONE),
	ROUTE(DELETE, "/v1/session/identity-map", "clear_identity_map", handle_imap_clear, READ, NONE),
	ROUTE(DELETE, "/v1/session/identity-map/{model}/{pk}", "evict_instance", handle_imap_evict, READ, NONE),
	/* transactions */
	ROUTE(POST, "/v1/transactions", "begin_transaction", once_handle_tx_begin, READ, OPTIONAL),
	ROUTE(GET, "/v1/transactions/{id}", "get_transaction", handle_tx, READ, NONE),
	ROUTE(POST, "/v1/transactions/{id}/commit", "commit_transaction", handle_tx_commit, READ, OPTIONAL),
	ROUTE(POST, "/v1/transactions/{id}/rollback", "rollback_transaction", handle_tx_rollback, READ, OPTIONAL),
	/* queries */
	ROUTE_ROWS(POST, "/v1/query", "query", handle_query, READ, JSON),
	ROUTE_WORK(POST, "/v1/query/first", "query_first", handle_query_first, READ, JSON),
	ROUTE_WORK(POST, "/v1/query/count", "query_count", handle_query_count, READ, JSON),
	ROUTE_WORK(POST, "/v1/query/exists", "query_exists", handle_query_exists, READ, JSON),
	ROUTE_WORK(POST, "/v1/query/update", "query_update", once_handle_query_update, WRITE, JSON),
	ROUTE_WORK(POST, "/v1/query/delete", "query_delete", once_handle_query_delete, WRITE, JSON),
	ROUTE_WORK(POST, "/v1/query/explain", "query_explain", handle_query_explain, READ, JSON),
	/* records */
	ROUTE_WORK(POST, RECORDS, "create_records", once_handle_records_create, WRITE, BULK),
	ROUTE_ROWS(GET, RECORDS, "list_records", handle_records_list, READ, NONE),
	ROUTE_WORK(GET, RECORD, "get_record", handle_record_get, READ, NONE),
	ROUTE_WORK(PUT, RECORD, "save_record", once_handle_record_put, WRITE, JSON),
	ROUTE_WORK(PATCH, RECORD, "update_record", once_handle_record_patch, WRITE, JSON),
	ROUTE_WORK(DELETE, RECORD, "delete_record", once_handle_record_delete, WRITE, NONE),
	ROUTE_WORK(POST, RECORD "/refresh", "refresh_record", handle_record_refresh, READ, OPTIONAL),
	ROUTE_WORK(POST, "/v1/models/{model}/get-or-create", "get_or_create", once_handle_get_or_create, WRITE, JSON),
	ROUTE_WORK(POST, "/v1/models/{model}/update-or-create", "update_or_create", once_handle_update_or_create, WRITE,
		   JSON),
	ROUTE_ROWS(GET, RECORD "/{relation}", "get_related", handle_relation_get, READ, NONE),
	ROUTE_WORK(PUT, RECORD "/{relation}", "add_links", once_handle_relation_add, WRITE, JSON),
	ROUTE_WORK(DELETE, RECORD "/{relation}", "remove_links", once_handle_relation_remove, WRITE, OPTIONAL),
	ROUTE_WORK(POST, "/v1/batch", "batch", once_handle_batch, ANY, JSON),
	/* raw SQL */
	ROUTE_WORK(POST, "/v1/sql/execute", "sql_execute", once_handle_sql_execute, SQL, JSON),
	ROUTE_ROWS(POST, "/v1/sql/fetch-all", "sql_fetch_all", once_handle_sql_fetch_all, SQL, JSON),
	ROUTE_WORK(POST, "/v1/sql/fetch-one", "sql_fetch_one", once_handle_sql_fetch_one, SQL, JSON),
};

struct route_table routes_table(void)
{
	return router_table(routes, sizeof(routes) / sizeof(routes[0]));
}

void routes_print(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		fprintf(out, "%s %s %s %s\n", router_method_name(routes[i].method), routes[i].path,
			routes[i].operation_id, scope_name(routes[i].scope));
}
