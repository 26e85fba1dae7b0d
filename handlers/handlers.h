/* Every operation's handler, by file. Each runs in a fiber and may park. Owns nothing. */
#ifndef FERROD_HANDLERS_HANDLERS_H
#define FERROD_HANDLERS_HANDLERS_H

#include "service/http/request.h"

#define HANDLER(name) bool name(struct request *req, struct response *res, struct err *err)

/* docs.c */
HANDLER(handle_root);
/* health.c */
HANDLER(handle_healthz);
HANDLER(handle_readyz);
HANDLER(handle_version);
/* metrics.c */
HANDLER(handle_metrics);
/* docs.c */
HANDLER(handle_openapi_json);
HANDLER(handle_openapi_yaml);
HANDLER(handle_openapi_30_json);
HANDLER(handle_docs);
HANDLER(handle_docs_style);
HANDLER(handle_docs_module);
HANDLER(handle_problems);
HANDLER(handle_problem);
/* connections.c */
HANDLER(handle_connect);
HANDLER(handle_connections);
HANDLER(handle_connection);
HANDLER(handle_connection_check);
HANDLER(handle_disconnect);
HANDLER(handle_set_default);
HANDLER(handle_reset);
/* models.c */
HANDLER(handle_models_put);
HANDLER(handle_models_post);
HANDLER(handle_models);
HANDLER(handle_model);
HANDLER(handle_models_clear);
HANDLER(handle_model_remove);
/* backup.c */
HANDLER(handle_connection_backup);
/* nodes.c */
HANDLER(handle_nodes);
/* catalog.c */
HANDLER(handle_catalog);
HANDLER(handle_catalog_reload);
/* migrate.c */
HANDLER(handle_ddl);
HANDLER(handle_create_tables);
HANDLER(handle_migrate);
/* introspect.c */
HANDLER(handle_introspect);
/* sessions.c */
/* server_options.before_reply: Ferro-Session-Info on every answer to a request that names an open session. */
void sessions_before_reply(void *app, struct request *req, struct response *res);
HANDLER(handle_session_open);
HANDLER(handle_session);
HANDLER(handle_session_patch);
HANDLER(handle_session_close);
HANDLER(handle_sessions);
/* identity_map.c */
HANDLER(handle_imap_clear);
HANDLER(handle_imap_evict);
/* transactions.c */
HANDLER(handle_tx_begin);
HANDLER(handle_tx);
HANDLER(handle_tx_commit);
HANDLER(handle_tx_rollback);
/* query.c */
HANDLER(handle_query);
HANDLER(handle_query_first);
HANDLER(handle_query_count);
HANDLER(handle_query_exists);
/* records.c, records_write.c */
HANDLER(handle_record_get);
HANDLER(handle_records_create);
/* record_update.c */
HANDLER(handle_record_put);
HANDLER(handle_record_patch);
HANDLER(handle_record_delete);
HANDLER(handle_record_refresh);
/* get_or_create.c */
HANDLER(handle_get_or_create);
HANDLER(handle_update_or_create);
/* query_write.c */
HANDLER(handle_query_update);
HANDLER(handle_query_delete);
HANDLER(handle_query_explain);
/* list.c */
HANDLER(handle_records_list);
/* relations.c */
HANDLER(handle_relation_get);
HANDLER(handle_relation_add);
HANDLER(handle_relation_remove);
/* sql.c */
HANDLER(handle_sql_execute);
HANDLER(handle_sql_fetch_all);
HANDLER(handle_sql_fetch_one);

/* batch.c */
HANDLER(handle_batch);

#endif
