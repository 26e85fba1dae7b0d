/*
 * Every bound of the daemon, in one place. A limit that an operator may change is the default of a row of the settings
 * table (service/config/settings.c) and is named there; the others are compile-time caps. Owns nothing.
 */
#ifndef FERROD_BASE_LIMITS_H
#define FERROD_BASE_LIMITS_H

#include "service/base/clock.h"

/* defaults of settings (service/config/settings.c) */
#define LIMIT_BODY_BYTES (8 * 1024 * 1024)          /* request body */
#define LIMIT_BULK_BODY_BYTES (1024L * 1024 * 1024) /* bulk create body */
#define LIMIT_JSON_VALUES 200000                    /* of one document of a request */
#define LIMIT_HELD_BYTES 67108864                   /* of rows that a request holds before it answers */
#define LIMIT_LONG_PERCENT 5                        /* of a loop's time, for long requests beside short ones */
#define LIMIT_DRAIN_GRACE_S 5                       /* what the drain has cancelled may take to end */
#define LIMIT_URI_BYTES 4096                        /* request target */
#define LIMIT_HEADER_BYTES 8192                     /* request line and header block */
#define LIMIT_SESSIONS 10000                        /* open sessions, and per key */
#define LIMIT_TRANSACTIONS_PER_SESSION 16
#define LIMIT_TRANSACTIONS_PER_KEY 10000
#define LIMIT_IMAP_ENTRIES 10000             /* identity map, per session */
#define LIMIT_IMAP_BYTES (16L * 1024 * 1024) /* identity map, per session */
#define LIMIT_STATEMENT_TIMEOUT_S 30
#define LIMIT_SESSION_IDLE_S 900
#define LIMIT_SESSION_LIFETIME_S 86400
#define LIMIT_TX_TIMEOUT_S 300
#define LIMIT_TX_IDLE_S 60
#define LIMIT_BUSY_TIMEOUT_S 5             /* SQLite: other processes' locks */
#define LIMIT_SQLITE_VALUE_BYTES 268435456 /* one text or blob, and one row */
#define LIMIT_SQLITE_MATCH_TERMS 256       /* of one full-text query */
#define LIMIT_MIGRATE_WAIT_S 10            /* a migration waits for others in all */
#define LIMIT_SHARED_TRIP_S 2              /* PostgreSQL: a round trip that requests share */
#define LIMIT_SHARED_WRITE_S 5             /* SQLite: a transaction that single writes share */
#define LIMIT_SHARED_UNIT_S 0.5            /* SQLite: a unit of work in a transaction that it shares */
#define LIMIT_SHARED_GATHER_S 0.02         /* SQLite: such a transaction takes more units for so long */
#define LIMIT_HTTP_CONNECTIONS 20000
#define LIMIT_HTTP_IDLE_S 75
#define LIMIT_BODY_WAIT_S 5    /* a bulk create waits for its body */
#define LIMIT_BRING_UP_S 5     /* a start waits for databases before it takes connections */
#define LIMIT_DRAIN_NOTICE_S 5 /* with a state that servers share */
#define LIMIT_DRAIN_S 30
#define LIMIT_STATE_LISTEN_S 5 /* longest wait before the state's word of changes is asked for again */
#define LIMIT_TOMBSTONE_S 900  /* ended sessions and transactions are remembered */
#define LIMIT_TX_QUEUE 64      /* requests waiting for one transaction */
#define LIMIT_BATCH_STEPS 1000
#define LIMIT_IDEMPOTENCY_ANSWER_BYTES (8 * 1024 * 1024) /* the largest answer kept for an Idempotency-Key */
#define LIMIT_IDEMPOTENCY_BYTES (64 * 1024 * 1024)       /* all of one caller's */
#define LIMIT_IDEMPOTENCY_HOURS 24                       /* answers kept with their writes */
#define LIMIT_IDEMPOTENCY_ENTRIES 10000                  /* keys remembered of one caller */

