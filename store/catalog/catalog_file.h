/*
 * The catalog's files: found, parsed, their references replaced. ${env:NAME} and ${file:PATH} stand for the value of a
 * variable and the content of a file, $${ for ${ itself. Lives in the caller's arena.
 */
#ifndef FERROD_STORE_CATALOG_CATALOG_FILE_H
#define FERROD_STORE_CATALOG_CATALOG_FILE_H

#include "service/base/json.h"

struct catalog_file {
	const char *path; /* as it was given; of a directory, with the file's name */
	json_t *doc;      /* an object; references replaced */
};

/* Reads the file, or every *.json file of the directory in the order of their names, into the arena. An error is one
 * line with file, pointer and reason (catalog_fault), never a value. Blocks. */
bool catalog_files_read(const char *path, struct arena *a, struct catalog_file **ret, size_t *ret_n,
			struct err *err) MUST_CHECK;

/* "FILE: POINTER: reason", pointing there; returns false. */
bool catalog_fault(struct err *err, enum err_code code, const char *file, const char *pointer, const char *reason);

#endif
