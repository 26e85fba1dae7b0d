/* The three places that settings are read from, and what is told about them. */
#include "service/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

#include "service/base/json.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/base/strbuf.h"
#include "service/config/nearest.h"

#include "service/base/banned.h"

/* ---- one value ---- */

static void *field(struct config *c, const struct setting *s)
{
	return (char *)c + s->offset;
}

static bool choice_ok(const char *choices, struct str v)
{
	struct str rest = str_z(choices), word;
	while (str_split(&rest, '|', &word))
		if (str_eq(word, v))
			return true;
	return false;
}

static bool set_number(struct config *c, const struct setting *s, struct str v, const char *origin, struct err *err)
{
	double d;
	bool whole = s->type == TYPE_INT;
	if (!num_parse_double(v, &d) || !isfinite(d) || (whole && d != floor(d)) || d < s->min || d > s->max)
		return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes %s from %.15g to %.15g", origin, s->key,
			       whole ? "a whole number" : "seconds", s->min, s->max);
	if (whole)
		*(int64_t *)field(c, s) = (int64_t)d;
	else
		*(double *)field(c, s) = d;
	return true;
}

static bool set_value(struct config *c, const struct setting *s, struct str v, const char *origin, struct err *err)
{
	if (s->type == TYPE_INT || s->type == TYPE_SECONDS)
		return set_number(c, s, v, origin, err);
	if (s->type == TYPE_BOOL) {
		bool on = str_eq_z(v, "true") || str_eq_z(v, "1");
		if (!on && !str_eq_z(v, "false") && !str_eq_z(v, "0"))
			return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes true or false", origin, s->key);
		*(bool *)field(c, s) = on;
		return true;
	}
	if (s->choices != NULL && !choice_ok(s->choices, v))
		return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes one of %s", origin, s->key, s->choices);
	*(struct str *)field(c, s) = arena_str(&c->arena, v);
	return true;
}

static const struct setting *find(struct str key)
{
	for (size_t i = 0; i < n_settings; i++)
		if (str_eq_z(key, settings[i].key))
			return &settings[i];
	return NULL;
}

/* ---- the file ---- */

static bool read_file(struct config *c, const char *path, struct str *ret, struct err *err)
{
	FILE *f = fopen(path, "rbe");
	if (f == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the configuration file \"%s\": %s", path,
			       strerror(errno));
	char *buf = arena_alloc(&c->arena, LIMIT_CONFIG_FILE);
	size_t n = fread(buf, 1, LIMIT_CONFIG_FILE, f);
	bool bad = ferror(f) != 0;
	fclose(f);
	if (bad || n == LIMIT_CONFIG_FILE)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the configuration file \"%s\"%s", path,
			       bad ? "" : ": it is too large");
	*ret = str_n(buf, n);
	return true;
}

static bool set_json(struct config *c, const struct setting *s, const json_t *v, const char *origin, struct err *err)
{
	char buf[NUM_DOUBLE_BYTES];
	if (json_is_array(v) && s->type == TYPE_LIST) {
		struct strbuf b;
		strbuf_init(&b, 0);
		json_write(&b, v, false);
		bool ok = set_value(c, s, strbuf_str(&b), origin, err);
		strbuf_done(&b);
		return ok;
	}
	if (json_is_string(v) && s->type == TYPE_STRING)
		return set_value(c, s, json_str(v), origin, err);
	if (json_is_boolean(v) && s->type == TYPE_BOOL)
		return set_value(c, s, json_is_true(v) ? STR("true") : STR("false"), origin, err);
	if (json_is_number(v) && (s->type == TYPE_INT || s->type == TYPE_SECONDS))
		return set_value(c, s, str_n(buf, num_format_double(json_number_value(v), buf)), origin, err);
	return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" has the wrong type (%s)", origin, s->key,
		       json_type_name(v));
}

/* ", did you mean ...?", when there is a near one. */
static const char *hint(struct config *c, const struct nearest *near, const char *otherwise)
{
	return near->found == NULL || str_eq_z(near->word, near->found)
		       ? otherwise
		       : arena_printf(&c->arena, "; did you mean \"%s\"?", near->found).p;
}

