/* The life of one session. */
#include "store/session/session_state.h"

#include <assert.h>

#include "service/base/mem.h"

#include "service/base/banned.h"

struct session *session_ref(struct session *s)
{
	(void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void session_unref(struct session *s)
{
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	assert(s->transactions == NULL);
	imap_destroy(s->imap);
	mem_free(s->settings);
	connection_unref(s->conn);
	mem_free(s);
}
