/*
 * Behind a pooler in transaction mode (PgBouncer and its kin) every transaction may run on another of the server's
 * connections, which others use in between. So nothing is taken for granted that an earlier flight has left there:
 *
 *   - what a session needs set travels with each flight, for its transaction only;
 *   - what a client's own SQL may have left is put back in the same transaction, which is one that BEGIN began: so it
 *     is still there, on the same connection to the server, when the statement fails;
 *   - a prepared statement is named by a hash of its text and parameter types, so that a name means one text for
 *     everybody. A pooler that hands names on as they come has it on the one server connection and not on the other: a
 *     flight that guesses wrong (26000, 42P05, and the server tells the very name) has done nothing and is sent again,
 *     in the end without a name. One that keeps the names of each of its clients apart (PgBouncer since 1.21) takes
 *     down a name when it reads the Parse, whatever the server says to it, and ends the connection of a client that
 *     parses a name twice or runs one that it has not parsed. So a connection parses a name once, and again only when
 *     the server has told the name itself, which it cannot know of such a pooler's client. Only statements of ours
 *     outside transactions that have run before are named, for either error would abort one; at most PG_NAMES_MAX a
 *     pool, and never deallocated.
 *
 * DEALLOCATE ALL is never sent: on the server it takes other clients' statements, too, of which such a pooler knows
 * nothing (1.21), or which it must prepare again (1.22 and later). A client's SQL that says so ends the names of the
 * connection it was said on, and the connection when it is given back.
 */
#include <stdio.h>
#include <strings.h>

#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

#define DIGEST_BYTES 16
/* Flights of one statement with a name. */
#define ATTEMPTS_NAMED 4

struct entry {
	uint8_t digest[DIGEST_BYTES];
	bool retired; /* a plan that its table has outgrown cannot be replaced: not used any more */
};

struct pg_names {
	struct mutex lock;
	struct entry entries[PG_NAMES_MAX];
	size_t n;
};

struct pg_names *pg_names_create(void)
{
	struct pg_names *names = mem_alloc(sizeof(*names));

	mutex_init(&names->lock);
	return names;
}

void pg_names_destroy(struct pg_names *names)
{
	mutex_done(&names->lock);
	mem_free(names);
}

static struct entry *find(struct pg_names *names, const uint8_t *digest)
{
	for (size_t i = 0; i < names->n; i++)
		if (memcmp(names->entries[i].digest, digest, DIGEST_BYTES) == 0)
			return &names->entries[i];
	return NULL;
}

static bool knows(const struct pg_conn *c, size_t place)
{
	return (c->known[place / 64] >> place % 64 & 1) != 0;
}

/* Gives the flight its name, unless it has to do without; what has not run before is to have one the next time. */
static bool choose_name(struct pg_conn *c, const struct stmt *s, struct pg_flight *f)
{
	struct pg_names *names = c->base.db->names;
	uint8_t digest[32];
	bool fits = false, usable;

	f->is_new = false;
	if (s->raw || !s->cache || c->nameless || f->attempt >= ATTEMPTS_NAMED)
		return false;
	(void)pg_cache_find(&c->cache, s, &fits); /* writes the key */
	if (!fits)
		return false;
	num_sha256(strbuf_str(&c->cache.key), digest);
	memcpy(f->digest, digest, DIGEST_BYTES);
	f->name[0] = 'f';
	num_hex(digest, DIGEST_BYTES, f->name + 1);
	mutex_lock(&names->lock);
	const struct entry *e = find(names, f->digest);
	f->is_new = e == NULL;
	usable = e != NULL && !e->retired;
	if (usable) {
		const size_t place = (size_t)(e - names->entries);

		if (f->attempt == 0)
			f->parses = !knows(c, place);
		c->known[place / 64] |= (uint64_t)1 << place % 64; /* from the sending on, not from an answer */
	}
	mutex_unlock(&names->lock);
	return usable;
}