/* Always false. */
static bool unknown_key(struct config *c, const char *origin, struct str key, struct err *err)
{
	struct nearest near = {.word = key};
	for (size_t i = 0; i < n_settings; i++)
		nearest_consider(&near, settings[i].key);
	return err_set(err, ERR_INVALID_REQUEST, "%s: unknown setting \"%.*s\"%s", origin, STR_FMT(key),
		       hint(c, &near, ""));
}

static bool load_file(struct config *c, const char *path, struct err *err)
{
	struct str text;
	json_t *doc, *v;
	const char *key;
	const char *origin = arena_printf(&c->arena, "configuration file \"%s\"", path).p;
	if (!read_file(c, path, &text, err))
		return false;
	struct err fault;
	if (!json_parse(&c->arena, text, &doc, &fault))
		return err_set(err, ERR_INVALID_REQUEST, "%s: %s", origin, fault.detail);
	if (!json_is_object(doc))
		return err_set(err, ERR_INVALID_REQUEST, "%s: it must hold one JSON object", origin);
	json_object_foreach(doc, key, v)
	{
		const struct setting *s = find(str_z(key));
		if (s == NULL)
			return unknown_key(c, origin, str_z(key), err);
		if (!set_json(c, s, v, origin, err))
			return false;
	}
	return true;
}

/* ---- the environment ---- */

static void env_name(const struct setting *s, char *buf, size_t size)
{
	snprintf(buf, size, "FERROD_%s", s->key);
	for (char *p = buf; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
}

/* Always false. */
static bool unknown_env(struct config *c, struct str name, struct err *err)
{
	struct nearest near = {.word = name};
	for (size_t i = 0; i < n_settings; i++) {
		char *text = arena_alloc(&c->arena, 80);
		env_name(&settings[i], text, 80);
		nearest_consider(&near, text);
	}
	return err_set(err, ERR_INVALID_REQUEST, "environment: unknown setting \"%.*s\"%s", STR_FMT(name),
		       hint(c, &near, ""));
}

static bool load_env(struct config *c, char **env, struct err *err)
{
	for (; *env != NULL; env++) {
		struct str rest = str_z(*env), name;
		if (!str_starts(rest, STR("FERROD_")) || !str_split(&rest, '=', &name) ||
		    str_eq_z(name, "FERROD_CONFIG"))
			continue;
		struct str key = arena_str(&c->arena, str_n(name.p + 7, name.len - 7));
		for (char *p = (char *)(uintptr_t)key.p; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		const struct setting *s = find(key);
		if (s == NULL)
			return unknown_env(c, name, err);
		if (!set_value(c, s, rest, "environment", err))
			return false;
	}
	return true;
}

/* ---- the command line ---- */

static const struct setting *find_flag(struct config *c, struct str flag)
{
	struct str key = arena_str(&c->arena, flag);
	for (char *p = (char *)(uintptr_t)key.p; *p != '\0'; p++)
		*p = *p == '-' ? '_' : *p;
	return find(key);
}

static const struct {
	const char *word;
	enum config_action action;
} actions[] = {{"--help", CONFIG_HELP},
	       {"-h", CONFIG_HELP},
	       {"help", CONFIG_HELP},
	       {"--version", CONFIG_VERSION},
	       {"-v", CONFIG_VERSION},
	       {"version", CONFIG_VERSION},
	       {"--print-settings", CONFIG_PRINT_SETTINGS},
	       {"--print-routes", CONFIG_PRINT_ROUTES},
	       {"check-config", CONFIG_CHECK},
	       {"healthcheck", CONFIG_HEALTHCHECK}};

/* Others, which take words of their own. */
static const char *const commands[] = {"backup", "key", "state"};

static bool action_of(const char *arg, enum config_action *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(arg, actions[i].word) == 0) {
			*ret = actions[i].action;
			return true;
		}
	}
	return false;
}

