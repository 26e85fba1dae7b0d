/*
 * Clients' texts that only read, as the authorizer saw when one of them was compiled: nothing but SELECT, READ,
 * RECURSIVE and functions that neither tell of the connection nor compute for long. (sqlite3_stmt_readonly is true of
 * COMMIT and of pragmas, too.) What a name stands for may change afterwards, what kind of statement the text is cannot.
 */
#include <string.h>
#include <strings.h>

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

struct sqlite_proofs {
	struct mutex lock;
	struct map texts; /* owned keys, which are their own values */
};

struct sqlite_proofs *sqlite_proofs_create(void)
{
	struct sqlite_proofs *x = mem_alloc(sizeof(*x));

	mutex_init(&x->lock);
	map_init(&x->texts);
	return x;
}

static void empty(struct sqlite_proofs *x)
{
	void *text;

	for (size_t pos = 0; (text = map_next(&x->texts, &pos)) != NULL;)
		mem_free(text);
	map_done(&x->texts);
	map_init(&x->texts);
}

void sqlite_proofs_destroy(struct sqlite_proofs *x)
{
	empty(x);
	mutex_done(&x->lock);
	mem_free(x);
}

/* The key is the text with the number of its parameters before it. */
static void put_key(struct strbuf *b, struct str sql, size_t n_params)
{
	strbuf_int(b, (int64_t)n_params);
	strbuf_putc(b, ' ');
	strbuf_put(b, sql);
}

void sqlite_proof_keep(struct sqlite_conn *c, struct str sql, size_t n_params)
{
	struct sqlite_proofs *x = c->base.db->proofs;
	struct strbuf b;
	char *copy;
	size_t len;

	if (sql.len > LIMIT_PROOF_BYTES)
		return;
	strbuf_init(&b, 0);
	put_key(&b, sql, n_params);
	copy = strbuf_take(&b, &len);
	mutex_lock(&x->lock);
	if (x->texts.n >= LIMIT_PROOF_TEXTS) /* those in use are soon there again */
		empty(x);
	if (map_get(&x->texts, str_n(copy, len)) == NULL) {
		(void)map_put(&x->texts, str_n(copy, len), copy);
		copy = NULL;
	}
	mutex_unlock(&x->lock);
	mem_free(copy);
}

enum raw_kind sqlite_raw_kind(struct driver_db *db, const struct stmt *s)
{
	struct sqlite_proofs *x = db->proofs;
	struct strbuf key;
	bool found;

	if (s->sql.len > LIMIT_PROOF_BYTES || s->param_names != NULL)
		return RAW_UNKNOWN;
	strbuf_init(&key, 0);
	put_key(&key, s->sql, s->n_params);
	mutex_lock(&x->lock);
	found = map_get(&x->texts, strbuf_str(&key)) != NULL;
	mutex_unlock(&x->lock);
	strbuf_done(&key);
	return found ? RAW_SHARES : RAW_UNKNOWN;
}

/* Of the connection, and of what other statements on it have done. */
static bool tells_of_connection(const char *function)
{
	static const char *const names[] = {"changes", "total_changes", "last_insert_rowid"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(function, names[i]) == 0)
			return true;
	return false;
}

bool sqlite_proof_allows(int action, const char *one, const char *two)
{
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return true;
	case SQLITE_READ:
		return one == NULL || strncasecmp(one, "pragma_", 7) != 0;
	case SQLITE_FUNCTION:
		return two != NULL && !tells_of_connection(two);
	default:
		return false;
	}
}
