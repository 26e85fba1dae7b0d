/*
 * What a client's own text can do, proven before it is planned: planning runs what is labelled IMMUTABLE. Every word of
 * the text counts as everything that it could be, a relation, a function, a type, in whatever schema, and every run of
 * operators' characters as each operator in it; so neither the search path nor the grammar matters. If all of these are
 * plain tables and the server's own functions, operators and types, and no cast of others' making lies between them,
 * then nothing of others' making runs. What is not proven goes its own way, and the session is put back behind it.
 *
 * A view is what its rule says, a tree that is kept parsed (pg_rewrite): the relations in it are judged like those of
 * the text, views again; each function that it calls by its number; and whatever else it depends on (pg_depend) is of
 * others' making: relations and types are looked at, operators, functions and the rest are refused. What the server
 * brings and may run others' functions is refused by its node's name.
 *
 * The catalog is asked on a connection that has just been put back, for what a client sets in a transaction could
 * change the question's meaning.
 */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* $1: the names, a line each, behind a letter that says what they are. Objects of others' making have numbers from
 * 16384 on. */
#define NAMES \
	"WITH RECURSIVE l(w) AS (SELECT pg_catalog.unnest(pg_catalog.string_to_array($1, pg_catalog.chr(10)))), " \
	"words(w) AS (SELECT pg_catalog.substr(w, 2)::pg_catalog.name FROM l WHERE pg_catalog.substr(w, 1, 1) = " \
	"'w'), " \
	"ops(w) AS (SELECT pg_catalog.substr(w, 2)::pg_catalog.name FROM l WHERE pg_catalog.substr(w, 1, 1) = 'o'), " \
	"named(oid) AS (SELECT c.oid FROM words JOIN pg_catalog.pg_class c ON c.relname = words.w " \
	"WHERE c.relkind NOT IN ('i', 'I', 't')), "
/* A read looks through its views. A rule's event is '1' when it is SELECT. */
#define WITH_VIEWS \
	"r(oid) AS (SELECT n.oid FROM named n UNION SELECT m.id[1]::pg_catalog.oid FROM r JOIN pg_catalog.pg_rewrite " \
	"w ON w.ev_class = r.oid AND w.ev_type = '1', LATERAL " \
	"pg_catalog.regexp_matches(w.ev_action::pg_catalog.text, ':relid ([1-9][0-9]*)', 'g') m(id)), " \
	"v(rule, tree) AS (SELECT w.oid, w.ev_action::pg_catalog.text FROM r JOIN pg_catalog.pg_rewrite w " \
	"ON w.ev_class = r.oid AND w.ev_type = '1'), " \
	"needed(class, oid) AS (SELECT d.refclassid, d.refobjid FROM v JOIN pg_catalog.pg_depend d " \
	"ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = v.rule), "
/* A write's cascades write other tables. */
#define WITH_CASCADES \
	"r(oid) AS (SELECT n.oid FROM named n UNION SELECT k.conrelid FROM r JOIN pg_catalog.pg_constraint k " \
	"ON k.confrelid = r.oid AND k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') " \
	"OR k.confupdtype IN ('c', 'n', 'd'))), "
#define WITHOUT_VIEWS "needed(class, oid) AS (SELECT 0::pg_catalog.oid, 0::pg_catalog.oid WHERE false), "
#define EXPRESSIONS \
	"e(tree) AS (SELECT d.adbin::pg_catalog.text FROM r JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.oid UNION " \
	"ALL SELECT k.conbin::pg_catalog.text FROM r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid " \
	"WHERE k.conbin IS NOT NULL UNION ALL " \
	"SELECT pg_catalog.concat(x.indexprs::pg_catalog.text, x.indpred::pg_catalog.text) FROM r " \
	"JOIN pg_catalog.pg_index x ON x.indrelid = r.oid), " \
	"types(oid) AS (SELECT a.atttypid FROM r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > " \
	"0 " \
	"AND NOT a.attisdropped UNION SELECT c.reltype FROM r JOIN pg_catalog.pg_class c ON c.oid = r.oid UNION " \
	"SELECT n.oid FROM needed n WHERE n.class = 'pg_catalog.pg_type'::pg_catalog.regclass UNION " \
	"SELECT t.oid FROM words JOIN pg_catalog.pg_type t ON t.typname = words.w) "
