/*
 * The tokens of SQL as one database or the other takes them apart, for schema_sql.c and schema_sql_same.c. Pure; what
 * it gives is borrowed from the text.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_LEX_H
#define FERROD_STORE_SCHEMA_SCHEMA_LEX_H

#include <stdbool.h>

#include "service/base/str.h"
#include "store/dialect/dialect.h"

enum token { TOKEN_END, TOKEN_WORD, TOKEN_NAME /* quoted */, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SIGN, TOKEN_BROKEN };

struct lexer {
	enum dialect_id d;
	struct str s;
	size_t at;
	enum token kind;
	struct str text;   /* of the token, with its quotes */
	const char *wrong; /* of a broken one; static */
};

/* The next token; TOKEN_END at the end, TOKEN_BROKEN (and l->wrong) for what is none. */
enum token lex_next(struct lexer *l);
/* Is the token that sign, that word in any case? */
bool lex_sign(const struct lexer *l, char c);
bool lex_says(const struct lexer *l, const char *z);
/* How many signs, each a token, make up the operator that begins with this one; 0: none does. */
size_t lex_operator(const struct lexer *l);

#endif
