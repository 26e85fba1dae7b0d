/* The commit of a request with an Idempotency-Key whose connection was lost, as long as nobody knows what became of it.
 * Plain data. */
#ifndef FERROD_HANDLERS_LOST_COMMIT_H
#define FERROD_HANDLERS_LOST_COMMIT_H

#include <string.h>

#include "service/base/limits.h"
#include "store/connection/fate.h"

struct lost_commit {
	struct commit_mark mark; /* is_set: there is one */
	bool local;              /* it is committed on its server, see COMMIT_FATE_LOCAL */
	bool waits;              /* it was to wait for a standby, and nothing else is known */
	char connection[LIMIT_CONNECTION_NAME + 1];
};

/* Remembers the latest one. */
static inline void lost_commit_set(struct lost_commit *l, struct str connection, const struct commit_mark *m)
{
	const size_t n = connection.len < sizeof(l->connection) ? connection.len : 0;

	l->mark = *m;
	memcpy(l->connection, connection.p, n);
	l->connection[n] = '\0';
}

#endif
