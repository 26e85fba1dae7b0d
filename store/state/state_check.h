/* What a state must be before it is read: judged alike by who opens it and by who only looks. Owns nothing. */
#ifndef FERROD_STORE_STATE_STATE_CHECK_H
#define FERROD_STORE_STATE_STATE_CHECK_H

#include "store/state/state_sql.h"

/* Always false: ERR_INVALID_VALUE. */
bool state_wrong_key(const struct state *s, struct err *err) MUST_CHECK;
/* Always false: ERR_INVALID_REQUEST, of a file of SQLite that `what` says. */
bool state_no_file(const struct state *s, const char *what, struct err *err) MUST_CHECK;
#define STATE_WORD "ferrod state" /* sealed, it proves the key */
#define STATE_UNMADE "cannot be made there"
/* Its format (STR_NONE: it has none yet) is one that this version reads. ERR_INVALID_VALUE. */
bool state_check_format(const struct state *s, struct str format, struct err *err) MUST_CHECK;
/* The word that is sealed in it (there is one) opens. *ret_second: by the second key. ERR_INVALID_VALUE. */
bool state_check_word(const struct state *s, struct arena *a, struct str word, bool *ret_second,
		      struct err *err) MUST_CHECK;
/* Its life, into s. ERR_INVALID_VALUE. */
bool state_take_life(struct state *s, struct str life, struct err *err) MUST_CHECK;
/* The key file that is named, or the one beside an SQLite state; that one is made for a state that has none yet. What
 * seal_load says. Blocks. */
bool state_find_key(struct state *s, struct str key_file, struct err *err) MUST_CHECK;

#endif
