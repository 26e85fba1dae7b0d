/* The command line of `ferrod key`. Owns nothing beyond the call. */
#ifndef FERROD_SERVICE_AUTH_KEY_COMMAND_H
#define FERROD_SERVICE_AUTH_KEY_COMMAND_H

#include <stdbool.h>

#include "service/base/err.h"

/* ferrod key new --name N --scopes a,b [--connections c,d] [--append FILE]: prints a fresh key and its entry to stdout;
 * with a file, the entry goes into its array instead, whole or not at all. argv[1] is "key". ERR_INVALID_REQUEST with
 * one line to show. */
bool key_command(int argc, char **argv, struct err *err) MUST_CHECK;

#endif
