// The records of a model page by page, and one record with what is related to it.
import {call, route} from "./client.js";
import {h, notice, replace, say, table} from "./dom.js";

const PAGE = 50;
const PREFER = "int64=string"; // beyond 2^53 a browser's numbers lose digits

const pathOf = (name) => `/v1/models/${encodeURIComponent(name)}/records`;

/** The columns as the table has them. */
export function columnsOf(model) {
	return [...model.columns].sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
}

/** The key's columns in the order of paths: none for what has no key. */
export function keyOf(model) {
	const given = model.key ?? model.columns.filter((c) => c.primary_key).map((c) => c.name);
	return model.columns.map((c) => c.name).filter((name) => given.includes(name));
}

/** The record's part of a path; null: no path leads there. */
function keyPath(model, row) {
	const parts = keyOf(model).map((name) => row[name]);
	const odd = parts.some((v) => v === null || v === undefined || typeof v === "object");
	return parts.length === 0 || odd || ["", ".", ".."].includes(parts.join()) ? null : parts.map((v) => encodeURIComponent(v)).join(",");
}

const addressOf = (model, path) => `#/models/${encodeURIComponent(model.model_name)}/${encodeURIComponent(path)}`;

/** Rows; the first column of a key leads to its record. */
function rowsTable(model, rows, caption) {
	const first = columnsOf(model).find((c) => keyOf(model).includes(c.name))?.name;
	const linked = rows.map((row) => {
		const path = keyPath(model, row);
		return path === null ? row : {...row, [first]: h("a", {href: addressOf(model, path)}, String(row[first]) || "(empty)")};
	});
	return table(linked, {caption, columns: columnsOf(model).map((c) => c.name)});
}

export function records(model) {
	const place = h("div", {class: "records"});
	let offset = 0;
	const load = async () => {
		const {query = {}, session} = route();
		try {
			const page = await call("GET", pathOf(model.model_name),
				{session, query: {...query, limit: PAGE, offset}, headers: {Prefer: `count=exact, ${PREFER}`}});
			const move = (by) => () => {
				offset = Math.max(offset + by, 0);
				load();
			};
			replace(place, rowsTable(model, page.rows, `Records of ${model.model_name}`),
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

/** What a relation leads to, read when it is first opened. */
function related(path, relation, target) {
	return h("details", {"data-relation": relation.name, ontoggle: async (event) => {
		const box = event.target;
		if (!box.open || box.children.length > 1)
			return;
		const {query = {}, session} = route();
		try {
			const found = await call("GET", `${path}/${encodeURIComponent(relation.name)}`,
				{session, query, headers: {Prefer: PREFER}});
			const rows = found.rows ?? [found.row].filter(Boolean);
			box.append(target ? rowsTable(target, rows, relation.name) : table(rows, {caption: relation.name}));
		} catch (error) {
			box.append(notice(error));
		}
	}}, h("summary", null, h("code", null, relation.name), " ", h("span", {class: "quiet"}, `${relation.kind} of ${relation.target}`)));
}

export function record(model, path, models) {
	const place = h("div", {class: "record"}, h("p", {class: "quiet"}, "…"));
	const load = async () => {
		const {query = {}, session} = route();
		const address = `${pathOf(model.model_name)}/${path}`;
		try {
			const row = await call("GET", address, {session, query, headers: {Prefer: PREFER}});
			replace(place, table(columnsOf(model).map((c) => ({column: c.name, value: row[c.name], type: c.db_type ?? c.logical_type})),
				{caption: `Record ${decodeURIComponent(path)}`}),
			(model.relations ?? []).map((r) => related(address, r, models.find((m) => m.model_name === r.target))));
			say("one record");
		} catch (error) {
			replace(place, notice(error));
		}
	};
	load();
	return [h("p", null, h("a", {href: `#/models/${encodeURIComponent(model.model_name)}`}, `All of ${model.model_name}`)), place];
}
