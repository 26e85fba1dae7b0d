/* What can be said of a statement's text without parsing it. */
#include "store/stmt.h"

#include <stddef.h>
#include <string.h>

#include "service/base/macros.h"

#include "service/base/banned.h"

static char at(struct str s, size_t i)
{
	return i < s.len ? s.p[i] : '\0';
}

/* Past a comment's end, the outer one's when they nest: whoever does not nest them sees more text, never less. */
static size_t past_comment(struct str s, size_t i)
{
	size_t depth = 0;

	do {
		if (at(s, i) == '/' && at(s, i + 1) == '*') {
			depth++;
			i += 2;
		} else if (at(s, i) == '*' && at(s, i + 1) == '/') {
			depth--;
			i += 2;
		} else {
			i++;
		}
	} while (depth > 0 && i < s.len);
	return i;
}

/* The text behind blanks, empty statements, comments and a byte order mark. */
static struct str past_blank(struct str s)
{
	size_t i = 0;

	for (;;) {
		const char c = at(s, i);

		if (c != '\0' && strchr(" \t\r\n\f\v;", c) != NULL)
			i++;
		else if (s.len - i >= 3 && memcmp(s.p + i, "\xef\xbb\xbf", 3) == 0)
			i += 3;
		else if (c == '-' && at(s, i + 1) == '-')
			while (i < s.len && s.p[i] != '\n')
				i++;
		else if (c == '/' && at(s, i + 1) == '*')
			i = past_comment(s, i);
		else
			return i < s.len ? str_n(s.p + i, s.len - i) : STR("");
	}
}

static struct str first_word(struct str *s)
{
	size_t n = 0;
	struct str word;

	*s = past_blank(*s);
	while ((at(*s, n) >= 'a' && at(*s, n) <= 'z') || (at(*s, n) >= 'A' && at(*s, n) <= 'Z') || at(*s, n) == '_')
		n++;
	word = str_n(s->p, n);
	*s = str_n(s->p + n, s->len - n);
	return word;
}

bool stmt_is_transaction(struct str sql)
{
	static const char *const words[] = {"begin",    "start", "commit",    "end",
					    "rollback", "abort", "savepoint", "release"};
	const struct str word = first_word(&sql);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(word, words[i]))
			return true;
	return str_ieq_z(word, "prepare") && str_ieq_z(first_word(&sql), "transaction");
}

bool stmt_ends_transaction(struct str sql)
{
	const struct str word = first_word(&sql);
	struct str next = first_word(&sql);

	if (str_ieq_z(word, "prepare"))
		return str_ieq_z(next, "transaction");
	if (!str_ieq_z(word, "commit") && !str_ieq_z(word, "end") && !str_ieq_z(word, "rollback") &&
	    !str_ieq_z(word, "abort"))
		return false;
	if (str_ieq_z(next, "work") || str_ieq_z(next, "transaction"))
		next = first_word(&sql);
	if (str_ieq_z(next, "and"))
		return !str_ieq_z(first_word(&sql), "chain");
	return !str_ieq_z(next, "to");
}

struct str stmt_first_word(struct str sql)
{
	return first_word(&sql);
}

bool stmt_is_own_savepoint(struct str name)
{
	static const char numbered[] = "sp_";
	const size_t n = sizeof(numbered) - 1;

	if (name.len >= 7 && str_ieq_z(str_n(name.p, 7), "ferrod_"))
		return true;
	if (name.len <= n || !str_ieq_z(str_n(name.p, n), numbered))
		return false;
	for (size_t i = n; i < name.len; i++)
		if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	return true;
}

static bool word_follows(struct str *s, const char *word)
{
	struct str rest = *s;

	if (!str_ieq_z(first_word(&rest), word))
		return false;
	*s = rest;
	return true;
}

static bool is_own_name(struct str s)
{
	size_t n = 0;

	s = past_blank(s);
	if ((at(s, 0) == 'U' || at(s, 0) == 'u') && at(s, 1) == '&') /* with escapes it may be any */
		return true;
	if (at(s, 0) == '"') {
		for (n = 1; n < s.len && s.p[n] != '"'; n++)
			;
		return stmt_is_own_savepoint(str_n(s.p + 1, n - 1));
	}
	while (n < s.len &&
	       ((s.p[n] >= 'a' && s.p[n] <= 'z') || (s.p[n] >= 'A' && s.p[n] <= 'Z') ||
		(s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '_' || s.p[n] == '$' || (s.p[n] & 0x80) != 0))
		n++;
	return stmt_is_own_savepoint(str_n(s.p, n));
}

bool stmt_takes_own_savepoint(struct str sql)
{
	const struct str word = first_word(&sql);

	if (str_ieq_z(word, "savepoint"))
		return is_own_name(sql);
	if (str_ieq_z(word, "release")) {
		(void)word_follows(&sql, "savepoint");
		return is_own_name(sql);
	}
	if (!str_ieq_z(word, "rollback"))
		return false;
	if (!word_follows(&sql, "work"))
		(void)word_follows(&sql, "transaction");
	if (!word_follows(&sql, "to"))
		return false;
	(void)word_follows(&sql, "savepoint");
	return is_own_name(sql);
}

/* Does the word stand anywhere in the text, be it in a name or a comment? */
static bool holds_word(struct str s, const char *word)
{
	const size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.len; i++)
		if (str_ieq_z(str_n(s.p + i, n), word))
			return true;
	return false;
}

bool stmt_may_commit_some(struct str sql)
{
	static const char *const words[] = {"call", "do", "vacuum", "reindex", "cluster"};
	struct str rest = sql;
	const struct str word = first_word(&rest);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(word, words[i]))
			return true;
	return (str_ieq_z(word, "create") || str_ieq_z(word, "drop") || str_ieq_z(word, "alter")) &&
	       holds_word(rest, "concurrently");
}

bool stmt_is_undoable_ddl(struct str sql)
{
	static const char *const words[] = {"create", "drop", "alter", "comment", "grant", "revoke", "truncate"};
	/* what these say is done at once, or piece by piece */
	static const char *const alone[] = {"concurrently", "database", "tablespace", "subscription",
					    "system",       "type",     "partition"};
	struct str rest = sql;
	const struct str word = first_word(&rest);
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		found |= str_ieq_z(word, words[i]);
	for (size_t i = 0; found && i < ARRAY_LEN(alone); i++)
		found = !holds_word(rest, alone[i]);
	return found;
}