#define RELATIONS_PLAIN(odd_kinds) \
	"NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_class c ON c.oid = r.oid WHERE " odd_kinds " " \
	"OR c.relrowsecurity OR c.relhassubclass) " \
	"AND NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_statistic_ext x ON x.stxrelid = r.oid " \
	"WHERE 'e' = ANY (x.stxkind)) " PG_INDEXES_PLAIN
#define NO_TRIGGERS \
	"AND NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal) "
/* The server's own, enumerations and their arrays, and the rows of the tables. */
#define TYPES_PLAIN \
	"AND NOT EXISTS (SELECT 1 FROM types JOIN pg_catalog.pg_type t ON t.oid = types.oid WHERE t.typtype = 'd' " \
	"OR (t.oid >= 16384 AND t.typtype <> 'e' AND NOT (t.typtype = 'c' AND t.typrelid IN (SELECT oid FROM r)) " \
	"AND NOT (t.typtype = 'b' AND EXISTS (SELECT 1 FROM pg_catalog.pg_type x WHERE x.oid = t.typelem " \
	"AND x.typtype = 'e')))) " \
	"AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_cast k WHERE k.oid >= 16384 " \
	"AND (k.castsource < 16384 OR k.castsource IN (SELECT oid FROM types)) " \
	"AND (k.casttarget < 16384 OR k.casttarget IN (SELECT oid FROM types))) "
/* What orders and compares the server's types for it when no operator is named. */
#define ORDERS_PLAIN \
	"AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_amop o WHERE o.amopopr >= 16384 AND o.amopmethod IN (403, 405) " \
	"AND o.amoplefttype < 16384 AND o.amoprighttype < 16384) " \
	"AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_amproc o JOIN pg_catalog.pg_opfamily f ON f.oid = " \
	"o.amprocfamily " \
	"WHERE o.amproc >= 16384 AND f.opfmethod IN (403, 405) AND o.amproclefttype < 16384 " \
	"AND o.amprocrighttype < 16384) "
#define OPERATORS_PLAIN \
	"AND NOT EXISTS (SELECT 1 FROM ops JOIN pg_catalog.pg_operator o ON o.oprname = ops.w WHERE o.oid >= 16384) "
#define EXPRESSIONS_PLAIN \
	"AND NOT EXISTS (SELECT 1 FROM e WHERE e.tree LIKE '%COERCETODOMAIN%') " \
	"AND NOT EXISTS (SELECT 1 FROM e, LATERAL pg_catalog.regexp_matches(e.tree, '(?:funcid|aggfnoid) ([0-9]+)', " \
	"'g') f(id) LEFT JOIN pg_catalog.pg_proc p ON p.oid = f.id[1]::pg_catalog.oid WHERE p.oid IS NULL " \
	"OR p.oid >= 16384 OR p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace OR (p.provolatile = 'v' AND " \
	"p.proname NOT IN (" PG_LEAVES_NOTHING "))) "
/* Input functions of types check domains by their number; and some functions run what a string of theirs names. */
#define IS_ODD_FUNCTION(volatile_ones) \
	"(p.oid >= 16384 OR p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace OR " volatile_ones " " \
	"OR 2275 = ANY (p.proargtypes) OR 2281 = ANY (p.proargtypes) " \
	"OR p.proname LIKE '%\\_to\\_xml%' OR p.proname LIKE 'pg\\_input\\_%')"
#define FUNCTIONS_PLAIN(volatile_ones) \
	"AND NOT EXISTS (SELECT 1 FROM words JOIN pg_catalog.pg_proc p ON p.proname = words.w " \
	"WHERE " IS_ODD_FUNCTION(volatile_ones) ") "
