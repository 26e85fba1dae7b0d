/* An identity map of users, read and written in one line each. */
#ifndef FERROD_TESTS_SUPPORT_USER_MAP_H
#define FERROD_TESTS_SUPPORT_USER_MAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "store/session/identity_map.h"
#include "store/session/record_pack.h"
#include "tests/support/scratch.h"

static const struct model user = {.name = {"User", 4}, .n_columns = 2, .serial = 7};
static const struct model user_later = {.name = {"User", 4}, .n_columns = 2, .serial = 8};
static const struct model order = {.name = {"Order", 5}, .n_columns = 1, .serial = 9};

static inline const char *text_of(int key)
{
	char k[16];

	(void)snprintf(k, sizeof(k), "%d", key);
	return arena_strz(&arena, str_z(k));
}

/* A read of one record that finds it so. */
static inline const struct value *read_in(struct imap *m, enum imap_reading how, int key, const char *name)
{
	struct value *row = arena_array(&arena, 2, sizeof(*row));
	struct imap_read r;

	row[0] = value_int(key);
	row[1] = value_text(str_z(name));
	imap_read_begin(&r, m, &user, how);
	return imap_read_row(&r, &arena, str_z(text_of(key)), row);
}

static inline void fill(struct imap *m, int key, const char *name)
{
	(void)read_in(m, IMAP_LOOK, key, name);
}

/* The name under which the record is mapped; "": it is not. */
static inline const char *name_in(struct imap *m, int key)
{
	struct imap_read r;
	const struct value *v = imap_get(m, &arena, &user, str_z(text_of(key)), &r);

	return v != NULL ? arena_strz(&arena, v[1].u.s) : "";
}

static inline bool has(struct imap *m, int key)
{
	return name_in(m, key)[0] != '\0';
}

/* One record is written in `over`; name NULL: what it is then is not known. */
static inline void write_in(struct imap *over, int key, const char *name)
{
	const struct value row[] = {value_int(key), value_text(str_z(name != NULL ? name : ""))};

	imap_write_begin(over, &user, IMAP_RECORD, str_z(text_of(key)));
	if (name != NULL)
		imap_write_row(over, &user, str_z(text_of(key)), row);
}

static inline void finish(struct imap *over, enum imap_end how)
{
	imap_end(over, how);
	imap_destroy(over);
}

/* A unit that writes one record and is committed. */
static inline void write_one(struct imap *m, int key, const char *name)
{
	struct imap *over = imap_over(m, false, false);

	write_in(over, key, name);
	finish(over, IMAP_COMMITTED);
}

static inline struct imap_stats stats(struct imap *m)
{
	struct imap_stats st;

	imap_stats(m, &st);
	return st;
}

#endif
