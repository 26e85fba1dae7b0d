// A box for QueryIR, one for SQL, and the rows that come back.
import {call, route, state} from "./client.js";
import {editor, field, h, notice, pretty, replace, say, table} from "./dom.js";

const kept = {mode: "sql", sql: "SELECT 1 AS one, 'two' AS two", args: "[]", ir: "", verb: "fetch-all", irVerb: ""};

const SQL_VERBS = [["fetch-all", "all rows"], ["fetch-one", "the first row"], ["execute", "only how many it changed"]];
const IR_VERBS = [["", "rows"], ["/first", "the first row"], ["/count", "a count"], ["/exists", "whether there is one"],
	["/explain", "the SQL and its plan"]];

async function firstModel() {
	try {
		const {payload} = await call("GET", "/v1/models");
		return payload.models[0]?.model_name ?? "Author";
	} catch {
		return "Author";
	}
}

function rowsOf(data) {
	if (Array.isArray(data?.rows))
		return data.rows;
	if (data && "row" in data)
		return data.row === null ? [] : [data.row];
	return null;
}

/** Rows that come as arrays keep columns of one name apart, and tell their columns when there is no row. */
function rowsTable(data, rows) {
	if (!rows.every(Array.isArray) || !Array.isArray(data.columns))
		return table(rows, {caption: "Result"});
	const titles = data.columns.map((c) => c.type ? [c.name, " ", h("small", {class: "quiet"}, c.type)] : c.name);
	return table(rows, {caption: "Result", columns: data.columns.map((_, i) => i), titles});
}

const notices = (data) => (data?.notices ?? []).map((n) =>
	h("div", {class: "notice"}, h("code", null, n.severity), " ", n.message, " ", h("span", {class: "quiet"}, n.code)));

function show(result, answer) {
	const rows = rowsOf(answer.data);
	const facts = [rows && `${rows.length} ${rows.length === 1 ? "row" : "rows"}`, `${answer.ms.toFixed(1)} ms`,
		answer.headers.get("Server-Timing"), answer.headers.get("Ferro-Session-Info")].filter(Boolean);
	const raw = h("pre", {tabindex: "0"});
	replace(result, h("p", {class: "quiet facts"}, facts.join(" · ")),
		notices(answer.data), rows ? rowsTable(answer.data, rows) : h("pre", {tabindex: "0"}, pretty(answer.data)),
		rows && h("details", {ontoggle: () => replace(raw, pretty(answer.data))}, h("summary", null, "JSON"), raw));
	say(facts[0]);
}

export function queryView(root) {
	const result = h("div", {id: "result", "aria-live": "off"});
	const pane = h("div");
	const run = async (action) => {
		replace(result, h("p", {class: "quiet"}, "…"));
		try {
			show(result, await action());
		} catch (error) {
			replace(result, notice(error));
		}
	};
	const parse = (text, what) => {
		try {
			return JSON.parse(text);
		} catch (error) {
			throw new Error(`${what}: ${error.message}`);
		}
	};
	const choice = (options, value, onchange) => h("select", {onchange: (e) => onchange(e.target.value)},
		options.map(([key, text]) => h("option", {value: key, selected: key === value}, text)));

	const sqlPane = () => {
		const go = () => run(() => {
			kept.sql = text.value;
			kept.args = args.value;
			const {query, session} = route();
			const body = {sql: text.value};
			const values = parse(args.value || "[]", "arguments");
			if (!Array.isArray(values) || values.length > 0)
				body.args = values;
			return call("POST", `/v1/sql/${kept.verb}`, {session, query, body, whole: true, headers: {Prefer: kept.verb === "execute" ? "int64=string" : "rows=arrays, int64=string"}});
		});
		const text = editor(kept.sql, {id: "sql", label: "SQL", rows: 6, run: go});
		const args = h("input", {class: "code", value: kept.args, id: "args", autocomplete: "off"});
		return [text, h("div", {class: "line"}, field("Arguments, as JSON", args),
			field("Answer", choice(SQL_VERBS, kept.verb, (v) => { kept.verb = v; }))),
		h("p", {class: "buttons"}, h("button", {type: "button", class: "primary", id: "run", onclick: go}, "Run"),
			h("span", {class: "quiet"}, "Ctrl+Enter"))];
	};
	const irPane = () => {
		const go = () => run(() => {
			kept.ir = text.value;
			const {query, session} = route();
			return call("POST", `/v1/query${kept.irVerb}`, {session, query, body: parse(text.value, "the query"), whole: true,
				headers: {Prefer: "int64=string"}});
		});
		const text = editor(kept.ir, {id: "ir", label: "QueryIR", rows: 14, run: go});
		if (!kept.ir)
			firstModel().then((model) => {
				text.value ||= pretty({model_name: model, where: [{node_kind: "leaf", column: "id", operator: ">", value: 0}],
					order_by: [{column: "id", direction: "asc"}], limit: 20});
			});
		return [text, h("div", {class: "line"}, field("Answer", choice(IR_VERBS, kept.irVerb, (v) => { kept.irVerb = v; }))),
			h("p", {class: "buttons"}, h("button", {type: "button", class: "primary", id: "run", onclick: go}, "Run"),
				h("span", {class: "quiet"}, "Ctrl+Enter"))];
	};
	const modes = {sql: ["SQL", sqlPane], ir: ["QueryIR", irPane]};
	const tabs = h("div", {class: "tabs", role: "tablist", "aria-label": "Language", onkeydown: (event) => {
		if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
			choose(kept.mode === "sql" ? "ir" : "sql");
			tabs.querySelector("[aria-selected=true]").focus();
		}
	}});
	const choose = (mode) => {
		kept.mode = mode;
		replace(tabs, Object.entries(modes).map(([key, [title]]) => h("button", {
			type: "button", role: "tab", id: `mode-${key}`, "aria-selected": String(key === mode), tabindex: key === mode ? "0" : "-1",
			onclick: () => choose(key)}, title)));
		replace(pane, modes[mode][1]());
	};
	choose(kept.mode);
	replace(root, h("h1", null, "Query"), h("p", {class: "quiet"}, state.session
		? "It runs in this tab's session." : `It runs on ${state.connection || "the default connection"}, without a session.`),
	tabs, h("div", {role: "tabpanel", class: "card"}, pane), result);
}