/* Always false. */
static bool unknown(struct config *c, const char *arg, struct err *err)
{
	struct str word = str_z(arg), flag;
	(void)str_split(&word, '=', &flag);
	struct nearest near = {.word = flag};
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		nearest_consider(&near, actions[i].word);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		nearest_consider(&near, commands[i]);
	nearest_consider(&near, "--config");
	for (size_t i = 0; str_starts(flag, STR("--")) && i < n_settings; i++) {
		char *text = (char *)(uintptr_t)arena_printf(&c->arena, "--%s", settings[i].key).p;
		for (char *p = text; *p != '\0'; p++)
			*p = *p == '_' ? '-' : *p;
		nearest_consider(&near, text);
	}
	return err_set(err, ERR_INVALID_REQUEST, "unknown %s \"%.*s\"%s",
		       str_starts(flag, STR("--")) ? "flag" : "argument", STR_FMT(flag),
		       hint(c, &near, "; see --help"));
}

/* Behind a flag that needs no value: is it one all the same, if a wrong one? */
static bool is_value(const char *word)
{
	enum config_action ignored;
	bool command = word[0] == '-' || strcmp(word, "ready") == 0 || action_of(word, &ignored);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command |= strcmp(word, commands[i]) == 0;
	return !command;
}

/* A command of several words, of which *at is the first; it becomes the last. */
static bool load_command(struct config *c, int argc, char **argv, int *at, struct err *err)
{
	const int i = *at;
	if (strcmp(argv[i], "backup") == 0) {
		if (i + 2 >= argc || argv[i + 1][0] == '-' || argv[i + 2][0] == '-')
			return err_set(err, ERR_INVALID_REQUEST, "usage: ferrod backup FILE|state TARGET [SETTING...]");
		c->action = CONFIG_BACKUP;
		c->backup[0] = argv[i + 1];
		c->backup[1] = argv[i + 2];
		*at = i + 2;
		return true;
	}
	if (i + 1 >= argc || strcmp(argv[i + 1], "export") != 0)
		return err_set(err, ERR_INVALID_REQUEST, "usage: ferrod state export [SETTING...]");
	c->action = CONFIG_STATE_EXPORT;
	*at = i + 1;
	return true;
}

/* Applies the flags, or (only_config) just finds --config. */
static bool load_flags(struct config *c, int argc, char **argv, const char **config_file, bool only_config,
		       struct err *err)
{
	for (int i = 1; i < argc; i++) {
		struct str value = str_z(argv[i]), flag;
		if (c->action == CONFIG_HELP)
			return true; /* about whatever word */
		if (action_of(argv[i], &c->action))
			continue;
		if (c->action == CONFIG_HEALTHCHECK && strcmp(argv[i], "ready") == 0) {
			c->action = CONFIG_HEALTHCHECK_READY;
			continue;
		}
		if (strcmp(argv[i], "state") == 0 || strcmp(argv[i], "backup") == 0) {
			if (!load_command(c, argc, argv, &i, err))
				return false;
			continue;
		}
		if (!str_starts(value, STR("--")))
			return unknown(c, argv[i], err);
		value = str_n(value.p + 2, value.len - 2);
		(void)str_split(&value, '=', &flag);
		bool is_config = str_eq_z(flag, "config");
		const struct setting *s = is_config ? NULL : find_flag(c, flag);
		if (!is_config && s == NULL)
			return unknown(c, argv[i], err);
		if (value.p == NULL && s != NULL && s->type == TYPE_BOOL && (i + 1 == argc || !is_value(argv[i + 1])))
			value = STR("true");
		else if (value.p == NULL && i + 1 < argc)
			value = str_z(argv[++i]);
		else if (value.p == NULL)
			return err_set(err, ERR_INVALID_REQUEST, "the flag \"--%.*s\" needs a value", STR_FMT(flag));
		if (is_config)
			*config_file = value.p;
		else if (!only_config && !set_value(c, s, value, "command line", err))
			return false;
	}
	return true;
}

/* ---- secrets that come as files ---- */

static bool load_secret(struct config *c, struct str path, const char *key, struct str *ret, struct err *err)
{
	struct str text;
	struct err fault;
	if (path.len == 0)
		return true;
	if (!read_file(c, path.p, &text, &fault))
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the file of \"%s\"", key);
	text = str_trim(text);
	if (memchr(text.p, '\n', text.len) != NULL || memchr(text.p, '\0', text.len) != NULL)
		return err_set(err, ERR_INVALID_REQUEST, "the file of \"%s\" holds more than one line", key);
	*ret = arena_str(&c->arena, text);
	return true;
}

