/*
 * Faults on purpose, in builds with FERROD_FAULTS alone (make faults): the n-th of the calls that may fail, counted
 * from fault_arm, does: allocations whose failure is answered (mem_try, jansson, SQLite) and libpq's calls. Owned by
 * the process.
 */
#ifndef FERROD_BASE_FAULT_H
#define FERROD_BASE_FAULT_H

#ifdef FERROD_FAULTS

#include <stdbool.h>

/* 0: none fails. Any thread. */
void fault_arm(long n);
/* Shall this call fail? */
bool fault_due(void);
/* Has one failed since fault_arm? */
bool fault_fired(void);

/* store/driver/sqlite/fault_sqlite.c: before SQLite is used. */
void fault_sqlite_init(void);

#endif

#endif
