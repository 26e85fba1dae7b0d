// What would a migration do? A dry run's plan, and the leave to carry out exactly that plan.
import {call, offers, state} from "./client.js";
import {field, h, notice, pretty, replace, say, table} from "./dom.js";

function changeRow(change) {
	const marks = [change.loses_data && "loses data", change.rewrites && "rewrites the table", change.reversible === false && "not reversible"];
	return {
		kind: change.kind, table: change.table, column: change.column ?? "", lock: change.lock ?? "",
		rows: change.rows_affected ?? "",
		risk: h("span", null, marks.filter(Boolean).map((m) => h("span", {class: `tag${m === "loses data" ? " bad" : ""}`}, m))),
	};
}

function plan(answer, apply) {
	const changes = answer.changes ?? [];
	return [
		(answer.warnings ?? []).map((w) => h("div", {class: "notice warn"}, h("code", null, w.code), ` ${w.table ?? ""}${w.column
			? `.${w.column}` : ""}: ${w.detail}`)),
		answer.statements.length === 0 ? h("div", {class: "notice"}, "The database is as the models want it: nothing to do.") : [
			changes.length > 0 && table(changes.map(changeRow), {caption: "Changes"}),
			h("h3", null, answer.applied ? "These statements have run" : "These statements would run"),
			h("ol", {class: "statements"}, answer.statements.map((s) => h("li", null, h("pre", {tabindex: "0"}, s)))),
			answer.plan_hash && h("p", {class: "quiet wrap"}, "Plan ", h("code", null, answer.plan_hash)),
			!answer.applied && h("p", {class: "buttons"}, h("button", {type: "button", class: "danger", onclick: apply}, "Carry out this plan")),
		],
		h("details", null, h("summary", null, "JSON"), h("pre", {tabindex: "0"}, pretty(answer))),
	];
}

function planner() {
	const box = (checked) => h("input", {type: "checkbox", checked});
	const updates = box(true), destructive = box(false), rebuild = box(false);
	const result = h("div", {id: "plan"});
	const body = (more) => ({updates: updates.checked, destructive: destructive.checked, rebuild: rebuild.checked,
		...(state.connection ? {using: state.connection} : {}), ...more});
	const run = async (more) => {
		try {
			const answer = await call("POST", "/v1/migrate", {body: body(more)});
			replace(result, plan(answer, () => {
				if (confirm("Change the database now?"))
					run(answer.plan_hash ? {plan_hash: answer.plan_hash} : {});
			}));
			say(answer.applied ? "the migration has run" : `${answer.statements.length} statements planned`);
		} catch (error) {
			replace(result, [404, 405].includes(error.status) && error.problem?.code !== "connection_not_found"
				? h("div", {class: "notice warn"}, "This server does not offer migrations.") : notice(error));
		}
	};
	return h("section", {class: "card"}, h("h2", null, "Plan"),
		h("p", {class: "quiet"}, "Compares the registered models with the live database. A plan changes nothing."),
		h("div", {class: "line"}, field("Add and change columns", updates), field("Drop what the models lack", destructive),
			field("Rebuild SQLite tables", rebuild)),
		h("p", {class: "buttons"}, h("button", {type: "button", class: "primary", id: "dry-run", onclick: () => run({dry_run: true})}, "Plan")), result);
}

function ddl() {
	const result = h("pre", {tabindex: "0", hidden: true});
	const load = (dialect) => async () => {
		result.hidden = false;
		try {
			const answer = await call("GET", "/v1/ddl", {query: {dialect}, whole: true, headers: {Accept: "application/sql, */*;q=0.1"}});
			replace(result, answer.text.trim() || "-- no models are registered");
		} catch (error) {
			replace(result, error.message);
		}
	};
	return h("section", {class: "card"}, h("h2", null, "Statements for an empty database"),
		h("p", {class: "buttons"}, h("button", {type: "button", onclick: load("sqlite")}, "SQLite"),
			h("button", {type: "button", onclick: load("postgres")}, "PostgreSQL")), result);
}

export async function migrateView(root) {
	replace(root, h("h1", null, "Migrate"));
	const there = await offers("POST", "/v1/migrate").catch(() => false);
	root.append(there ? planner() : h("div", {class: "notice warn"}, "This server does not offer migrations."), ddl());
}