/* compile-time caps */
#define LIMIT_JSON_DEPTH 64        /* nesting of any request document */
#define LIMIT_PREDICATE_DEPTH 48   /* nesting of a predicate tree */
#define LIMIT_RELATION_DEPTH 8     /* relations in a row of one reference */
#define LIMIT_PATH_STEPS 64        /* steps of a path into a document */
#define LIMIT_EXPR_ARGS 100        /* operands of one expression */
#define LIMIT_NAME_BYTES 63        /* names in the database: PostgreSQL's NAMEDATALEN - 1 */
#define LIMIT_CONNECTION_NAME 64   /* bytes of a connection's name */
#define LIMIT_CONNECTIONS 1000     /* named connections */
#define LIMIT_POOL_MAX 1000        /* max_connections of one pool */
#define LIMIT_STATEMENT_CACHE 100  /* prepared statements cached per database connection */
#define LIMIT_PLANS 500            /* lowered statements cached per loop */
#define LIMIT_PLAN_BYTES 8192      /* longer ones are not */
#define LIMIT_SHARED_STATEMENTS 64 /* of one round trip or transaction that requests share */
#define LIMIT_PIPELINE_WRITES 8    /* PostgreSQL: writes that are sent one behind the other */
#define LIMIT_PIPELINE_BYTES 65536 /* the parameters of one of them */
/* PostgreSQL: a flight that does not go by libpq, and the rows of one of its answers. */
#define LIMIT_PAST_FLIGHT_BYTES ((size_t)1024 * 1024)
#define LIMIT_PAST_ANSWER_BYTES ((size_t)1024 * 1024 * 1024)
#define LIMIT_MODELS 10000
#define LIMIT_DESCRIBED_FILTERS 200           /* of an operation by name: a Java method takes 255 arguments */
#define LIMIT_CATALOG_FILE (16 * 1024 * 1024) /* bytes of one file of the catalog */
#define LIMIT_CATALOG_VALUE (64 * 1024)       /* bytes of a file that a ${file:} of it names */
#define LIMIT_COLUMNS 1600                    /* PostgreSQL's MaxHeapAttributeNumber */
#define LIMIT_ERR_FAULTS 100                  /* faults listed in one problem document */
#define LIMIT_SCHEMA_WARNINGS 100             /* warnings listed about one document of models */
#define LIMIT_FIBER_STACK (512 * 1024) /* SQLite recurses over JSON and expressions; untouched pages cost nothing */
#define LIMIT_REQUEST_ID 128
#define LIMIT_SAVEPOINT_DEPTH 32
#define LIMIT_SQL_PARAMS_SQLITE 32766
#define LIMIT_SQL_PARAMS_PG 65535
#define LIMIT_BODY_WINDOW (128 * 1024)              /* bytes of a bulk body held before its handler reads them */
#define LIMIT_BODY_RATE (64 * 1024)                 /* bytes a second that a bulk body must come at in the long run */
#define LIMIT_SHORT_NS (2 * INT64_C(1000000))       /* processor time of a request that counts as short */
#define LIMIT_REST_NS INT64_C(1000000000)           /* a long one is held back for so long at a time, at most */
#define LIMIT_LOAD_SEND (64 * 1024)                 /* bytes of rows sent to PostgreSQL at a time */
#define LIMIT_PACK_BYTES 1024                       /* answers over it are compressed where the client accepts */
#define LIMIT_RESPONSE_CHUNK (64 * 1024)            /* bytes buffered before an answer starts to stream */
#define LIMIT_BATCH_ANSWER_BYTES (64 * 1024 * 1024) /* the results of a batch */
#define LIMIT_SHARED_ROW_BYTES (1024 * 1024)        /* rows of a write that are kept until the commit it shares */
#define LIMIT_QUERY_ARGS 256                        /* query arguments of one request */
#define LIMIT_INCLUDE_DEPTH 8                       /* includes within includes */
#define LIMIT_INCLUDES 20    /* of relations that are included more than once, under other names */
#define LIMIT_AGGREGATES 100 /* of one query */
#define LIMIT_COMPUTED 100   /* computed columns of an answer, beside the model's */
#define LIMIT_LINKS 10000    /* link values of one statement: below every database's parameter limit */
#define LIMIT_CURSOR_BYTES ((size_t)1024 * 1024) /* long texts may be part of the order */
#define LIMIT_PATTERN_BYTES 50000                /* of LIKE in SQLite: its own SQLITE_MAX_LIKE_PATTERN_LENGTH */
#define LIMIT_TOMBSTONES 100000                  /* ended sessions and transactions that are remembered at most */
#define LIMIT_KEY_SECRETS \
	8 /* of one key that are valid at a time, so that one can be replaced while the other is in use */
#define LIMIT_KEYS_FILE (4 * 1024 * 1024)     /* bytes of a file of keys */
#define LIMIT_CONFIG_FILE (1024 * 1024)       /* bytes of the configuration file */
#define LIMIT_LINGER_BYTES (64 * 1024 * 1024) /* of a body that nobody reads */
#define LIMIT_LINGERS 256                     /* connections of one loop that are read past their answer at a time */
#define LIMIT_MODEL_NAME 255                  /* bytes of a model's or relation's name */
#define LIMIT_NOTICES 100                     /* of PostgreSQL that are told with one answer */
#define LIMIT_NOTICE_BYTES 8192               /* of one of them, and of all together but for the last */
#define LIMIT_NEEDLE_BYTES ((size_t)1 << 20)  /* SQLite: what instr and replace look for in longer texts */
#define LIMIT_TRIM_BYTES ((size_t)64 << 10)   /* SQLite: of what trim takes off */
#define LIMIT_SQL_BYTES (1024 * 1024)

