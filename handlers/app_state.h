/*
 * The process's state: opened by its settings, what was told put back, and looked at from the command line. What it
 * opens is owned by struct app.
 */
#ifndef FERROD_HANDLERS_APP_STATE_H
#define FERROD_HANDLERS_APP_STATE_H

#include <stdio.h>

#include "handlers/app.h"

struct app_state_options {
	struct str url;                     /* "": nothing is kept */
	struct str key_file;                /* "": see state.h */
	double listen_s;                    /* of state_options */
	struct str default_url;             /* of the built-in connection: an unnamed state lies beside it */
	struct str node, node_url, version; /* of node_options */
	bool (*ask)(void *arg, struct str url, int64_t ns, struct arena *a, struct str *ret_instance);
	bool named;                                                 /* the operator named it: then it must open */
	void (*spawn)(void *arg, void (*fn)(void *), void *fn_arg); /* of declared_hooks */
	void *spawn_arg;
};

/* Fills in app->told and app->node; its store and its catalog are there. An unnamed state that cannot be opened is one
 * warning. One line otherwise. At start, on a plain thread. */
bool app_state_open(struct app *app, const struct app_state_options *o, struct err *err) MUST_CHECK;

/* What app_state_open looks at before it opens anything: the node's name, the URL of a state that is named, the file of
 * its keys. Errors as there. Blocks. */
bool app_state_check(const struct app *app, const struct app_state_options *o, struct err *err) MUST_CHECK;

/* What app_state_open would say of an SQLite state: nothing is made or changed. Errors as there. Blocks. */
bool app_state_look(const struct app *app, const struct app_state_options *o, struct err *err) MUST_CHECK;

/* declared_hooks.report: a log line. */
void app_report(void *arg, const struct declared_report *r);

/* `ferrod backup FROM TO`: copies a file of SQLite, or the one of the state (FROM is "state"), while servers write it,
 * and says how large it is. ERR_INVALID_REQUEST and what the copying says. Blocks. */
bool app_backup(const struct app *app, const struct app_state_options *o, const char *const names[2], FILE *out,
		struct err *err) MUST_CHECK;

/* `ferrod state export`: the app has its policy and nothing else. */
bool app_state_export(const struct app *app, const struct app_state_options *o, FILE *out, struct err *err) MUST_CHECK;

#endif
