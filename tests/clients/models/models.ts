// Models by their own names, in the types that openapi-typescript makes of /openapi.json?models=true.
// Usage: node models.js BASE_URL CONNECTION_NAME
import createClient from "openapi-fetch";
import type { components, paths } from "./described.js";

type Writer = components["schemas"]["Model_Writer"];
type Novel = components["schemas"]["Model_Novel"];
type Given = components["schemas"]["Model_Writer_given"];

export const shown = (w: Writer): [number, string, string | null] => [w.id, w.name, w.born];
export const of = (n: Novel): string | undefined => n.writer?.name;
export const given: Given = { name: "Ann" };
// @ts-expect-error there is no such member
export const wrong = (w: Writer) => w.nobody;
// @ts-expect-error a name must be given
export const lacking: Given = {};
// @ts-expect-error it is a text
export const number: Given = { name: 1 };
// @ts-expect-error there is no such filter
export const unfiltered: paths["/v1/models/Writer/records"]["get"]["parameters"]["query"] = { nobody: "eq.Ann" };

function must<T>(value: T | undefined, what: unknown): T {
	if (value === undefined) throw new Error(JSON.stringify(what));
	return value;
}

async function main(base: string, using: string): Promise<void> {
	const ferrod = createClient<paths, "application/json">({ baseUrl: base });
	const query = { using };
	const made = await ferrod.POST("/v1/models/Writer/records", { params: { query }, body: { name: "Ann", born: "1920-01-02", fee: "1.50" } });
	const ann = must(made.data, made.error);
	const novel = await ferrod.POST("/v1/models/Novel/records", { params: { query }, body: { title: "Sea", writer_id: ann.id } });
	must(novel.data, novel.error);
	const found = await ferrod.GET("/v1/models/Novel/records", { params: { query: { using, "writer.name": "eq.Ann", include: "writer" } } });
	const [first] = must(found.data, found.error).rows;
	if (first?.title !== "Sea" || first.writer?.born !== "1920-01-02") throw new Error(JSON.stringify(first));
	const asked = await ferrod.GET("/v1/models/Writer/records", { params: { query: { using, "novel_set!none": "(title.eq.Sea)" } } });
	if (must(asked.data, asked.error).rows.length !== 0) throw new Error("a writer without the novel");
	const changed = await ferrod.PATCH("/v1/models/Writer/records/{pk}", { params: { query, path: { pk: String(ann.id) } }, body: { born: null } } as never);
	void changed;
	const related = await ferrod.GET("/v1/models/Writer/records/{pk}/novel_set" as never, {} as never);
	void related;
	console.log(`the TypeScript models are done on ${using}`);
}

void main(process.argv[2] ?? "", process.argv[3] ?? "");
