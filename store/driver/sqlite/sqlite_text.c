/* Texts of statements, looked at without compiling them. */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* SELECTs of a client's text that a loop compiles. */
#define LOOP_SELECTS 12

static size_t skip_comment(struct str s, size_t i)
{
	if (s.p[i] == '-') {
		while (i < s.len && s.p[i] != '\n')
			i++;
		return i;
	}
	for (i += 2; i < s.len; i++) {
		if (s.p[i] == '*' && i + 1 < s.len && s.p[i + 1] == '/')
			return i + 2;
	}
	return s.len;
}

struct str sqlite_skip_blank(struct str s)
{
	size_t i = 0;

	while (i < s.len) {
		const char c = s.p[i];
		const char next = i + 1 < s.len ? s.p[i + 1] : '\0';

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == ';')
			i++;
		else if ((c == '-' && next == '-') || (c == '/' && next == '*'))
			i = skip_comment(s, i);
		else
			break;
	}
	return str_n(s.p + i, s.len - i);
}

/* SQLite expands common table expressions by recursion, as deep as they refer to each other, and has no limit on it:
 * the number of SELECTs in the text bounds it. Words in strings and comments count, too. */
size_t sqlite_text_selects(struct str sql)
{
	size_t n = 0;

	for (size_t i = 0; i + 6 <= sql.len; i++) {
		if ((sql.p[i] | 0x20) == 's' && str_ieq_z(str_n(sql.p + i, 6), "select"))
			n++;
	}
	return n;
}

/* Many SELECTs, or WITH before at least two: what it names twice may be named twice by the next one, or sixty times. */
bool sqlite_text_may_double(struct str sql)
{
	const size_t n = sqlite_text_selects(sql);

	if (n > LOOP_SELECTS)
		return true;
	for (size_t i = 0; n > 2 && i + 4 <= sql.len; i++)
		if ((sql.p[i] | 0x20) == 'w' && str_ieq_z(str_n(sql.p + i, 4), "with"))
			return true;
	return false;
}
