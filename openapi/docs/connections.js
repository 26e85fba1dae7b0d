// Connections with their pools, and sessions.
import {call, state} from "./client.js";
import {field, h, notice, replace, say, table} from "./dom.js";

const REFRESH_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";

/** Used, idle and free places of a pool as one bar. */
function gauge(pool) {
	const most = Math.max(pool.max_connections, pool.size, 1);
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("class", "gauge");
	svg.setAttribute("viewBox", "0 0 100 6");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("role", "img");
	svg.setAttribute("aria-label", `${pool.in_use} of ${pool.max_connections} in use, ${pool.idle} idle`);
	let x = 0;
	for (const [name, n] of [["used", pool.in_use], ["idle", pool.idle], ["free", most - pool.in_use - pool.idle]]) {
		const bar = document.createElementNS(SVG, "rect");
		bar.setAttribute("class", name);
		bar.setAttribute("x", x);
		bar.setAttribute("height", 6);
		bar.setAttribute("width", Math.max((n / most) * 100, 0));
		x += (n / most) * 100;
		svg.append(bar);
	}
	return svg;
}

function figure(name, value) {
	return h("div", null, h("dt", null, name), h("dd", null, String(value)));
}

function card(connection, refresh, problem) {
	const path = `/v1/connections/${encodeURIComponent(connection.name)}`;
	const act = (what, action) => async () => {
		try {
			say(await action() ?? what);
		} catch (error) {
			replace(problem, notice(error));
		}
		refresh();
	};
	return h("article", {class: "card", "data-connection": connection.name},
		h("h3", null, connection.name, " ", h("span", {class: `tag ${connection.backend}`}, connection.backend),
			connection.is_default && h("span", {class: "tag"}, "default")),
		connection.url && h("p", {class: "quiet wrap"}, h("code", null, connection.url)),
		gauge(connection.pool),
		h("dl", {class: "figures"}, figure("in use", connection.pool.in_use), figure("idle", connection.pool.idle),
			figure("waiting", connection.pool.waiting), figure("at most", connection.pool.max_connections),
			figure("sessions", connection.sessions), figure("transactions", connection.transactions)),
		connection.server_version && h("p", {class: "quiet"}, `${connection.backend} ${connection.server_version}`),
		h("p", {class: "buttons"},
			h("button", {type: "button", onclick: act("checked", async () => {
				const {latency_ms} = await call("POST", `${path}/check`);
				return `${connection.name} answered in ${latency_ms.toFixed(2)} ms`;
			})}, "Check"),
			!connection.is_default && h("button", {type: "button", onclick: act("default set", async () => {
				await call("PUT", "/v1/default-connection", {body: {name: connection.name}});
			})}, "Make default"),
			h("button", {type: "button", class: "danger", onclick: act("disconnected", async () => {
				if (!confirm(`Disconnect ${connection.name}?`))
					return "kept";
				await call("DELETE", path);
			})}, "Disconnect")));
}

function connectForm(refresh) {
	const name = h("input", {name: "name", pattern: "[A-Za-z0-9_]+", placeholder: "app", autocomplete: "off"});
	const url = h("input", {name: "url", required: true, placeholder: "sqlite:app.db?mode=rwc", autocomplete: "off", class: "code"});
	const size = h("input", {name: "max", type: "number", min: "1", max: "1000", value: "5"});
	const makeDefault = h("input", {name: "default", type: "checkbox"});
	const problem = h("div");
	return h("form", {
		class: "card form", id: "connect",
		onsubmit: async (event) => {
			event.preventDefault();
			try {
				const body = {url: url.value, default: makeDefault.checked, pool: {max_connections: Number(size.value)}};
				if (name.value)
					body.name = name.value;
				const made = await call("POST", "/v1/connections", {body});
				replace(problem);
				say(`connected ${made.name}`);
				url.value = name.value = "";
				refresh();
			} catch (error) {
				replace(problem, notice(error));
			}
		},
	}, h("h3", null, "Connect"), field("Name", name, "none: the default connection is replaced"),
	field("URL", url, "sqlite:… or postgres://user:password@host/database"), field("Connections at most", size),
	field("Make it the default", makeDefault), h("p", {class: "buttons"}, h("button", {class: "primary"}, "Connect")), problem);
}

