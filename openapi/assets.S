/* Files carried in the binary (openapi/assets.h). Include paths: the root and build/<variant>/gen. */
	.macro asset symbol, path
	.balign 8
	.global \symbol
	.type \symbol, %object
\symbol:
	.incbin "\path"
\symbol\()_end:
	.byte 0
	.size \symbol, . - \symbol
	.balign 8
	.global \symbol\()_len
	.type \symbol\()_len, %object
\symbol\()_len:
	.quad \symbol\()_end - \symbol
	.size \symbol\()_len, 8
	.endm

	.section .rodata
	asset openapi_yaml, openapi/openapi.yaml
	asset openapi_json, openapi.json
	asset openapi_30_json, openapi-3.0.json
	asset docs_index, openapi/docs/index.html
	asset docs_style, openapi/docs/style.css
	asset docs_app, openapi/docs/app.js
	asset docs_dom, openapi/docs/dom.js
	asset docs_client, openapi/docs/client.js
	asset docs_reference, openapi/docs/reference.js
	asset docs_schema, openapi/docs/schema.js
	asset docs_connections, openapi/docs/connections.js
	asset docs_models, openapi/docs/models.js
	asset docs_records, openapi/docs/records.js
	asset docs_tables, openapi/docs/tables.js
	asset docs_query, openapi/docs/query.js
	asset docs_migrate, openapi/docs/migrate.js

	.section .note.GNU-stack, "", %progbits
