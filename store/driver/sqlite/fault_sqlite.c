/* SQLite's allocator with faults (service/base/fault.h); nothing at all in other builds. */
#include "service/base/fault.h"

#ifdef FERROD_FAULTS

#include <sqlite3.h>
#include <stddef.h>

#include "service/base/banned.h"

static sqlite3_mem_methods plain;

static void *fault_malloc(int n)
{
	return fault_due() ? NULL : plain.xMalloc(n);
}

static void *fault_realloc(void *p, int n)
{
	return fault_due() ? NULL : plain.xRealloc(p, n);
}

void fault_sqlite_init(void)
{
	sqlite3_mem_methods m;
	(void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain);
	m = plain;
	m.xMalloc = fault_malloc;
	m.xRealloc = fault_realloc;
	(void)sqlite3_config(SQLITE_CONFIG_MALLOC, &m);
}

#else

typedef int fault_nothing;

#endif
