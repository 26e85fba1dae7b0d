/* Who holds how many transactions, in all and of each pool, so that no caller takes what others need. */
#include <assert.h>
#include <string.h>

#include "service/base/mem.h"
#include "store/session/tx.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

#define RETRY_AFTER_S 1 /* of a refusal because the caller's share of a pool is in use */

/* Of one pool; few pools have transactions of one caller at a time. */
struct hold {
	const struct connection *conn; /* borrowed from a root that is counted */
	size_t n;
	struct hold *next;
};

struct tx_holder {
	size_t n;
	struct hold *holds;
	size_t len;
	char name[];
};

void tx_table_shares(struct tx_table *t, const struct tx_shares *shares)
{
	t->shares = *shares;
}

static struct hold **hold_on(struct tx_holder *h, const struct connection *conn)
{
	struct hold **at = &h->holds;

	while (*at != NULL && (*at)->conn != conn)
		at = &(*at)->next;
	return at;
}

/* A caller by itself may have the whole pool: nobody is kept waiting but by its own doing. */
static size_t share_of(const struct connection *conn, size_t said)
{
	const int64_t max = pool_get_config(conn->pool)->max_connections;

	if (said > 0)
		return said;
	if (!connection_shared(conn))
		return SIZE_MAX;
	return max > 1 ? (size_t)max - 1 : 1;
}

static bool fits(const struct tx_table *t, const struct connection *conn, struct tx_holder *h,
		 const struct tx_shares *own, struct err *err)
{
	const size_t most = own->transactions > 0 ? own->transactions : t->shares.transactions;
	const size_t share = share_of(conn, own->connections > 0 ? own->connections : t->shares.connections);
	const struct hold *hold = h != NULL ? *hold_on(h, conn) : NULL;

	if (h != NULL && most > 0 && h->n >= most)
		return err_set(err, ERR_TRANSACTION_LIMIT,
			       "you have %zu open transactions, which is as many as one key may have; end one first",
			       h->n);
	if (hold == NULL || hold->n < share)
		return true;
	(void)err_set(
		err, ERR_TOO_MANY_REQUESTS,
		"your transactions hold %zu connections of \"%.*s\", which is one key's share of its pool; end one "
		"first",
		hold->n, STR_FMT(conn->name));
	err->retry_after_s = RETRY_AFTER_S;
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

bool tx_share_take(struct tx_table *t, const struct connection *conn, struct str owner, const struct tx_shares *own,
		   struct err *err)
{
	struct tx_holder *h = map_get(&t->holders, owner);

	if (!fits(t, conn, h, own, err))
		return false;
	if (h == NULL) {
		h = mem_alloc(sizeof(*h) + owner.len + 1);
		h->len = owner.len;
		if (owner.len != 0)
			memcpy(h->name, owner.p, owner.len);
		(void)map_put(&t->holders, str_n(h->name, h->len), h);
	}
	struct hold **at = hold_on(h, conn);
	if (*at == NULL) {
		*at = mem_alloc(sizeof(**at));
		(*at)->conn = conn;
	}
	(*at)->n++;
	h->n++;
	return true;
}

void tx_share_give(struct tx_table *t, const struct connection *conn, struct str owner)
{
	struct tx_holder *h = map_get(&t->holders, owner);
	struct hold **at = h != NULL ? hold_on(h, conn) : NULL, *hold = at != NULL ? *at : NULL;

	assert(hold != NULL);
	if (--hold->n == 0) {
		*at = hold->next;
		mem_free(hold);
	}
	if (--h->n == 0) {
		(void)map_remove(&t->holders, owner);
		mem_free(h);
	}
}