static bool send_text(struct pg_conn *c, const char *sql)
{
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

/* Words that do otherwise in a transaction that BEGIN began. */
static bool is_loose(const struct pg_conn *c, const struct stmt *s, const struct pg_flight *f)
{
	static const char *const words[] = {"lock", "declare"};
	bool loose = f->loose || stmt_is_transaction(s->sql);

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		loose = loose || (s->raw && strcmp(c->cur.told.first, words[i]) == 0);
	return loose;
}

/* Sends s with all that it needs around it, and the sync point. */
bool pg_pooled_send(struct pg_conn *c, const struct stmt *s, struct pg_flight *f)
{
	const struct pg_params *p = &c->params;
	bool ok;

	const bool begins = c->cur.leaves && !is_loose(c, s, f);

	f->named = choose_name(c, s, f);
	f->n_before = 2 + begins;
	if (PQenterPipelineMode(c->pg) != 1)
		return false;
	c->n_syncs = 1;
	ok = (!begins || send_text(c, "BEGIN")) && send_text(c, c->base.db->settings.p) &&
	     send_text(c, c->base.db->path.p);
	if (ok && f->named) {
		ok = (!f->parses || PQsendPrepare(c->pg, f->name, c->cache.key.p, (int)p->n, p->types) == 1) &&
		     PQsendQueryPrepared(c->pg, f->name, (int)p->n, p->values, p->lengths, p->formats, 0) == 1;
		f->n_before += f->parses;
	} else if (ok) {
		ok = pg_send_once(c, s);
	}
	for (size_t i = 0; ok && c->cur.leaves && pg_leavings[i] != NULL; i++)
		ok = send_text(c, pg_leavings[i]);
	ok = ok && (!c->cur.leaves || send_text(c, pg_drop_prepared(c)));
	ok = ok && (!begins || send_text(c, "COMMIT"));
	return ok && PQpipelineSync(c->pg) == 1;
}

void pg_pooled_done(struct pg_conn *c, const struct pg_flight *f)
{
	struct pg_names *names = c->base.db->names;

	if (!f->is_new)
		return;
	mutex_lock(&names->lock);
	if (names->n < PG_NAMES_MAX && find(names, f->digest) == NULL)
		memcpy(names->entries[names->n++].digest, f->digest, DIGEST_BYTES);
	mutex_unlock(&names->lock);
}

/* A statement that refuses to run inside a transaction leaves nothing in the session either. */
static bool runs_outside(const char *word)
{
	static const char *const words[] = {"vacuum", "cluster", "reindex", "create", "drop", "alter"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

bool pg_pooled_again(struct pg_conn *c, struct pg_flight *f, const PGresult *res)
{
	struct pg_names *names = c->base.db->names;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (state == NULL)
		return false;
	if (c->cur.raw && strcmp(state, "25001") == 0 && !f->bare && runs_outside(c->cur.told.first))
		return f->bare = true;
	/* a procedure that commits on its way: what it did before is undone */
	if (c->cur.leaves && strcmp(state, "2D000") == 0 && !f->loose)
		return f->loose = true;
	if (!f->named)
		return false;
	if (strcmp(state, "42P05") == 0 || strcmp(state, "26000") == 0) {
		const char *told = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
		const bool wrong = strcmp(state, f->parses ? "42P05" : "26000") == 0;

		if (wrong && told != NULL && strstr(told, f->name) != NULL) {
			f->attempt++;
			f->parses =
				!f->parses; /* though another of the server's connections may answer the next time */
		} else {
			f->attempt = ATTEMPTS_NAMED; /* a name of the pooler's own that the server has lost, or has */
		}
		return true;
	}
	if (strcmp(state, "0A000") != 0)
		return false;
	mutex_lock(&names->lock);
	struct entry *e = find(names, f->digest);
	if (e != NULL)
		e->retired = true;
	mutex_unlock(&names->lock);
	f->attempt = ATTEMPTS_NAMED;
	return true;
}

void pg_pooled_end(struct pg_conn *c)
{
	const uint64_t n_rollbacks = c->base.n_rollbacks;

	if (!c->pooled || !c->cur.autocommit || !c->cur.leaves || c->base.broken ||
	    PQtransactionStatus(c->pg) == PQTRANS_IDLE)
		return;
	c->unclean = true;
	c->base.driver->rollback(&c->base);
	c->unclean = false;
	c->base.n_rollbacks = n_rollbacks; /* nobody knows of it */
}

bool pg_pooled_refuses(struct pg_conn *c, const struct pg_sql_facts *facts, struct str sql, struct err *err)
{
	const char *what = NULL;
	char *text = mem_strndup(sql.p, sql.len);

	if (strcmp(facts->first, "listen") == 0)
		what = "LISTEN";
	else if (strcasestr(text, "advisory_lock") != NULL)
		what = "an advisory lock of a session";
	mem_free(text);
	if (what == NULL || !c->pooled)
		return false;
	(void)err_set(
		err, ERR_SQL_ERROR,
		"%s needs a connection of its own: a pooler in transaction mode is between, or cannot be ruled out "
		"(the pool's \"pooler\")",
		what);
	return true;
}
