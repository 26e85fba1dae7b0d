/* Booleans that others have written into SQLite as words. Owns nothing. */
#ifndef FERROD_STORE_DRIVER_SQLITE_WORDS_SQLITE_H
#define FERROD_STORE_DRIVER_SQLITE_WORDS_SQLITE_H

#include "store/driver/catalog.h"

/* Sets the column's spelling to "words" where anybody has written a boolean as a word, which no number finds. Parks. */
bool sqlite_read_words(struct catalog *c, const struct live_table *t, struct live_column *col,
		       struct err *err) MUST_CHECK;

#endif
