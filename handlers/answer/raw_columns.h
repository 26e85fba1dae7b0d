/* The columns of a client's own SQL: what they are called and of which type, and whether objects can be made of them.
 */
#ifndef FERROD_HANDLERS_RAW_COLUMNS_H
#define FERROD_HANDLERS_RAW_COLUMNS_H

#include "service/base/strbuf.h"
#include "store/exec/exec.h"

/* ERR_DUPLICATE_COLUMNS naming those that come twice: an object has each name once. */
bool raw_columns_distinct(const struct cursor_column *columns, size_t n, struct err *err) MUST_CHECK;

/* [{"name":"id","type":"bigint"},...]; the type is the database's own word, of SQLite what the column was declared as,
 * null where there is none. */
void raw_columns_write(struct strbuf *out, const struct cursor_column *columns, size_t n);

#endif