/* How long a PostgreSQL table counts as one that calls no functions of its own, and of how many that is kept. */
#define LIMIT_PLAIN_NS (10 * INT64_C(1000000000))
#define LIMIT_PLAIN_TABLES 10000
/* The same for texts of clients: of how many sets of names it is kept what they are, and of how many texts (and how
 * long ones) which set is theirs. */
#define LIMIT_PROOFS 2000
#define LIMIT_PROOF_TEXTS 4000
#define LIMIT_PROOF_BYTES 8192

#define LIMIT_SUBJECT_BYTES 1024     /* of a client certificate */
#define LIMIT_ROLE_BYTES 63          /* PostgreSQL's names */
#define LIMIT_SETTINGS 32            /* that a request, a session or a key tells the database */
#define LIMIT_SETTING_NAME_BYTES 128 /* of one of them */
#define LIMIT_SETTING_VALUE_BYTES 4096

/* Times that are nobody's setting: what something may take, or how long it pauses before the next try. */
#define LIMIT_LINGER_NS (5 * CLOCK_NS_PER_S)       /* an answered connection is read on, so that its answer arrives */
#define LIMIT_RELOAD_S 60.0                        /* a reload of the catalog */
#define LIMIT_TRY_S 5.0                            /* one attempt to reach a declared database */
#define LIMIT_ADOPT_S 1.0                          /* the same, while other servers' changes wait */
#define LIMIT_TRY_PAUSE_NS (100 * CLOCK_NS_PER_MS) /* between two attempts; twice as long after each */
#define LIMIT_TRY_PAUSE_MAX_NS CLOCK_NS_PER_S
#define LIMIT_DECLARED_TURN_S 30.0 /* changes of what is declared wait for one another */
#define LIMIT_TELL_TURN_S 30.0     /* what callers tell waits for what others tell */
#define LIMIT_TELL_TRIES_S 10.0    /* and is kept within that, when other servers change the state meanwhile */
#define LIMIT_BEHIND_S 5.0         /* a request waits for the state that its Ferro-Catalog names */
#define LIMIT_STATE_S 5.0          /* one unit of work on the state, unless the caller has less */
#define LIMIT_BEAT_WAIT_S 2.0      /* a request waits for this node's next beat */
#define LIMIT_KNOWN_WAIT_S 1.5     /* and for a connection that was told to another node a moment ago */
#define LIMIT_BACKENDS_END_S 2     /* a dead node's backends get, to end */
#define LIMIT_CLAIM_S 20.0         /* a start waits for rivals of its name, one after the other */
#define LIMIT_POOL_OPEN_NS (10 * CLOCK_NS_PER_S)    /* opening a connection that nobody waits for yet */
#define LIMIT_POOL_PING_NS (5 * CLOCK_NS_PER_S)     /* asking one whether it lives, or its reset */
#define LIMIT_POOL_UNASKED_NS (10 * CLOCK_NS_PER_S) /* one idle for longer is asked before it is used */
#define LIMIT_POOL_PAUSE_NS (50 * CLOCK_NS_PER_MS)  /* before the next attempt to open one; twice as long after each */
#define LIMIT_POOL_PAUSE_MAX_NS CLOCK_NS_PER_S
#define LIMIT_CONNECT_MIN_NS (2 * CLOCK_NS_PER_S) /* one host of a PostgreSQL URL gets no less; nor from libpq */
#define LIMIT_CANCEL_NS (2 * CLOCK_NS_PER_S)      /* a request to cancel: connecting, and its answer */
#define LIMIT_GRACE_NS \
	(2 * CLOCK_NS_PER_S) /* a cancelled statement may take to end before its connection is given up */
#define LIMIT_CLEANUP_NS (5 * CLOCK_NS_PER_S) /* rollback and reset of a PostgreSQL session */
#define LIMIT_UNDO_NS (5 * CLOCK_NS_PER_S)    /* undoing, however late the request is */
#define LIMIT_SETTLE_NS (2 * CLOCK_NS_PER_S)  /* the end of a session waits for what runs in one of its transactions */
#define LIMIT_FATE_NS (5 * CLOCK_NS_PER_S)    /* what became of a commit that was lost is asked for */
#define LIMIT_MIGRATE_STEP_NS \
	(2 * CLOCK_NS_PER_S) /* a migration waits for tables' locks at a time: who wants to read queues behind it \
				meanwhile */
#define LIMIT_MIGRATE_PAUSE_NS (500 * CLOCK_NS_PER_MS) /* then everything is given back, and they get through */
#define LIMIT_BATCH_TRIES 6                            /* of an atomic batch that runs into other writers */
#define LIMIT_BATCH_PAUSE_MS 10 /* between the first two; twice as long after each, with jitter */
#define LIMIT_IDEMPOTENCY_NS (24 * 3600 * CLOCK_NS_PER_S) /* an answer for an Idempotency-Key is kept in memory */
#define LIMIT_KEEPER_MS 1000 /* SQLite: at the end of a pool other processes may read from the log */

#endif
