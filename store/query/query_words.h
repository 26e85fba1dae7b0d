/* The one place that knows which words expressions have, and tells them from values. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_WORDS_H
#define FERROD_STORE_QUERY_QUERY_WORDS_H

#include "store/query/query_parse.h"

struct expr_word {
	const char *word;
	enum expr_kind kind;
	size_t min, max; /* operands */
	unsigned trait;  /* what they must be good for; 0: anything */
	const char *needs;
};

/* NULL: there is no such word. */
const struct expr_word *query_word(const char *word);
/* Of a kind of the reference's that has a word of ours ("add"); it must have one. */
const struct expr_word *query_word_of_kind(struct str kind);

enum expr_form {
	FORM_VALUE,     /* no expression: it stands for itself */
	FORM_WORD,      /* {"$add": [...]}; the word may be unknown */
	FORM_REFERENCE, /* {"kind": "add", "left": ..., "right": ...} */
	FORM_FAULT      /* an expression, but for a member that none has */
};

/* hint: the type of what the value goes to or is compared with; NULL: unknown. A document may look like an expression:
 * {"$json": X} is X. *ret_member (FORM_FAULT): the member; borrowed. */
enum expr_form query_expr_form(const json_t *v, const struct column *hint, const char **ret_member);

#endif
