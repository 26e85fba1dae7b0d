// A JSON Schema as a tree that opens step by step.
import {h} from "./dom.js";

export function resolve(document, node) {
	while (node?.$ref)
		node = node.$ref.slice(2).split("/").reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], document);
	return node ?? {};
}

const nameOf = (schema) => schema?.$ref?.split("/").pop();

/** In a few words: "string (uuid)", "array of User", "one of 3". */
export function summary(document, schema) {
	const name = nameOf(schema);
	const s = resolve(document, schema);
	if (s.const !== undefined)
		return JSON.stringify(s.const);
	if (s.enum)
		return s.enum.length <= 5 ? s.enum.map((v) => JSON.stringify(v)).join(" | ") : `${name ?? "one"} of ${s.enum.length} values`;
	if (s.type === "array")
		return `array of ${summary(document, s.items ?? {})}`;
	if (name)
		return name;
	const many = s.oneOf ?? s.anyOf;
	if (many)
		return many.map((sub) => summary(document, sub)).join(" | ");
	if (s.allOf)
		return s.allOf.map((sub) => summary(document, sub)).join(" & ");
	const kinds = [s.type ?? "any"].flat().join(" | ");
	return s.format ? `${kinds} (${s.format})` : kinds;
}

function bounds(s) {
	const words = [];
	for (const [key, text] of [["minimum", "≥"], ["maximum", "≤"], ["exclusiveMinimum", ">"], ["exclusiveMaximum", "<"],
		["minLength", "length ≥"], ["maxLength", "length ≤"], ["minItems", "items ≥"], ["maxItems", "items ≤"]])
		if (s[key] !== undefined)
			words.push(`${text} ${s[key]}`);
	if (s.pattern)
		words.push(`matches ${s.pattern}`);
	if (s.default !== undefined)
		words.push(`default ${JSON.stringify(s.default)}`);
	return words.join(", ");
}

/** Property lists below a schema, filled when first opened: schemas may be recursive. */
export function tree(document, schema) {
	const s = resolve(document, schema);
	const parts = [];
	if (s.description)
		parts.push(h("p", {class: "quiet"}, s.description));
	for (const sub of [...(s.allOf ?? []), ...(s.oneOf ?? []), ...(s.anyOf ?? [])])
		parts.push(branch(document, "", sub, false));
	if (s.type === "array" && s.items)
		parts.push(branch(document, "each", s.items, false));
	for (const [name, sub] of Object.entries(s.properties ?? {}))
		parts.push(branch(document, name, sub, s.required?.includes(name)));
	if (typeof s.additionalProperties === "object" && Object.keys(s.additionalProperties).length > 0)
		parts.push(branch(document, "any other", s.additionalProperties, false));
	return h("div", {class: "schema"}, parts);
}

function deep(document, schema) {
	const s = resolve(document, schema);
	return s.properties || s.oneOf || s.anyOf || s.allOf || (s.type === "array" && s.items && deep(document, s.items));
}

function branch(document, name, schema, required) {
	const s = resolve(document, schema);
	const head = [name && h("code", null, name), required && h("span", {class: "tag"}, "required"), " ",
		h("span", {class: "kind"}, summary(document, schema)), " ", h("span", {class: "quiet"}, bounds(s))];
	if (!deep(document, schema))
		return h("div", {class: "leaf"}, head, s.description && h("p", {class: "quiet"}, s.description));
	return h("details", {ontoggle: (event) => {
		if (event.target.open && event.target.children.length === 1)
			event.target.append(tree(document, schema));
		event.stopPropagation();
	}}, h("summary", null, head));
}
