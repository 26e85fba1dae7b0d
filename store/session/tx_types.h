/* What is said of transactions. Plain data. */
#ifndef FERROD_STORE_SESSION_TX_TYPES_H
#define FERROD_STORE_SESSION_TX_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/str.h"
#include "store/driver/driver.h"
#include "store/session/mint.h"

#define TX_ID_BYTES MINT_TX_BYTES

enum tx_phase { TX_OPEN, TX_ABORTED, TX_COMMITTED, TX_ROLLED_BACK, TX_EXPIRED, TX_UNKNOWN };

/* How much one caller's open transactions may hold. */
struct tx_shares {
	size_t connections;  /* of one pool; 0: all but one (and one at least) of a pool that others have used, too */
	size_t transactions; /* in all, savepoints not counted; 0: any number */
};

struct tx_options {
	enum tx_isolation isolation;
	bool read_only;
	double timeout_s;        /* 0: the default */
	struct tx_shares shares; /* the caller's own; a member 0: the table's */
	int64_t since_ns;        /* as of struct route; 0: now */
	struct str settings;     /* of one without a session: what its requests tell the database; STR_NONE: nothing */
};

struct tx_view {
	char id[TX_ID_BYTES], parent_id[TX_ID_BYTES];  /* parent "" for a root */
	struct str connection_name, savepoint, detail; /* in the arena */
	enum tx_phase phase;
	const char
		*state; /* wire word: "open" "aborted" "committed" "rolled_back" "expired", "unknown" (the database was
			 * lost while it committed); static. A released savepoint shares the fate of what it lies in. */
	int64_t created_us, expires_us, ended_us;
	bool read_only;
};

#endif