/* ---- all of it ---- */

bool config_load(int argc, char **argv, char **env, struct config *ret, struct err *err)
{
	const char *file = getenv("FERROD_CONFIG");
	memset(ret, 0, sizeof(*ret));
	arena_init(&ret->arena);
	bool ok = true;
	for (size_t i = 0; ok && i < n_settings; i++)
		ok = set_value(ret, &settings[i], str_z(settings[i].def), "default", err);
	const char *by_default = ret->default_url.p, *state_by_default = ret->state_url.p;
	ok = ok && load_flags(ret, argc, argv, &file, true, err);
	ok = ok && (file == NULL || file[0] == '\0' || load_file(ret, file, err));
	ok = ok && load_env(ret, env, err);
	ok = ok && load_flags(ret, argc, argv, &file, false, err);
	ok = ok && load_secret(ret, ret->default_url_file, "default_url_file", &ret->default_url, err);
	ok = ok && load_secret(ret, ret->state_url_file, "state_url_file", &ret->state_url, err);
	ok = ok && load_secret(ret, ret->admin_key_file, "admin_key_file", &ret->admin_key, err);
	ret->default_url_given = ret->default_url.p != by_default;
	ret->state_url_given = ret->state_url.p != state_by_default;
	if (!ok)
		config_done(ret);
	return ok;
}

void config_done(struct config *c)
{
	arena_done(&c->arena);
}

static void flag_name(const struct setting *s, char *buf, size_t size)
{
	snprintf(buf, size, "--%s", s->key);
	for (char *p = buf + 2; *p != '\0'; p++)
		*p = *p == '_' ? '-' : *p;
}

void config_print_help(FILE *out)
{
	char flag[80], env[80];
	fputs("usage: ferrod [--config FILE] [SETTING...]\n"
	      "       ferrod check-config | healthcheck [ready] | state export [SETTING...]\n"
	      "       ferrod key new --name NAME --scopes A,B [--connections C,D] [--sets E,F] [--role R]\n"
	      "                      [--subject S] [--append FILE]\n"
	      "       ferrod key seal\n"
	      "       ferrod backup FILE|state TARGET [SETTING...]\n"
	      "       ferrod help | version | --print-settings | --print-routes\n\n"
	      "Serves SQLite and PostgreSQL databases over HTTP. Each setting is a flag, an environment\n"
	      "variable, or a member of the JSON object in the file of --config (or FERROD_CONFIG); a flag\n"
	      "wins over the environment, the environment over the file.\n\n",
	      out);
	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];
		flag_name(s, flag, sizeof(flag));
		env_name(s, env, sizeof(env));
		fprintf(out, "  %s%s  (%s)\n      %s", flag, s->type == TYPE_BOOL ? "[=BOOL]" : " VALUE", env, s->doc);
		if (s->choices != NULL)
			fprintf(out, ": %s", s->choices);
		fprintf(out, " [%s]\n", s->def);
	}
}

void config_print_settings(FILE *out)
{
	static const char *const types[] = {[TYPE_STRING] = "string",
					    [TYPE_INT] = "integer",
					    [TYPE_SECONDS] = "seconds",
					    [TYPE_BOOL] = "boolean",
					    [TYPE_LIST] = "list"};
	char flag[80], env[80];
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "[");
	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];
		flag_name(s, flag, sizeof(flag));
		env_name(s, env, sizeof(env));
		strbuf_printf(&b, "%s\n{\"key\":\"%s\",\"flag\":\"%s\",\"env\":\"%s\",\"type\":\"%s\",\"default\":",
			      i > 0 ? "," : "", s->key, flag, env, types[s->type]);
		strbuf_json_string(&b, str_z(s->def));
		if (s->type == TYPE_INT || s->type == TYPE_SECONDS)
			strbuf_printf(&b, ",\"min\":%.15g,\"max\":%.15g", s->min, s->max);
		strbuf_puts(&b, ",\"doc\":");
		strbuf_json_string(&b, str_z(s->doc));
		strbuf_putc(&b, '}');
	}
	strbuf_puts(&b, "\n]\n");
	fputs(b.p, out);
	strbuf_done(&b);
}
