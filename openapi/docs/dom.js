// Small helpers: elements, tables, notices. Text is always set as text, never as markup.

/** h("p", {class: "x", onclick: f}, "text", child, [children]): an element. */
export function h(tag, attributes, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === null || value === undefined || value === false)
			continue;
		if (name.startsWith("on"))
			element.addEventListener(name.slice(2), value);
		else if (name === "value" || name === "checked" || name === "selected")
			element[name] = value;
		else
			element.setAttribute(name, value === true ? "" : value);
	}
	append(element, children);
	return element;
}

function append(element, children) {
	for (const child of children) {
		if (Array.isArray(child))
			append(element, child);
		else if (child !== null && child !== undefined && child !== false)
			element.append(child instanceof Node ? child : String(child));
	}
}

export function replace(element, ...children) {
	element.replaceChildren();
	append(element, children);
	return element;
}

let silence = 0;

/** Says something to everybody, screen readers too. */
export function say(text) {
	const status = document.getElementById("status");
	status.textContent = text;
	clearTimeout(silence);
	silence = setTimeout(() => replace(status), 4000);
}

/** A problem document (or any error) as a notice. */
export function notice(error) {
	const problem = error.problem;
	if (!problem)
		return h("div", {class: "notice bad", role: "alert"}, h("strong", null, "Error "), error.message);
	return h("div", {class: "notice bad", role: "alert"},
		h("strong", null, `${problem.status} `), h("a", {href: problem.type}, h("code", null, problem.code)), " ",
		h("span", null, problem.detail),
		problem.errors?.length > 0 && h("ul", null, problem.errors.map(
			(fault) => h("li", null, h("code", null, fault.pointer || "/"), " ", fault.detail))),
		problem.sqlstate && h("p", {class: "quiet"}, "SQLSTATE ", h("code", null, problem.sqlstate)));
}

/** Rows (objects, or arrays with numbers for columns and titles over them) as a table that scrolls inside its frame and can be reached by keyboard. */
export function table(rows, {columns, titles, caption, most = 500} = {}) {
	const names = columns ?? [...new Set(rows.slice(0, most).flatMap(Object.keys))];
	if (rows.length === 0 && !titles)
		return h("p", {class: "quiet"}, "No rows.");
	return h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? "Rows"},
		h("table", {class: "rows"},
			h("thead", null, h("tr", null, names.map((name, i) => h("th", {scope: "col"}, titles?.[i] ?? name)))),
			h("tbody", null, rows.slice(0, most).map((row) => h("tr", null, names.map((name) => cell(row[name])))))),
		rows.length > most && h("p", {class: "quiet"}, `${rows.length - most} more rows are not shown.`));
}

function cell(value) {
	if (value === null)
		return h("td", null, h("span", {class: "null"}, "null"));
	if (value === undefined)
		return h("td");
	if (value instanceof Node)
		return h("td", null, value);
	if (typeof value === "number")
		return h("td", {class: "number"}, String(value));
	return h("td", null, typeof value === "object" ? JSON.stringify(value) : String(value));
}

/** A labelled control: field("Name", input). */
export function field(label, control, hint) {
	return h("label", {class: control.type === "checkbox" ? "field check" : "field"},
		control.type === "checkbox" ? [control, h("span", null, label)] : [h("span", null, label), control],
		hint && h("small", {class: "quiet"}, hint));
}

/** A code area: Ctrl+Enter runs, Tab leaves it as everywhere else. */
export function editor(text, {id, rows = 8, label, run}) {
	return h("textarea", {
		id, rows, class: "code", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": label, value: text,
		onkeydown: (event) => {
			if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
				event.preventDefault();
				run();
			}
		},
	});
}

export const pretty = (value) => JSON.stringify(value, null, 2);
