/*
 * Tombstones of ended sessions and transactions: found by id, forgotten oldest first, bounded in time and number.
 * Owned by the table of what ended; it owns its graves.
 */
#ifndef FERROD_STORE_SESSION_GRAVEYARD_H
#define FERROD_STORE_SESSION_GRAVEYARD_H

#include "service/base/map.h"
#include "store/session/mint.h"

#define GRAVE_ID_BYTES MINT_TX_BYTES

/* Embedded first in the owner's struct, which is one mem_alloc block. */
struct grave {
	struct grave *younger;
	int64_t ended_ns; /* monotonic */
	char id[GRAVE_ID_BYTES];
};

/* Not thread-safe: under its owner's lock. */
struct graveyard {
	struct map by_id;
	struct grave *oldest, *youngest;
};

void graveyard_init(struct graveyard *y);
/* Frees every tombstone. */
void graveyard_done(struct graveyard *y);

/* Takes g, which ended now; its id is not in use. The oldest go when there are too many. */
void graveyard_add(struct graveyard *y, struct grave *g);

/* Borrowed until the next add or forget; NULL: not (or no longer) known. */
struct grave *graveyard_find(const struct graveyard *y, struct str id);

/* Forgets those that ended before that time. */
void graveyard_forget(struct graveyard *y, int64_t before_ns);

#endif