/* Strings in a tree have their blanks and braces escaped: none looks like one of these. */
#define VIEWS_PLAIN(volatile_ones) \
	"AND NOT EXISTS (SELECT 1 FROM needed n WHERE n.class NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass, " \
	"'pg_catalog.pg_type'::pg_catalog.regclass)) " \
	"AND NOT EXISTS (SELECT 1 FROM v WHERE v.tree LIKE '%{ROWMARKCLAUSE %' OR v.tree LIKE '%{COERCETODOMAIN%' " \
	"OR v.tree LIKE '%{TABLEFUNC %' OR v.tree LIKE '%{TABLESAMPLECLAUSE %' OR v.tree LIKE '%{JSON%') " \
	"AND NOT EXISTS (SELECT 1 FROM v, LATERAL pg_catalog.regexp_matches(v.tree, " \
	"':(?:funcid|aggfnoid|winfnoid) ([0-9]+)', 'g') f(id) LEFT JOIN pg_catalog.pg_proc p " \
	"ON p.oid = f.id[1]::pg_catalog.oid WHERE p.oid IS NULL OR " IS_ODD_FUNCTION( \
		volatile_ones) ") " \
			       "AND NOT EXISTS (SELECT 1 FROM v, LATERAL pg_catalog.regexp_matches(v.tree, " \
			       "':(?:opno|sortop|eqop) ([0-9]+)', " \
			       "'g') o(id) WHERE o.id[1]::pg_catalog.oid >= 16384)"
/* Stable by their label, but those that share the transaction would be told the same number. */
#define TOLD_APART "(p.provolatile = 'v' OR p.proname IN ('txid_current', 'pg_current_xact_id'))"
#define LEAVES_SOMETHING "(p.provolatile = 'v' AND p.proname NOT IN (" PG_LEAVES_NOTHING "))"

/* Each is one statement, in pieces no longer than compilers have to take. */
static const char *const shares_sql[] = {
	NAMES WITH_VIEWS EXPRESSIONS "SELECT ",
	RELATIONS_PLAIN("c.relkind NOT IN ('r', 'v') OR (c.relkind = 'r' AND c.relhasrules)"),
	TYPES_PLAIN ORDERS_PLAIN OPERATORS_PLAIN EXPRESSIONS_PLAIN,
	FUNCTIONS_PLAIN(TOLD_APART),
	VIEWS_PLAIN(TOLD_APART),
	NULL};
static const char *const clean_sql[] = {NAMES WITH_CASCADES WITHOUT_VIEWS EXPRESSIONS "SELECT ",
					RELATIONS_PLAIN("c.relkind <> 'r' OR c.relhasrules") NO_TRIGGERS,
					TYPES_PLAIN ORDERS_PLAIN OPERATORS_PLAIN EXPRESSIONS_PLAIN,
					FUNCTIONS_PLAIN(LEAVES_SOMETHING), NULL};

/* False: it cannot be asked for (the role may not, the time is over), which is as good as not proven. */
static bool is_so(struct pg_conn *c, const char *const *pieces, struct str names, int64_t deadline)
{
	struct strbuf sql;
	struct err ignored;
	bool yes = false, ok;

	strbuf_init(&sql, 0);
	while (*pieces != NULL)
		strbuf_puts(&sql, *pieces++);
	ok = !c->base.broken && pg_ask(&c->base, strbuf_str(&sql), names, deadline, &yes, &ignored);
	strbuf_done(&sql);
	return ok && yes;
}

static void find_out(struct pg_conn *c, struct str key, int64_t deadline)
{
	const struct str names = str_n(key.p + 1, key.len - 1);
	const uint64_t since = pg_plain_since(c->base.db->plain);
	enum raw_kind kind = RAW_OTHER;

	if (key.p[0] == PG_KEY_READS && is_so(c, shares_sql, names, deadline))
		kind = RAW_SHARES;
	else if (is_so(c, clean_sql, names, deadline))
		kind = RAW_CLEAN;
	pg_proof_keep(c->base.db->plain, key, kind, since);
}

void pg_raw_learn(struct pg_conn *c, int64_t deadline_ns)
{
	for (size_t i = 0; i < c->n_wanted && !c->base.broken; i++)
		find_out(c, str_z(c->wanted[i]), deadline_ns);
	pg_raw_done(c);
}
