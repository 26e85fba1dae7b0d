/* The name of a node: what it is by default, whose it is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/node/node_internal.h"

#include "service/base/banned.h"

bool node_name_valid(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return name.len > 0 && name.len <= MINT_NAME_MAX;
}

struct str node_default_name(struct arena *a, const struct state *s)
{
	char host[256] = "";
	uint8_t digest[32];
	char hex[9];
	(void)gethostname(host, sizeof(host) - 1);
	num_sha256(arena_printf(a, "%s\n%s", host, s != NULL ? state_life(s) : ""), digest);
	num_hex(digest, 4, hex);
	return arena_str(a, str_z(hex));
}

static struct str read_small(struct arena *a, const char *path)
{
	char buf[1024];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf)) : -1;
	if (fd >= 0)
		close(fd);
	return n > 0 ? arena_str(a, str_trim(str_n(buf, (size_t)n))) : STR_NONE;
}

/* Its state and its start, in ticks since the machine's (proc(5), /proc/pid/stat): fields 3 and 22, the second of which
 * may hold anything, but ends with the last ')'. */
static bool process_of(struct arena *a, int64_t pid, char *ret_state, struct str *ret_start)
{
	struct str text = read_small(a, arena_printf(a, "/proc/%lld/stat", (long long)pid).p), field = STR_NONE;
	const char *end = text.len > 0 ? memrchr(text.p, ')', text.len) : NULL;
	if (end == NULL || end + 2 >= text.p + text.len)
		return false;
	struct str rest = str_n(end + 2, (size_t)(text.p + text.len - end - 2));
	*ret_state = rest.p[0];
	for (int i = 3; i <= 22; i++)
		if (!str_split(&rest, ' ', &field))
			return false;
	*ret_start = field;
	return true;
}

/* The machine's start, and the name space in which the number of a process means something. */
static struct str machine(struct arena *a)
{
	struct stat st = {0};
	(void)stat("/proc/self/ns/pid", &st);
	return arena_printf(a, "%.*s/%llu", STR_FMT(read_small(a, "/proc/sys/kernel/random/boot_id")),
			    (unsigned long long)st.st_ino);
}

void node_describe_process(struct arena *a, struct state_node *me)
{
	struct str start = STR_NONE;
	char state;
	me->pid = getpid();
	if (!process_of(a, me->pid, &state, &start))
		start = STR_NONE;
	me->boot = arena_printf(a, "%.*s/%.*s", STR_FMT(machine(a)), STR_FMT(start));
}

bool node_process_dead(const struct state_node *rival)
{
	const char *cut = rival->boot.len > 0 ? memrchr(rival->boot.p, '/', rival->boot.len) : NULL;
	struct arena a;
	struct str start;
	char state;
	bool dead = false;
	if (cut == NULL || rival->pid <= 0)
		return false;
	arena_init(&a);
	const struct str here = machine(&a), was = str_n(rival->boot.p, (size_t)(cut - rival->boot.p));
	const struct str started = str_n(cut + 1, rival->boot.len - was.len - 1);
	if (here.p[0] != '/' && str_eq(here, was)) {
		dead = kill((pid_t)rival->pid, 0) != 0 && errno == ESRCH;
		if (!dead && started.len > 0 && process_of(&a, rival->pid, &state, &start))
			dead = state == 'Z' || state == 'X' || !str_eq(start, started);
	}
	arena_done(&a);
	return dead;
}

static bool taken(const struct node *n, const struct state_node *rival, struct err *err)
{
	return err_set(err, ERR_INVALID_REQUEST,
		       "the node name \"%.*s\" is that of another server that runs on this state (%.*s): give this one "
		       "another with \"node\"",
		       STR_FMT(n->me.name), STR_FMT(rival->url.len > 0 ? rival->url : STR("its address is not known")));
}

bool node_claim_name(struct node *n, struct err *err)
{
	const int64_t end = clock_deadline(LIMIT_CLAIM_S);
	char instance[17] = "";
	int64_t beats = 0;
	bool claimed = false, ok = true;
	while (ok && !claimed) {
		struct state_node rival = {0};
		struct arena a;
		const int64_t sent = node_clock_ns();
		arena_init(&a);
		ok = state_node_claim(n->state, &a, &n->me, node_process_dead, &claimed, &rival, err);
		/* another was faster to make the row: it is a rival then */
		if (!ok && (err->code == ERR_UNIQUE_VIOLATION || err->code == ERR_SERIALIZATION_FAILURE))
			ok = true;
		else if (ok && claimed)
			__atomic_store_n(&n->beat_ns, sent, __ATOMIC_RELEASE);
		else if (ok && ((str_eq_z(rival.instance, instance) && rival.beats != beats) || clock_mono_ns() >= end))
			ok = taken(n, &rival, err);
		if (ok && !claimed) {
			(void)snprintf(instance, sizeof(instance), "%.*s", STR_FMT(rival.instance));
			beats = rival.beats;
			(void)wait_until(clock_mono_ns() + clock_max(STATE_SILENT_US - rival.age_us, 50000) * 1000 +
					 50 * CLOCK_NS_PER_MS);
		}
		arena_done(&a);
	}
	return ok;
}
