/* Options of a store that a test soon fills. */
#include "tests/support/small_store.h"

const struct store_options small_store = {
	.sessions = {.max_sessions = 100,
		     .max_per_owner = 100,
		     .max_transactions = 16,
		     .idle_timeout_s = 900,
		     .max_lifetime_s = 86400,
		     .tombstone_s = 900,
		     .imap_entries = 1000,
		     .imap_bytes = 100000},
	.busy_timeout_s = 1,
	.tx_timeout_s = 300,
	.tx_timeout_max_s = 3600,
	.tx_queue_max = 64,
	.sqlite_cache_kib = 2000,
};
