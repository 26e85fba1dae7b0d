/* See state_check.h. */
#include "store/state/state_check.h"

#include <unistd.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define FORMAT 1 /* what this version writes */

bool state_wrong_key(const struct state *s, struct err *err)
{
	return err_set(err, ERR_INVALID_VALUE, "the state at %.*s is sealed under another key%s",
		       STR_FMT(s->conn->dsn.redacted), s->seal.n == 0 ? ": name its file with \"state_key_file\"" : "");
}

bool state_no_file(const struct state *s, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID_REQUEST, "the state \"%.*s\" %s", STR_FMT(s->conn->dsn.path), what);
}

bool state_check_format(const struct state *s, struct str format, struct err *err)
{
	int64_t needs;
	if (format.p == NULL || (num_parse_int(format, &needs) && needs <= FORMAT))
		return true;
	return err_set(err, ERR_INVALID_VALUE,
		       "the state at %.*s was written by a newer version of ferrod (format %.*s, this one reads %d)",
		       STR_FMT(s->conn->dsn.redacted), STR_FMT(format), FORMAT);
}

bool state_check_word(const struct state *s, struct arena *a, struct str word, bool *ret_second, struct err *err)
{
	struct str got;
	return (seal_get(a, &s->seal, STR("word"), word, &got, ret_second) && str_eq_z(got, STATE_WORD)) ||
	       state_wrong_key(s, err);
}

/* It goes into headers and conditions: what begin_life does not write is no life. */
bool state_take_life(struct state *s, struct str life, struct err *err)
{
	if (life.len == 0 || life.len >= sizeof(s->life) ||
	    strspn(life.p, "0123456789abcdef") < life.len) /* it ends with a NUL, being in the arena */
		return err_set(err, ERR_INVALID_VALUE, "the state at %.*s has no life that this version knows",
			       STR_FMT(s->conn->dsn.redacted));
	memcpy(s->life, life.p, life.len);
	s->life[life.len] = '\0';
	return true;
}

bool state_find_key(struct state *s, struct str key_file, struct err *err)
{
	struct arena a;
	bool ok = true;
	arena_init(&a);
	const struct str beside = arena_printf(&a, "%.*s.key", STR_FMT(s->conn->dsn.path));
	const bool file = !state_is_postgres(s) && s->conn->dsn.mode != SQLITE_MODE_MEMORY;
	if (key_file.len > 0)
		ok = seal_load(arena_strz(&a, key_file), &s->seal, err);
	else if (file && access(beside.p, F_OK) == 0)
		ok = seal_load(beside.p, &s->seal, err);
	else if (file)
		s->make_key = mem_strndup(beside.p, beside.len);
	arena_done(&a);
	return ok;
}
