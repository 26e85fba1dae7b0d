// Registered models, and the way to more of them.
import {call, state} from "./client.js";
import {editor, field, h, notice, pretty, replace, say} from "./dom.js";
import {record, records} from "./records.js";
import {liveTables, marks, structure} from "./tables.js";

function registerForm(refresh) {
	const problem = h("div");
	const set = h("input", {id: "register-set", autocomplete: "off", pattern: "[A-Za-z0-9_.\\-]*", placeholder: "the one without a name"});
	const send = (method) => async () => {
		try {
			await call(method, "/v1/models", {text: text.value, query: {set: set.value}});
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
		h("p", {class: "quiet"}, "SchemaIR, short form or whole. Ctrl+Enter adds."), text, field("Set", set), problem,
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

export function modelsView(root, name, key) {
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
			replace(detail, h("h2", null, chosen.model_name, " ", h("small", {class: "quiet"}, "table ", h("code", null, chosen.table_name)), " ",
				marks(chosen)), h("details", null, h("summary", null, "Structure"), structure(chosen)),
			key && chosen.model_name === name ? record(chosen, key, payload.models) : records(chosen),
			h("p", {class: "quiet wrap"}, "Schema fingerprint ", h("code", null, fingerprint)));
		} catch (error) {
			replace(detail, notice(error));
		}
	};
	replace(root, h("h1", null, "Models"), h("div", {class: "split"}, list, detail), live, registerForm(refresh));
	refresh();
	liveTables(live, refresh);
}
