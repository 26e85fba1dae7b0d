/* The columns of a statement and the row that it stands on. */
#include "store/driver/sqlite/sqlite_stmt.h"

#include "service/base/mem.h"

#include "service/base/banned.h"

/* PRAGMA database_list: seq, name, file */
#define DATABASE_LIST_COLUMNS 3
#define DATABASE_LIST_FILE 2

void sqlite_stmt_columns(struct sqlite_stmt *st)
{
	const int n_compiled = 1 + sqlite3_stmt_status(st->h, SQLITE_STMTSTATUS_REPREPARE, 0);
	const size_t n = (size_t)sqlite3_column_count(st->h);

	if (st->columns_of == n_compiled)
		return;
	st->columns_of = n_compiled;
	if (n > st->columns_size) {
		mem_free(st->columns);
		mem_free(st->values);
		st->columns = mem_array(n, sizeof(*st->columns));
		st->values = mem_array(n, sizeof(*st->values));
		st->columns_size = n;
	}
	for (size_t i = 0; i < n; i++)
		st->columns[i] = (struct cursor_column){.name = str_z(sqlite3_column_name(st->h, (int)i)),
							.type = str_z(sqlite3_column_decltype(st->h, (int)i))};
	st->cur.n_columns = n;
	st->cur.columns = st->columns;
	st->cur.row = st->values;
}

/* A value object must not be looked at while other threads use the connection, and none does: so it is fetched once a
 * column instead of being looked for by each call for its type, its bytes and their number. */
void sqlite_stmt_row(struct sqlite_stmt *st)
{
	const size_t n = st->cur.n_columns;

	for (size_t i = 0; i < n; i++) {
		struct value *v = &st->values[i];
		sqlite3_value *column = sqlite3_column_value(st->h, (int)i);
		const char *p;

		switch (sqlite3_value_type(column)) {
		case SQLITE_INTEGER:
			value_set_int(v, sqlite3_value_int64(column));
			break;
		case SQLITE_FLOAT:
			value_set_double(v, sqlite3_value_double(column));
			break;
		case SQLITE_TEXT:
			p = (const char *)sqlite3_value_text(column);
			value_set_str(v, VALUE_TEXT, p != NULL ? p : "", (size_t)sqlite3_value_bytes(column));
			break;
		case SQLITE_BLOB:
			p = sqlite3_value_blob(column);
			value_set_str(v, VALUE_BYTES, p != NULL ? p : "", (size_t)sqlite3_value_bytes(column));
			break;
		default:
			value_set_null(v);
			break;
		}
	}
	if (st->hides_path && n == DATABASE_LIST_COLUMNS)
		value_set_str(&st->values[DATABASE_LIST_FILE], VALUE_TEXT, "", 0);
}
