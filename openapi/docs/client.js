// Talks to the server that this page came from, and to nobody else.

export class Failure extends Error {
	constructor(message, problem, status) {
		super(message);
		this.problem = problem;
		this.status = status;
	}
}

const KEEP = ["key", "session", "connection"];

/** What the page works with: the API key and the session id live in this tab's storage only. */
export const state = {
	key: "", session: "", connection: "", description: null,
	set(name, value) {
		this[name] = value ?? "";
		if (KEEP.includes(name))
			value ? sessionStorage.setItem(`ferrod.${name}`, value) : sessionStorage.removeItem(`ferrod.${name}`);
		document.dispatchEvent(new CustomEvent("ferrod", {detail: name}));
	},
};
for (const name of KEEP)
	state[name] = sessionStorage.getItem(`ferrod.${name}`) ?? "";

/** Any answer, also a refusal: {status, headers, text, data, ms}. body: a JSON value; text: sent as it is. */
export async function send(method, path, {query, body, text, headers, session = false} = {}) {
	const url = new URL(path, location.origin);
	for (const [name, value] of Object.entries(query ?? {}))
		if (value !== "" && value !== null && value !== undefined)
			url.searchParams.append(name, value);
	const sent = new Headers(headers);
	const content = text ?? (body === undefined ? undefined : JSON.stringify(body));
	if (content !== undefined && !sent.has("Content-Type"))
		sent.set("Content-Type", "application/json");
	if (state.key && !sent.has("Authorization"))
		sent.set("Authorization", `Bearer ${state.key}`);
	if (session && state.session)
		sent.set("Ferro-Session", state.session);
	const started = performance.now();
	let answer, got;
	try {
		answer = await fetch(url, {method, headers: sent, body: content, cache: "no-store", credentials: "omit", redirect: "error"});
		got = await answer.text();
	} catch (error) {
		throw new Failure(`the server does not answer (${error.message})`);
	}
	let data;
	if (/json/.test(answer.headers.get("Content-Type") ?? "")) {
		try {
			data = JSON.parse(got);
		} catch { /* shown as text */ }
	}
	return {status: answer.status, ok: answer.ok, headers: answer.headers, text: got, data, ms: performance.now() - started, url};
}

/** The JSON of a good answer; a refusal is thrown as Failure. */
export async function call(method, path, options) {
	const answer = await send(method, path, options);
	if (!answer.ok)
		throw new Failure(answer.data?.detail ?? `${answer.status}`, answer.data?.code ? answer.data : null, answer.status);
	return options?.whole ? answer : answer.data;
}

export async function description() {
	if (!state.description)
		state.description = await call("GET", "/openapi.json");
	return state.description;
}

/** Does this server offer the operation? */
export async function offers(method, path) {
	return Boolean((await description()).paths[path]?.[method.toLowerCase()]);
}

/** The connection and session of the next request: a session pins its connection. */
export function route() {
	return state.session ? {session: true} : {query: {using: state.connection}};
}
