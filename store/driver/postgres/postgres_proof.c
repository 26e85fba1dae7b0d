/* What is known of a client's own text: its names are its key, what they are postgres_prove.c finds out. */
#include <string.h>

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* Of a text that is one statement which reads or writes rows: its names, behind a letter that says whether it only
 * reads. An empty key: it is none. */
static void write_key(const struct stmt *s, const struct pg_sql_facts *facts, struct strbuf *key)
{
	static const char *const starts[] = {"select", "values", "table",  "with",
					     "insert", "update", "delete", "merge"};
	struct arena arena;
	bool reads, is_one = facts->complete && !facts->several && facts->n_params == s->n_params;
	size_t i = 0;

	while (i < ARRAY_LEN(starts) && strcmp(facts->first, starts[i]) != 0)
		i++;
	if (!is_one || i == ARRAY_LEN(starts))
		return;
	arena_init(&arena);
	strbuf_putc(key, ' ');
	if (pg_sql_names(s->sql, &arena, key, &reads))
		key->p[0] = reads ? PG_KEY_READS : PG_KEY_WRITES;
	else
		strbuf_reset(key);
	arena_done(&arena);
}

static bool is_known_text(struct driver_db *db, const struct stmt *s, struct strbuf *key)
{
	struct pg_sql_facts facts;

	if (s->sql.len > LIMIT_PROOF_BYTES || s->param_names != NULL)
		return false;
	if (pg_proof_text(db->plain, s, key))
		return key->len > 0;
	pg_sql_scan(s->sql, &facts);
	write_key(s, &facts, key);
	pg_proof_keep_text(db->plain, s, strbuf_str(key));
	return key->len > 0;
}

enum raw_kind pg_raw_kind(struct driver_db *db, const struct stmt *s)
{
	enum raw_kind kind = RAW_UNKNOWN;
	struct strbuf key;

	strbuf_init(&key, LIMIT_PROOF_BYTES);
	if (is_known_text(db, s, &key))
		kind = pg_proof_get(db->plain, strbuf_str(&key), NULL);
	strbuf_done(&key);
	return kind;
}

bool pg_raw_clean(struct pg_conn *c, const struct stmt *s)
{
	enum raw_kind kind = RAW_UNKNOWN;
	bool wanted = false;
	struct strbuf key;

	if (c->base.role[0] != '\0') /* under which a name may mean something else */
		return false;
	strbuf_init(&key, LIMIT_PROOF_BYTES);
	if (is_known_text(c->base.db, s, &key))
		kind = pg_proof_get(c->base.db->plain, strbuf_str(&key), &wanted);
	if (wanted && c->n_wanted < ARRAY_LEN(c->wanted)) {
		char *copy = strbuf_take(&key, NULL);

		c->wanted[c->n_wanted++] = copy;
	}
	strbuf_done(&key);
	return kind == RAW_CLEAN || kind == RAW_SHARES;
}

void pg_raw_done(struct pg_conn *c)
{
	while (c->n_wanted > 0)
		mem_free(c->wanted[--c->n_wanted]);
}
