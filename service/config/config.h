/*
 * Settings: one table (settings.h) says key, type, unit, bounds, default and meaning of each; flags, environment
 * variables, the JSON file, --help and the documentation all come from it. Flag wins over environment over file over
 * default. A struct config is owned by main; its texts live until config_done.
 */
#ifndef FERROD_SERVICE_CONFIG_H
#define FERROD_SERVICE_CONFIG_H

#include <stdio.h>

#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/config/settings.h"

/* Reads argv, the environment and the file that --config names. False: ERR_INVALID_REQUEST whose detail is one line
 * that names the setting and where it came from, never a secret value. *ret is empty before and owned by the caller:
 * config_done. */
bool config_load(int argc, char **argv, char **env, struct config *ret, struct err *err) MUST_CHECK;
void config_done(struct config *c);

/* --help: every setting with its flag, variable, default and meaning. */
void config_print_help(FILE *out);
/* The table as a JSON array, for the documentation and its checks. */
void config_print_settings(FILE *out);

#endif
