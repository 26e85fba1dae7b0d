/*
 * Turns that no key of the database gives: those who look whether something is there before they make it queue for a
 * lock on what they look for, in the database itself, so that other servers of it queue along. The transaction's end
 * gives it back. SQLite has one writer at a time anyway. Owns nothing.
 */
#ifndef FERROD_HANDLERS_TURNS_H
#define FERROD_HANDLERS_TURNS_H

#include "handlers/unit/context.h"

/* The number under which everybody knows the turn of that name. */
int64_t turn_number(struct str name);

/* Waits for n turns, in an order that is the same for everybody. In an open atomic unit of writes, before it looks.
 * Sorts `numbers`, which may hold some twice. Parks. */
bool turns_take(struct context *c, int64_t *numbers, size_t n, struct err *err) MUST_CHECK;

#endif
