/* Per-database state: the name that SQLite opens, the anchor of an in-memory database. What connections of one file
 * share whatever database they belong to: sqlite_file.c. */
#include "store/driver/sqlite/driver_sqlite.h"
#include "store/driver/sqlite/sqlite_file.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include <stdio.h>
#include <sys/stat.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

#define TRIED_NS (250 * CLOCK_NS_PER_MS) /* a writer that waits for a lock tries more often, on a busy loop too */
#define LOOK_NS (50 * CLOCK_NS_PER_MS)

static bool refuse_links; /* before the first thread */
static uint64_t n_memory; /* atomic; makes the names of in-memory databases unique */

static char *take_name(struct strbuf *b)
{
	return strbuf_take(b, NULL);
}

/* Debian's SQLite reads "file:" names as URIs whatever the flags say; no relative name may begin so, or with ":". */
static char *plain_name(struct str path)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	if (path.p[0] != '/')
		strbuf_puts(&b, "./");
	strbuf_put(&b, path);
	return take_name(&b);
}

char *sqlite_uri_name(struct str path, const char *query)
{
	static const char digits[] = "0123456789ABCDEF";
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_puts(&b, path.p[0] == '/' ? "file:" : "file:./");
	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
		    c == '.' || c == '_' || c == '-') {
			strbuf_putc(&b, (char)c);
		} else {
			strbuf_putc(&b, '%');
			strbuf_putc(&b, digits[c >> 4]);
			strbuf_putc(&b, digits[c & 15]);
		}
	}
	strbuf_puts(&b, query);
	return take_name(&b);
}

/* The memdb VFS shares a database between the connections that open one name, if it begins with '/'. Shared-cache mode
 * would do too, but holds mutexes while its busy handler runs. */
static char *memory_name(void)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "file:/ferrod-");
	strbuf_int(&b, (int64_t)__atomic_add_fetch(&n_memory, 1, __ATOMIC_RELAXED));
	strbuf_puts(&b, "?vfs=memdb");
	return take_name(&b);
}

void driver_sqlite_refuse_links(void)
{
	refuse_links = true;
}

bool sqlite_db_has_linked_sibling(const struct driver_db *db)
{
	static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(suffixes) && !found; i++) {
		struct strbuf b;
		struct stat st;
		char *name;

		strbuf_init(&b, 0);
		strbuf_put(&b, db->dsn->path);
		strbuf_puts(&b, suffixes[i]);
		name = strbuf_take(&b, NULL);
		found = lstat(name, &st) == 0 && S_ISLNK(st.st_mode);
		mem_free(name);
	}
	return found;
}

bool sqlite_db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err)
{
	struct driver_db *db;

	(void)err;
	db = mem_alloc(sizeof(*db));
	db->dsn = dsn;
	db->path = mem_strndup(dsn->path.p != NULL ? dsn->path.p : "", dsn->path.len);
	db->is_file = dsn->mode != SQLITE_MODE_MEMORY;
	db->open_flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	if (!db->is_file) {
		db->file_name = memory_name();
		db->open_flags |= SQLITE_OPEN_URI | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	} else if (dsn->immutable) {
		db->file_name = sqlite_uri_name(dsn->path, "?immutable=1"); /* only a URI can say that */
		db->open_flags |= SQLITE_OPEN_URI | SQLITE_OPEN_READONLY;
	} else {
		db->file_name = plain_name(dsn->path);
		if (dsn->mode == SQLITE_MODE_RO)
			db->open_flags |= SQLITE_OPEN_READONLY;
		else
			db->open_flags |=
				SQLITE_OPEN_READWRITE | (dsn->mode == SQLITE_MODE_RWC ? SQLITE_OPEN_CREATE : 0);
	}
	db->no_links = db->is_file && refuse_links;
	if (db->no_links)
		db->open_flags |= SQLITE_OPEN_NOFOLLOW;
	mutex_init(&db->lock);
	turn_init(&db->own_turn);
	db->proofs = sqlite_proofs_create();
	*ret = db;
	return true;
}

void sqlite_db_close(struct driver_db *db)
{
	if (db == NULL)
		return;
	sqlite3_close_v2(db->anchor);
	sqlite_file_forget(db);
	turn_done(&db->own_turn);
	sqlite_proofs_destroy(db->proofs);
	mutex_done(&db->lock);
	mem_free(db->file_name);
	mem_free(db->path);
	mem_free(db);
}

int sqlite_db_anchor(struct driver_db *db)
{
	int rc = SQLITE_OK;

	if (db->is_file)
		return rc;
	mutex_lock(&db->lock);
	if (db->anchor == NULL) {
		rc = sqlite3_open_v2(db->file_name, &db->anchor, db->open_flags, NULL);
		if (rc != SQLITE_OK) {
			sqlite3_close_v2(db->anchor);
			db->anchor = NULL;
		}
	}
	mutex_unlock(&db->lock);
	return rc;
}

/* The file changes when it is replaced; a caller has a connection or asks for one, and no more than a moment's truth.
 */
static struct sqlite_file *file_of(struct driver_db *db)
{
	return __atomic_load_n(&db->file, __ATOMIC_ACQUIRE);
}

static struct sqlite_locked *locked_of(struct driver_db *db)
{
	struct sqlite_file *f = file_of(db);

	return f != NULL ? &f->locked : &db->own_locked;
}

int64_t sqlite_db_locked(struct driver_db *db, int64_t now_ns)
{
	int64_t since = 0;

	if (__atomic_compare_exchange_n(&locked_of(db)->since_ns, &since, now_ns, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		return now_ns;
	return since;
}

void sqlite_db_unlocked(struct driver_db *db)
{
	int64_t *at = &locked_of(db)->since_ns;

	if (__atomic_load_n(at, __ATOMIC_RELAXED) != 0)
		__atomic_store_n(at, 0, __ATOMIC_RELAXED);
}

bool sqlite_db_locked_out(struct driver_db *db)
{
	return __atomic_load_n(&locked_of(db)->since_ns, __ATOMIC_RELAXED) != 0;
}

void sqlite_db_waits(struct driver_db *db, int64_t now_ns)
{
	__atomic_store_n(&locked_of(db)->tried_ns, now_ns, __ATOMIC_RELAXED);
}

/* Whoever works in his turn is waited for as long as the pool says: he has no lock of others in his way. One that is
 * met only now is waited for in full, so nobody needs to look before that would be over. */
bool sqlite_db_locked_until(struct driver_db *db, int64_t since_ns, int64_t timeout_ns, int64_t *ret_ns)
{
	const struct sqlite_locked *l = locked_of(db);
	const int64_t now = clock_mono_ns(), locked_ns = __atomic_load_n(&l->since_ns, __ATOMIC_RELAXED);

	if (timeout_ns > 0 && locked_ns != 0 && now - __atomic_load_n(&l->tried_ns, __ATOMIC_RELAXED) < TRIED_NS) {
		*ret_ns = clock_max(locked_ns, since_ns) + timeout_ns;
		return true;
	}
	if (timeout_ns == 0)
		*ret_ns = CLOCK_NEVER; /* nobody waits for one */
	else if (locked_ns == 0)
		*ret_ns = now + clock_max(timeout_ns, LOOK_NS);
	else
		*ret_ns = clock_max(since_ns + timeout_ns, now + LOOK_NS);
	return false;
}

struct turn *sqlite_db_turn(struct driver_db *db)
{
	struct sqlite_file *f = file_of(db);

	return f != NULL ? &f->turn : &db->own_turn;
}
