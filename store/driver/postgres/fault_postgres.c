/* libpq's calls with faults (service/base/fault.h), put in their place by the linker (--wrap); nothing at all in other
 * builds. */
#include "service/base/fault.h"

#ifdef FERROD_FAULTS

#include <libpq-fe.h>
#include <stddef.h>

#include "service/base/banned.h"

#define WRAP(type, failed, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params \
	{ \
		return fault_due() ? (failed) : __real_##name args; \
	}

WRAP(int, 0, PQsendQuery, (PGconn * c, const char *q), (c, q))
WRAP(int, 0, PQsendQueryParams,
     (PGconn * c, const char *q, int n, const Oid *types, const char *const *values, const int *lengths,
      const int *formats, int format),
     (c, q, n, types, values, lengths, formats, format))
WRAP(int, 0, PQsendPrepare, (PGconn * c, const char *name, const char *q, int n, const Oid *types),
     (c, name, q, n, types))
WRAP(int, 0, PQsendQueryPrepared,
     (PGconn * c, const char *name, int n, const char *const *values, const int *lengths, const int *formats,
      int format),
     (c, name, n, values, lengths, formats, format))
WRAP(int, 0, PQconsumeInput, (PGconn * c), (c))
WRAP(int, -1, PQflush, (PGconn * c), (c))
WRAP(int, 0, PQpipelineSync, (PGconn * c), (c))
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
WRAP(int, 0, PQsendPipelineSync, (PGconn * c), (c))
#endif
#ifdef LIBPQ_HAS_CLOSE_PREPARED
WRAP(int, 0, PQsendClosePrepared, (PGconn * c, const char *name), (c, name))
#endif
WRAP(int, 0, PQenterPipelineMode, (PGconn * c), (c))
WRAP(int, -1, PQsetnonblocking, (PGconn * c, int on), (c, on))
WRAP(int, -1, PQputCopyData, (PGconn * c, const char *bytes, int n), (c, bytes, n))
WRAP(int, -1, PQputCopyEnd, (PGconn * c, const char *message), (c, message))
WRAP(PGconn *, NULL, PQconnectStartParams, (const char *const *keywords, const char *const *values, int expand),
     (keywords, values, expand))
WRAP(PostgresPollingStatusType, PGRES_POLLING_FAILED, PQconnectPoll, (PGconn * c), (c))

#else

typedef int fault_nothing;

#endif
