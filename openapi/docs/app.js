// The frame: sections by the address's hash, the connection, the session and the key at the top.
import {call, send, state} from "./client.js";
import {closeSession, connectionsView, openSession, sessionsView} from "./connections.js";
import {h, replace, say} from "./dom.js";
import {migrateView} from "./migrate.js";
import {modelsView} from "./models.js";
import {queryView} from "./query.js";
import {referenceView} from "./reference.js";

const sections = {
	connections: ["Connections", connectionsView],
	models: ["Models", modelsView],
	query: ["Query", queryView],
	migrate: ["Migrate", migrateView],
	sessions: ["Sessions", sessionsView],
	reference: ["API", referenceView],
};
const main = document.getElementById("main");
let leave = null;
let first = true;

async function show() {
	const [, name = "connections", argument, more] = location.hash.split("/");
	const key = sections[name] ? name : "connections";
	const [title, view] = sections[key];
	leave?.();
	leave = null;
	replace(document.getElementById("tabs"), Object.entries(sections).map(([id, [text]]) =>
		h("a", {href: `#/${id}`, "aria-current": id === key && "page"}, text)));
	document.title = `${title} · ferrod`;
	const done = await view(main, argument && decodeURIComponent(argument), more && decodeURIComponent(more));
	if (typeof done === "function")
		leave = done;
	if (!first)
		main.focus({preventScroll: true});
	if (!first)
		scrollTo(0, 0);
	first = false;
	main.dataset.section = key;
}

// ---- the connection ----

const picker = document.getElementById("connection");

async function fillPicker() {
	let names = [];
	try {
		names = (await call("GET", "/v1/connections")).connections.map((c) => c.name);
	} catch { /* the section says it */ }
	if (state.connection && !names.includes(state.connection))
		state.connection = "";
	replace(picker, h("option", {value: ""}, "(default)"), names.map((n) => h("option", {value: n, selected: n === state.connection}, n)));
}

picker.addEventListener("change", () => {
	state.set("connection", picker.value);
	show();
});

// ---- the session ----

const sessionButton = document.getElementById("session");

function drawSession() {
	sessionButton.textContent = state.session ? "In a session" : "No session";
	sessionButton.classList.toggle("on", Boolean(state.session));
	sessionButton.title = state.session ? "Close this tab's session" : "Open a session for this tab";
	picker.disabled = Boolean(state.session);
}

sessionButton.removeAttribute("aria-haspopup");
sessionButton.addEventListener("click", async () => {
	try {
		await (state.session ? closeSession() : openSession());
	} catch (error) {
		say(error.message);
	}
	show();
});

// ---- the key ----

const dialog = document.getElementById("key-dialog");
const keyButton = document.getElementById("key");
const keyInput = document.getElementById("key-input");

function drawKey() {
	keyButton.textContent = state.key ? "Key set" : "API key";
	keyButton.classList.toggle("on", Boolean(state.key));
}

function setKey(value) {
	state.set("key", value);
	keyInput.value = "";
	dialog.close();
	start();
}

keyButton.addEventListener("click", () => dialog.showModal());
document.getElementById("key-clear").addEventListener("click", () => setKey(""));
document.getElementById("key-cancel").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", (event) => {
	event.preventDefault();
	setKey(keyInput.value.trim());
});

// ---- start ----

async function start() {
	drawKey();
	drawSession();
	fillPicker();
	// A session that has ended since the tab was loaded is forgotten without a word.
	if (state.session && [404, 410].includes((await send("GET", "/v1/session", {session: true})).status))
		state.set("session", "");
	const version = await send("GET", "/version");
	document.getElementById("version").textContent = version.ok ? version.data.version : "";
	await show();
	if (version.status === 401 && !state.key)
		dialog.showModal();
}

document.addEventListener("ferrod", (event) => {
	if (event.detail === "connections")
		fillPicker();
	drawSession();
	drawKey();
});
window.addEventListener("hashchange", (event) => {
	if (!new URL(event.newURL).hash.startsWith("#main"))
		show();
});
start();
