// The tables of a live database: which of them, what they look like, and registered as models.
import {call, offers, state} from "./client.js";
import {field, h, notice, replace, table} from "./dom.js";
import {columnsOf, keyOf} from "./records.js";

const KINDS = [["table", "tables"], ["view", "views"], ["materialized_view", "materialized views"], ["foreign_table", "foreign tables"],
	["partitioned", "partitioned tables"], ["virtual", "virtual tables"]];
const USUAL = ["table", "view", "partitioned", "virtual"];

function pointsAt(model, column) {
	return (model.foreign_keys ?? []).filter((k) => (k.columns ?? [k.column]).includes(column.name)).map((k) => {
		const at = (k.columns ?? [k.column]).indexOf(column.name);
		return `→ ${k.to_schema ? `${k.to_schema}.` : ""}${k.to_table}.${(k.to_columns ?? [k.to_column])[at]}`;
	});
}

function flags(column, model) {
	const key = keyOf(model), found = [];
	if (key.includes(column.name))
		found.push(key.length > 1 ? `key, part ${key.indexOf(column.name) + 1} of ${key.length}` : "primary key");
	if (!column.nullable && !column.primary_key)
		found.push("required");
	if (column.unique)
		found.push("unique");
	if (column.index)
		found.push("index");
	if (column.read_only)
		found.push("generated");
	else if (column.database_default || column.on_create || column.lock_version)
		found.push("filled when not given");
	return [...found, ...pointsAt(model, column)].join(", ");
}

/** What a table is, in words: nothing of a plain one in the usual schema. */
export function marks(model) {
	const kind = model.kind ?? "table";
	return [kind !== "table" && h("span", {class: "tag"}, kind.replaceAll("_", " ")),
		model.schema && h("span", {class: "tag"}, `schema ${model.schema}`),
		model.writable === false && h("span", {class: "tag"}, "only read"),
		keyOf(model).length === 0 && h("span", {class: "tag"}, "without a key"),
		model.set && h("span", {class: "tag"}, `set ${model.set}`)];
}

export function structure(model) {
	return [table(columnsOf(model).map((c) => ({column: c.name, type: c.db_type ?? c.logical_type, "": flags(c, model)})), {caption: "Columns"}),
		model.relations?.length > 0 && h("p", null, "Relations: ", model.relations.map((r, i) =>
			[i > 0 && ", ", h("code", null, r.name), ` (${r.kind} of ${r.target})`]))];
}

const words = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);

function found(answer) {
	const models = answer.payload?.models ?? [];
	return [(answer.warnings ?? []).map((w) => h("div", {class: "notice warn"}, h("code", null, w.code), " ", w.detail,
		w.object && [" ", h("code", null, w.object)])),
		models.map((m) => h("details", null, h("summary", null, m.model_name, " ", marks(m)), structure(m))),
		models.length === 0 && h("p", {class: "quiet"}, "The database has no such tables.")];
}

export async function liveTables(place, refresh) {
	const register = h("input", {type: "checkbox", id: "introspect-register"});
	const schemas = h("input", {id: "introspect-schemas", autocomplete: "off", placeholder: "those of the search path"});
	const exclude = h("input", {id: "introspect-exclude", autocomplete: "off", placeholder: "users.password, sessions"});
	const set = h("input", {id: "introspect-set", autocomplete: "off", pattern: "[A-Za-z0-9_.\\-]*", placeholder: "the one without a name"});
	const kinds = KINDS.map(([kind, text]) => [kind, text, h("input", {type: "checkbox", id: `introspect-${kind}`, checked: USUAL.includes(kind)})]);
	const result = h("div", {id: "live"});
	const run = async () => {
		const body = {register: register.checked, kinds: kinds.filter(([, , box]) => box.checked).map(([kind]) => kind),
			...(words(schemas.value).length > 0 && {schemas: words(schemas.value)}),
			...(words(exclude.value).length > 0 && {exclude: words(exclude.value)}), ...(register.checked && set.value && {set: set.value}), ...(state.connection && {using: state.connection})};
		try {
			replace(result, found(await call("POST", "/v1/introspect", {body})));
			if (register.checked)
				refresh();
		} catch (error) {
			replace(result, notice(error));
		}
	};
	if (await offers("POST", "/v1/introspect"))
		replace(place, h("section", {class: "card"}, h("h2", null, "Tables of the database"),
			h("div", {class: "line"}, field("Schemas", schemas), field("Leave out tables and columns", exclude)),
			h("div", {class: "line checks"}, kinds.map(([, text, box]) => field(text, box))), h("div", {class: "line"},
				field("Register them as models too", register), field("in the set", set)),
			h("p", {class: "buttons"}, h("button", {type: "button", id: "introspect", onclick: run}, "Read the live database")), result));
}
