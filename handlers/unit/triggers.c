/* What is known of tables, for a short while; see triggers.h. */
#include "handlers/unit/triggers.h"

#include "handlers/answer/values.h"
#include "handlers/unit/reads.h"
#include "service/base/clock.h"
#include "service/base/mutex.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define FACTS 1024               /* tables remembered: one place each, by hash */
#define FACT_NS (CLOCK_NS_PER_S) /* others may make triggers at any time */

struct fact {
	uint64_t connection, table, schema_epoch;
	int64_t until_ns;
	int64_t facts; /* record_lower_triggers */
};

static struct mutex lock = {.m = PTHREAD_MUTEX_INITIALIZER};
static struct fact facts[FACTS];

static struct fact fact_of(const struct context *c, const struct model *m)
{
	const struct connection *conn = c->route.conn;

	return (struct fact){.connection = conn->uid,
			     .table = num_hash(m->place),
			     .schema_epoch = __atomic_load_n(&conn->schema_epoch, __ATOMIC_RELAXED)};
}

static struct fact *place(const struct fact *f)
{
	return &facts[(f->table ^ f->connection * 0x9e3779b97f4a7c15u) % FACTS];
}

static bool recall(const struct fact *f, int64_t *ret)
{
	struct fact *known = place(f);
	bool found;

	mutex_lock(&lock);
	found = known->connection == f->connection && known->table == f->table &&
		known->schema_epoch == f->schema_epoch && clock_coarse_ns() < known->until_ns;
	*ret = known->facts;
	mutex_unlock(&lock);
	return found;
}

static void remember(struct fact f)
{
	f.until_ns = clock_coarse_ns() + FACT_NS;
	mutex_lock(&lock);
	*place(&f) = f;
	mutex_unlock(&lock);
}

/* What statements that are on their way were made by. */
struct fact_pin {
	uint64_t table;
	int64_t facts;
	struct fact_pin *next;
};

static bool pinned(const struct context *c, const struct fact *f, int64_t *ret)
{
	if (c->exec.n_ahead == 0 && !c->exec.last && !exec_travels(&c->exec))
		return false;
	for (const struct fact_pin *p = c->pins; p != NULL; p = p->next) {
		if (p->table == f->table) {
			*ret = p->facts;
			return true;
		}
	}
	return false;
}

static bool ask(struct context *c, const struct model *m, int64_t *ret, struct err *err)
{
	struct fact f = fact_of(c, m);
	struct driver_conn *dc;
	const bool in_unit = c->in_unit;
	struct stmt stmt;

	if (pinned(c, &f, ret) || recall(&f, ret))
		return true;
	if (!in_unit)
		context_read(c);
	/* asking is a read: in a transaction of SQLite that has seen nothing yet it fixes what the write to come will
	 * be based on, so nobody may write between the two */
	if (c->route.tx != NULL && !exec_conn(&c->exec, LEASE_WRITE, &dc, err))
		return false;
	if (!record_lower_triggers(&c->req->arena, c->route.conn->dialect, m, &stmt, err) ||
	    !context_scalar(c, &stmt, ret, err) || (!in_unit && !context_commit(c, err))) {
		if (!in_unit && c->route.tx == NULL && err->outcome == ERR_OUTCOME_NONE)
			err->outcome = ERR_OUTCOME_NOT_STARTED; /* the write that asks */
		return false;
	}
	f.facts = *ret;
	if (c->route.tx == NULL) /* in a transaction they may be its own, and vanish with it */
		remember(f);
	return true;
}

bool context_triggers(struct context *c, const struct model *m, bool *ret, struct err *err)
{
	int64_t known = 0;

	if (!ask(c, m, &known, err))
		return false;
	*ret = (known & 1) != 0;
	return true;
}

bool context_triggers_known(struct context *c, const struct model *m, bool *ret)
{
	const struct fact f = fact_of(c, m);
	int64_t known;

	if (!pinned(c, &f, &known)) {
		if (!recall(&f, &known))
			return false;
		struct fact_pin *p = arena_alloc(&c->req->arena, sizeof(*p));
		*p = (struct fact_pin){.table = f.table, .facts = known, .next = c->pins};
		c->pins = p;
	}
	*ret = (known & 1) != 0;
	return true;
}

void context_triggers_unpin(struct context *c)
{
	c->pins = NULL;
}

bool context_plain_table(struct context *c, const struct model *m, bool *ret, struct err *err)
{
	int64_t known = 0;

	if (!ask(c, m, &known, err))
		return false;
	*ret = (known & 2) != 0;
	return true;
}

bool context_uniques(struct context *c, const struct model *m, int64_t *ret, struct err *err)
{
	int64_t known = 0;

	if (!ask(c, m, &known, err))
		return false;
	*ret = known >> 2;
	return true;
}

void context_unleash(struct context *c, bool triggers)
{
	if (triggers)
		imap_write_begin(c->unit_map, NULL, IMAP_EVERYTHING, STR_NONE);
}

void context_unleashed(struct context *c, bool triggers)
{
	if (triggers)
		imap_write_raw(c->unit_map, false);
}

bool context_settle(struct context *c, const struct model *m, bool triggers, const struct value *was,
		    struct value **row, struct err *err)
{
	struct value *key, *now;

	context_unleashed(c, triggers);
	if (!triggers || *row == NULL || m->n_pk == 0)
		return true;
	if (!row_key_values(&c->req->arena, c->route.conn->dialect, m, *row, &key, err))
		return false;
	for (size_t i = 0; was != NULL && i < m->n_pk; i++)
		if (key[i].kind == VALUE_NULL)
			key[i] = was[i];
	if (!context_record(c, m, key, QUERY_LOCK_NONE, &now, err))
		return false;
	*row = now;
	return true;
}

void context_swallowed(struct context *c)
{
	header_set(c->res, "Ferro-Affected", STR("0"));
}

void context_triggers_forget(struct str sql)
{
	static const char *const words[] = {"create", "alter", "drop", "do", "call"};

	sql = str_trim(sql);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const struct str word = str_z(words[i]);

		if (sql.len <= word.len || !str_ieq_z(str_n(sql.p, word.len), words[i]))
			continue;
		mutex_lock(&lock);
		memset(facts, 0, sizeof(facts));
		mutex_unlock(&lock);
		return;
	}
}
