// Registered models, the records of their tables, and the tables of a database.
import {call, offers, route, state} from "./client.js";
import {editor, field, h, notice, pretty, replace, say, table} from "./dom.js";

const PAGE = 50;

function flags(column, model) {
	const found = [];
	if (column.primary_key)
		found.push("primary key");
	if (!column.nullable && !column.primary_key)
		found.push("required");
	if (column.unique)
		found.push("unique");
	if (column.index)
		found.push("index");
	const key = (model.foreign_keys ?? []).find((k) => k.column === column.name);
	if (key)
		found.push(`→ ${key.to_table}.${key.to_column}`);
	return found.join(", ");
}

function structure(model) {
	return [table(model.columns.map((c) => ({column: c.name, type: c.logical_type, "": flags(c, model)})), {caption: "Columns"}),
		model.relations?.length > 0 && h("p", null, "Relations: ", model.relations.map((r, i) =>
			[i > 0 && ", ", h("code", null, r.name), ` (${r.kind} of ${r.target})`]))];
}

function records(model) {
	const place = h("div", {class: "records"});
	let offset = 0;
	const load = async () => {
		const {query = {}, session} = route();
		try {
			const path = `/v1/models/${encodeURIComponent(model.model_name)}/records`;
			const page = await call("GET", path, {session, query: {...query, limit: PAGE, offset}, headers: {Prefer: "count=exact"}});
			const move = (by) => () => {
				offset = Math.max(offset + by, 0);
				load();
			};
			replace(place, table(page.rows, {caption: `Records of ${model.model_name}`, columns: model.columns.map((c) => c.name)}),
				h("p", {class: "buttons"},
					h("button", {type: "button", disabled: offset === 0, onclick: move(-PAGE)}, "Earlier"),
					h("button", {type: "button", disabled: page.rows.length < PAGE, onclick: move(PAGE)}, "Later"),
					h("span", {class: "quiet"}, page.rows.length > 0 ? `${offset + 1} to ${offset + page.rows.length}` : "",
						page.total === undefined ? "" : ` of ${page.total}`)));
			say(`${page.rows.length} records`);
		} catch (error) {
			replace(place, notice(error));
		}
	};
	load();
	return place;
}

function registerForm(refresh) {
	const problem = h("div");
	const send = (method) => async () => {
		try {
			await call(method, "/v1/models", {text: text.value});
			replace(problem);
			say("the models are registered");
			refresh();
		} catch (error) {
			replace(problem, notice(error));
		}
	};
	const text = editor(pretty({models: [{model_name: "Author", columns: [
		{name: "id", logical_type: "integer", primary_key: true}, {name: "name", logical_type: "string"}]}]}),
	{label: "SchemaIR", rows: 12, run: send("POST")});
	return h("details", {class: "card"}, h("summary", null, "Register models"),
		h("p", {class: "quiet"}, "SchemaIR, short form or whole. Ctrl+Enter adds."), text, problem,
		h("p", {class: "buttons"}, h("button", {type: "button", class: "primary", onclick: send("POST")}, "Add or replace these"),
			h("button", {type: "button", onclick: send("PUT")}, "Replace the whole set"),
			h("button", {type: "button", onclick: async () => {
				try {
					const made = await call("POST", "/v1/create-tables", {body: state.connection ? {using: state.connection} : {}});
					replace(problem, h("div", {class: "notice"}, `${made.statements.length} statements have run.`));
				} catch (error) {
					replace(problem, notice(error));
				}
			}}, "Create the tables")));
}

async function liveTables(place, refresh) {
	const register = h("input", {type: "checkbox"});
	const result = h("div");
	const run = async () => {
		try {
			const body = {register: register.checked, ...(state.connection ? {using: state.connection} : {})};
			const live = await call("POST", "/v1/introspect", {body});
			const models = live.payload?.models ?? live.schema?.payload?.models ?? [];
			replace(result, models.map((m) => h("details", null, h("summary", null, m.table_name), structure(m))),
				models.length === 0 && h("p", {class: "quiet"}, "The database has no tables."));
			if (register.checked)
				refresh();
		} catch (error) {
			replace(result, notice(error));
		}
	};
	if (await offers("POST", "/v1/introspect"))
		replace(place, h("section", {class: "card"}, h("h2", null, "Tables of the database"), field("Register them as models too", register),
			h("p", {class: "buttons"}, h("button", {type: "button", onclick: run}, "Read the live database")), result));
}

export function modelsView(root, name) {
	const list = h("nav", {class: "side", "aria-label": "Models"});
	const detail = h("section", {class: "detail"});
	const live = h("div");
	const refresh = async () => {
		try {
			const {payload, fingerprint} = await call("GET", "/v1/models");
			const chosen = payload.models.find((m) => m.model_name === name) ?? payload.models[0];
			replace(list, payload.models.map((m) => h("a", {
				href: `#/models/${encodeURIComponent(m.model_name)}`, "aria-current": m === chosen && "page"}, m.model_name)));
			if (!chosen) {
				replace(detail, h("p", null, "No models are registered. Register some below, or read them from a live database."));
				return;
			}
			replace(detail, h("h2", null, chosen.model_name, " ", h("small", {class: "quiet"}, "table ", h("code", null, chosen.table_name))),
				h("details", null, h("summary", null, "Structure"), structure(chosen)), records(chosen),
				h("p", {class: "quiet wrap"}, "Schema fingerprint ", h("code", null, fingerprint)));
		} catch (error) {
			replace(detail, notice(error));
		}
	};
	replace(root, h("h1", null, "Models"), h("div", {class: "split"}, list, detail), live, registerForm(refresh));
	refresh();
	liveTables(live, refresh);
}
