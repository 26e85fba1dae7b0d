/* One rule for the names of all artifacts, so that every emitter and the planner agree on them. */
#include "store/schema/schema_names.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

static const struct {
	const char *prefix, *suffix;
} rules[] = {
	[ARTIFACT_INDEX] = {"idx", "_idx"},
	[ARTIFACT_UNIQUE] = {"uq", "_uq"},
	[ARTIFACT_CHECK] = {"ck", "_ck"},
	[ARTIFACT_FOREIGN_KEY] = {"fk", ""},
};

struct str schema_artifact_fit(struct arena *a, enum artifact kind, struct str name)
{
	struct str suffix = str_z(rules[kind].suffix);
	size_t cut = LIMIT_NAME_BYTES - suffix.len;

	if (name.len <= LIMIT_NAME_BYTES)
		return name;
	/* back to the start of the character that would be cut in two */
	while (cut > 0 && ((unsigned char)name.p[cut] & 0xC0) == 0x80)
		cut--;
	return arena_printf(a, "%.*s%s", (int)cut, name.p, suffix.p);
}

struct str schema_artifact_name(struct arena *a, enum artifact kind, struct str table, const struct str *parts,
				size_t n_parts)
{
	size_t len = strlen(rules[kind].prefix) + 1 + table.len;
	char *p, *at;

	for (size_t i = 0; i < n_parts; i++)
		len += 1 + parts[i].len;
	p = at = arena_alloc(a, len + 1);
	memcpy(at, rules[kind].prefix, strlen(rules[kind].prefix));
	at += strlen(rules[kind].prefix);
	*at++ = '_';
	if (table.len > 0)
		memcpy(at, table.p, table.len);
	at += table.len;
	for (size_t i = 0; i < n_parts; i++) {
		*at++ = '_';
		if (parts[i].len > 0)
			memcpy(at, parts[i].p, parts[i].len);
		at += parts[i].len;
	}
	return schema_artifact_fit(a, kind, str_n(p, len));
}
