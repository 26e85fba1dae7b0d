/*
 * What a server says unasked: notifications, notices and the values of settings. libpq keeps the first and the last of
 * them, so one that never ends would fill memory. Notices go to a receiver, which keeps a few.
 */
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* A walk of a list of so many settings that only a flood makes it; of those that servers tell it takes a hundredth. */
#define WALK_NS (20 * INT64_C(1000))
#define WALKS 5

/* Is a message of the server's being looked for? In other states of a connection that is made, libpq would take its
 * next message for one that nobody waits for. */
static bool reads_messages(const PGconn *pg)
{
	switch ((int)PQstatus(pg)) {
	case CONNECTION_OK:
	case CONNECTION_AUTH_OK:
	case CONNECTION_CHECK_WRITABLE:
	case CONNECTION_CONSUME:
		return true;
	default:
		return false;
	}
}

size_t pg_told_drop(PGconn *pg)
{
	size_t n = 0;
	PGnotify *told;

	if (!reads_messages(pg))
		return 0;
	for (; (told = PQnotifies(pg)) != NULL; n++)
		PQfreemem(told);
	return n;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char nobody[33]; /* the name of no setting, which a server cannot know */

static void make_name(void)
{
	uint8_t bytes[16];

	num_random(bytes, sizeof(bytes));
	num_hex(bytes, sizeof(bytes), nobody);
}

/* Settings are in a list that libpq shows nobody, and walks for each that is told: a longer one costs the loop ever
 * more. How long it is shows in the time that a walk takes; the shortest of a few walks is the list's own. */
bool pg_told_too_much(const PGconn *pg)
{
	(void)pthread_once(&once, make_name);
	for (int i = 0; i < WALKS; i++) {
		const int64_t from = clock_mono_ns();

		(void)PQparameterStatus(pg, nobody);
		if (clock_mono_ns() - from <= WALK_NS)
			return false;
	}
	return true;
}

/* What goes beyond the bounds is dropped: a function may tell something a row. */
static void keep_notice(struct pg_conn *c, const struct pg_said *said)
{
	const char *severity = pg_said_field(said, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *code = pg_said_field(said, PG_DIAG_SQLSTATE);
	const char *message = pg_said_field(said, PG_DIAG_MESSAGE_PRIMARY);
	struct strbuf *b = &c->base.notices;
	const size_t before = b->len;

	if (severity == NULL || code == NULL || message == NULL || c->base.n_notices == LIMIT_NOTICES ||
	    strlen(message) > LIMIT_NOTICE_BYTES)
		return;
	strbuf_puts(b, before > 0 ? ",{\"severity\":" : "{\"severity\":");
	strbuf_json_string(b, str_z(severity));
	strbuf_puts(b, ",\"code\":");
	strbuf_json_string(b, str_z(code));
	strbuf_puts(b, ",\"message\":");
	strbuf_json_string(b, str_z(message));
	strbuf_putc(b, '}');
	if (b->len > LIMIT_NOTICE_BYTES)
		strbuf_truncate(b, before);
	else
		c->base.n_notices++;
}

/* That a commit's wait for a standby was cancelled is told by a warning, of which nothing is sure but the function that
 * it comes from: no client's RAISE has that name. */
void pg_take_notice(struct pg_conn *c, const struct pg_said *said)
{
	const char *function = pg_said_field(said, PG_DIAG_SOURCE_FUNCTION);

	c->n_told++;
	if (function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0)
		c->base.unreplicated = true;
	keep_notice(c, said);
}