export function connectionsView(root) {
	const list = h("div", {class: "cards", id: "connections"});
	const problem = h("div");
	let known = [];
	const refresh = async () => {
		try {
			const {connections} = await call("GET", "/v1/connections");
			const names = connections.map((c) => c.name).join();
			if (names !== known)
				document.dispatchEvent(new CustomEvent("ferrod", {detail: "connections"}));
			known = names;
			const focused = document.activeElement;
			const keep = focused && list.contains(focused)
				? [focused.closest("[data-connection]").dataset.connection, focused.textContent] : null;
			replace(list, connections.length > 0 ? connections.map((c) => card(c, refresh, problem))
				: h("p", {class: "quiet"}, "Nothing is connected."));
			if (keep)
				[...list.querySelectorAll(`[data-connection="${CSS.escape(keep[0])}"] button`)]
					.find((button) => button.textContent === keep[1])?.focus();
		} catch (error) {
			replace(list, notice(error));
		}
	};
	replace(root, h("h1", null, "Connections"), problem, list, h("h2", null, "Another database"), connectForm(refresh));
	refresh();
	const timer = setInterval(() => document.hidden || refresh(), REFRESH_MS);
	return () => clearInterval(timer);
}

// ---- sessions ----

export async function openSession() {
	const answer = await call("POST", "/v1/sessions", {body: state.connection ? {using: state.connection} : {}, whole: true});
	state.set("session", answer.headers.get("Ferro-Session"));
	say(`a session on ${answer.data.connection_name} is open`);
}

export async function closeSession() {
	try {
		await call("DELETE", "/v1/session", {session: true, query: {rollback: true}});
	} catch (error) {
		if (![404, 410].includes(error.status))
			throw error;
	}
	state.set("session", "");
	say("the session is closed");
}

function mine(info) {
	const map = info.identity_map;
	return [h("dl", {class: "figures"}, figure("connection", info.connection_name), figure("transactions", info.transactions.length),
		figure("records kept", map.size), figure("hits", map.hits), figure("misses", map.misses)),
	h("p", {class: "quiet"}, `Opened ${info.created_at}, ends ${info.expires_at} at the latest.`)];
}

export function sessionsView(root) {
	const here = h("section", {class: "card"});
	const all = h("div");
	const attempt = (action) => async () => {
		try {
			await action();
			await refresh();
		} catch (error) {
			replace(here, notice(error));
		}
	};
	const refresh = async () => {
		if (state.session) {
			const buttons = h("p", {class: "buttons"},
				h("button", {type: "button", onclick: attempt(async () => {
					await call("DELETE", "/v1/session/identity-map", {session: true});
				})}, "Clear its identity map"),
				h("button", {type: "button", class: "danger", onclick: attempt(closeSession)}, "Close it"));
			try {
				replace(here, h("h2", null, "This tab's session"), mine(await call("GET", "/v1/session", {session: true})), buttons);
			} catch (error) {
				if ([404, 410].includes(error.status))
					state.set("session", "");
				replace(here, notice(error));
			}
		} else {
			replace(here, h("h2", null, "This tab's session"),
				h("p", null, "None. A session pins a connection and keeps an identity map: a record read twice is the same record."),
				h("p", {class: "buttons"}, h("button", {type: "button", class: "primary", onclick: attempt(openSession)}, "Open one")));
		}
		try {
			const {sessions} = await call("GET", "/v1/sessions");
			replace(all, table(sessions.map((s) => ({ref: s.ref, connection: s.connection_name, owner: s.owner, transactions: s.transactions,
				records: s.identity_map.size, "last used": s.last_used_at, "ends": s.expires_at})), {caption: "Open sessions"}));
		} catch (error) {
			replace(all, notice(error));
		}
	};
	replace(root, h("h1", null, "Sessions"), here, h("h2", null, "All open sessions"), all);
	refresh();
	const timer = setInterval(() => document.hidden || root.contains(document.activeElement) || refresh(), REFRESH_MS);
	return () => clearInterval(timer);
}
