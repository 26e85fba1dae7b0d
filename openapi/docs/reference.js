// The API reference, drawn from /openapi.json, with a form that sends each operation.
import {description, send, state} from "./client.js";
import {editor, field, h, notice, pretty, replace, say} from "./dom.js";
import {resolve, summary, tree} from "./schema.js";

const METHODS = ["get", "put", "post", "patch", "delete"];
const DANGEROUS = ["delete", "put", "patch", "post"];

function operations(document) {
	const found = [];
	for (const [path, item] of Object.entries(document.paths))
		for (const method of METHODS)
			if (item[method])
				found.push({path, method, op: item[method], parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])]
					.map((p) => resolve(document, p))});
	return found;
}

const verb = (method) => h("span", {class: `verb ${method}`}, method.toUpperCase());

/** Descriptions are Markdown of the plain kind: paragraphs, lists and `code`. */
function prose(text) {
	const inline = (line) => line.split(/(`[^`]*`)/).map((part) => part.startsWith("`") ? h("code", null, part.slice(1, -1)) : part);
	return (text ?? "").trim().split(/\n\s*\n/).filter(Boolean).map((block) => block.startsWith("* ")
		? h("ul", null, block.split(/\n\* |^\* /).filter(Boolean).map((item) => h("li", null, inline(item))))
		: h("p", null, inline(block)));
}

function exampleOf(document, media) {
	if (!media)
		return undefined;
	if (media.example !== undefined)
		return media.example;
	const first = Object.values(media.examples ?? {})[0];
	return first && resolve(document, first).value;
}

function shellQuote(text) {
	return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl(method, url, headers, text) {
	const parts = [`curl -X ${method.toUpperCase()} ${shellQuote(url)}`];
	for (const [name, value] of Object.entries(headers))
		parts.push(`-H ${shellQuote(`${name}: ${value}`)}`);
	if (state.key)
		parts.push('-H "Authorization: Bearer $FERROD_KEY"');
	if (text)
		parts.push(`-H 'Content-Type: application/json' -d ${shellQuote(text)}`);
	return parts.join(" \\\n  ");
}

function shown(answer) {
	const headers = [...answer.headers].map(([name, value]) => `${name}: ${/^ferro-(session|transaction)$/.test(name) ? "…" : value}`);
	const body = answer.data !== undefined ? pretty(answer.data) : answer.text;
	return [h("p", null, h("span", {class: `tag${answer.ok ? " good" : " bad"}`}, String(answer.status)), ` ${answer.ms.toFixed(1)} ms`),
		h("details", null, h("summary", null, "Headers"), h("pre", {tabindex: "0"}, headers.join("\n"))),
		body && h("pre", {tabindex: "0"}, body.length > 100000 ? `${body.slice(0, 100000)}\n…` : body)];
}

function tryIt(document, {path, method, op, parameters}) {
	const inputs = parameters.map((p) => {
		const known = {"Ferro-Session": state.session}[p.name];
		const value = known ?? (p.in === "path" ? p.example ?? "" : "");
		const options = p.in === "query" && resolve(document, p.schema).enum;
		const input = options
			? h("select", null, [...(p.required ? [] : [""]), ...options].map((o) => h("option", {value: o, selected: o === p.example}, o)))
			: h("input", {value: String(value), required: p.required, autocomplete: "off", type: /Session|Transaction/.test(p.name) ? "password" : "text"});
		return {p, input};
	});
	const body = resolve(document, op.requestBody ?? {});
	const media = body.content?.["application/json"];
	const example = exampleOf(document, media);
	const result = h("div", {class: "answer"});
	const go = async () => {
		let target = path;
		const query = {}, headers = {};
		for (const {p, input} of inputs) {
			if (p.in === "path")
				target = target.replace(`{${p.name}}`, encodeURIComponent(input.value));
			else if (input.value !== "" && p.in === "query")
				query[p.name] = input.value;
			else if (input.value !== "" && p.in === "header")
				headers[p.name] = input.value;
		}
		const content = text?.value.trim() || undefined;
		if (method === "delete" && !confirm(`${method.toUpperCase()} ${target}?`))
			return;
		try {
			const answer = await send(method.toUpperCase(), target, {query, headers, text: content});
			const opened = answer.headers.get("Ferro-Session");
			if (op.operationId === "open_session" && opened)
				state.set("session", opened);
			const safe = Object.fromEntries(Object.entries(headers).map(([n, v]) => [n, /^Ferro-/.test(n) ? `$${n.toUpperCase().replace("-", "_")}` : v]));
			replace(result, shown(answer), h("details", null, h("summary", null, "As a command"),
				h("pre", {tabindex: "0"}, curl(method, answer.url.href, safe, content))));
			say(`answered ${answer.status}`);
		} catch (error) {
			replace(result, notice(error));
		}
	};
	const text = media && editor(example === undefined ? "" : pretty(example), {label: "Request body", rows: 10, run: go});
	return h("form", {class: "card try", onsubmit: (event) => { event.preventDefault(); go(); }},
		h("h3", null, "Try it"), h("div", {class: "line"}, inputs.map(({p, input}) => field(`${p.name}${p.required ? " *" : ""}`, input))),
		text, h("p", {class: "buttons"}, h("button", {class: DANGEROUS.includes(method) ? "" : "primary", id: "send"}, "Send"),
			method !== "get" && h("span", {class: "quiet"}, "This changes the real server.")), result);
}

function parameterTable(document, parameters) {
	if (parameters.length === 0)
		return null;
	return [h("h3", null, "Parameters"), h("div", {class: "schema"}, parameters.map((p) => h("div", {class: "leaf"},
		h("code", null, p.name), " ", h("span", {class: "tag"}, p.in), p.required && h("span", {class: "tag"}, "required"), " ",
		h("span", {class: "kind"}, summary(document, p.schema ?? {})), p.description && h("div", {class: "quiet"}, prose(p.description)))))];
}

function bodyPart(document, title, content) {
	return Object.entries(content ?? {}).map(([kind, media]) => h("details", {class: "media"},
		h("summary", null, title, " ", h("code", null, kind), " ", h("span", {class: "kind"}, summary(document, media.schema ?? {}))),
		media.schema && tree(document, media.schema),
		exampleOf(document, media) !== undefined && h("pre", {tabindex: "0"}, pretty(exampleOf(document, media)))));
}

function responses(document, op) {
	return [h("h3", null, "Answers"), Object.entries(op.responses).map(([status, response]) => {
		const r = resolve(document, response);
		const codes = r["x-problem-codes"] ?? [];
		return h("div", {class: "response"}, h("span", {class: `tag${status < "300" ? " good" : status < "400" ? "" : " bad"}`}, status), " ",
			r.description, codes.length > 0 && [" ", codes.map((c) => [h("a", {href: `/problems/${c}`}, h("code", null, c)), " "])],
			status < "400" && bodyPart(document, "body", r.content));
	})];
}

function page(document, operation) {
	const {path, method, op, parameters} = operation;
	const body = resolve(document, op.requestBody ?? {});
	return [h("h2", {id: "operation", tabindex: "-1"}, op.summary),
		h("p", {class: "route"}, verb(method), " ", h("code", null, path), " ", h("span", {class: "tag"}, `scope ${op["x-scope"]}`)),
		prose(op.description), parameterTable(document, parameters),
		body.content && [h("h3", null, "Body"), bodyPart(document, "", body.content)], tryIt(document, operation), responses(document, op)];
}

function overview(document) {
	return [h("h2", null, document.info.title), prose(document.info.description),
		h("p", null, "The document: ", ["/openapi.yaml", "/openapi.json", "/openapi-3.0.json"].map((p) => [h("a", {href: p}, p), " "]),
			"· ", h("a", {href: "/problems"}, "every problem code"))];
}

export async function referenceView(root, id) {
	const detail = h("section", {class: "detail"});
	try {
		const document = await description();
		const all = operations(document);
		const chosen = all.find(({op}) => op.operationId === id);
		const links = h("div");
		const draw = (word) => replace(links, document.tags.map((tag) => {
			const some = all.filter(({op, path}) => op.tags.includes(tag.name)
				&& `${op.operationId} ${path} ${op.summary}`.toLowerCase().includes(word.toLowerCase()));
			return some.length > 0 && [h("h3", null, tag.name), some.map((o) => h("a", {
				href: `#/reference/${o.op.operationId}`, title: o.path, "aria-current": o === chosen && "page"}, verb(o.method), " ", o.op.operationId))];
		}));
		draw("");
		const filter = h("input", {type: "search", placeholder: "Filter", "aria-label": "Filter operations", oninput: (e) => draw(e.target.value)});
		replace(detail, chosen ? page(document, chosen) : overview(document));
		replace(root, h("h1", null, "API reference"), h("div", {class: "split"},
			h("nav", {class: "side long", "aria-label": "Operations"}, filter, links), detail));
		const current = links.querySelector("[aria-current]");
		if (current)
			links.parentElement.scrollTop = current.offsetTop - 120;
	} catch (error) {
		replace(root, h("h1", null, "API reference"), notice(error));
	}
}
