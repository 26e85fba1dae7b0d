/* What the files that write leaves share. Only they include it. */
#ifndef FERROD_STORE_QUERY_SQL_LEAF_H
#define FERROD_STORE_QUERY_SQL_LEAF_H

#include "store/query/query_sql.h"

struct condition {
	const struct query *q; /* NULL outside of HAVING */
	const struct query_node *node;
};

/* An expression on the right side. */
void sql_operand(struct sql *s, const struct condition *c, const struct query_expr *e);
/* The left side: the column, the expression, or in HAVING the aggregate. */
void sql_subject(struct sql *s, const struct condition *c);
/* A value that it is compared with. */
void sql_value(struct sql *s, const struct condition *c, struct value v);
/* Its type; NULL: an aggregate's. */
const struct column *sql_subject_type(const struct condition *c);
/* The left side as a document: jsonb on PostgreSQL. */
void sql_subject_document(struct sql *s, const struct condition *c);
/* SQLite: is it the document v, whatever the spelling of either? */
void sql_json_equal(struct sql *s, const struct condition *c, struct value v);
/* SQLite: a text at a path, compared as it is stored, where no number and no boolean has the same text (which takes
 * three times as long to make). false: this is no such comparison. */
bool sql_plain_text(struct sql *s, const struct condition *c, const char *sign);
/* sql_time.c: "(range AND ", where a range of the stored values holds all that the condition can be true for; false:
 * nothing. The condition and ")" follow. */
bool sql_time_range(struct sql *s, const struct condition *c);
/* The left side of a pattern: as the text that is answered. */
void sql_subject_text(struct sql *s, const struct condition *c);
/* sql_uuid.c: SQLite: uuids that are texts or bytes, see codec_twin: the range of each. False: this is no such
 * comparison. */
bool sql_uuid_range(struct sql *s, const struct condition *c, const char *sign);
bool sql_uuid_between(struct sql *s, const struct condition *c);
/* The operators on documents, arrays and ranges, and match. */
void sql_container(struct sql *s, const struct condition *c);
void sql_match(struct sql *s, const struct condition *c);

/* SQLite: bytes that are no UTF-8, which are answered alike, be they a blob or a text? */
bool sql_either_class(const struct sql *s, struct value v);
/* The column is more than such a value, or not: the blob, which lies behind all texts, is as large as the text. */
void sql_order_of_either(struct sql *s, const struct condition *c, const char *sign);

#endif
