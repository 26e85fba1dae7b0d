// A tour of the API with openapi-fetch over the types that openapi-typescript makes of /openapi.json.
// Usage: node out/tour.js BASE_URL DATABASE_URL CONNECTION_NAME
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./ferrod.js";

type Row = components["schemas"]["Row"];

const [baseUrl, url, name] = process.argv.slice(2);
assert(baseUrl && url && name);
const ferrod = createClient<paths, "application/json" | "application/problem+json">({ baseUrl });
const using = { query: { using: name } };

/** The data of a good answer; a problem document becomes an exception. */
function good<D, E>(answer: { data?: D; error?: E; response: Response }): D {
	assert(answer.data !== undefined, `${answer.response.status} ${JSON.stringify(answer.error)}`);
	return answer.data;
}

const connected = good(await ferrod.POST("/v1/connections", { body: { name, url, pool: { max_connections: 3 } } }));
assert.equal(connected.name, name);
assert.equal(connected.pool.max_connections, 3);

const registered = good(await ferrod.PUT("/v1/models", {
	body: {
		models: [{
			model_name: "Member",
			columns: [
				{ name: "id", logical_type: "integer", primary_key: true },
				{ name: "name", logical_type: "string", unique: true },
				{ name: "age", logical_type: "integer", nullable: true },
			],
		}],
	},
}));
assert.equal(registered.payload.models[0]?.table_name, "member");
assert.equal(good(await ferrod.POST("/v1/create-tables", { body: { using: name } })).applied, true);

// What is misspelt does not compile.
// @ts-expect-error: `name` is what a column has
void ({ nam: "id", logical_type: "integer" } satisfies components["schemas"]["ColumnInput"]);
// @ts-expect-error: `where` is what a query has
void ({ model_name: "Member", were: [] } satisfies components["schemas"]["QueryPayload"]);

const members: Row[] = [{ name: "Ada", age: 36 }, { name: "Grace", age: 85 }, { name: "Alan", age: null }];
const created = good(await ferrod.POST("/v1/models/{model}/records", {
	params: { path: { model: "Member" }, ...using }, body: { records: members },
}));
assert.deepEqual(created, { rows_inserted: 3 });

const opened = await ferrod.POST("/v1/sessions", { body: { using: name } });
assert.equal(good(opened).connection_name, name);
const session = opened.response.headers.get("Ferro-Session");
assert(session);
const header = { "Ferro-Session": session };

const found = good(await ferrod.POST("/v1/query", {
	params: { header },
	body: {
		model_name: "Member",
		where: [{ node_kind: "leaf", column: "age", operator: ">", value: 40 }],
		order_by: [{ column: "id", direction: "asc" }],
	},
}));
assert.deepEqual(found.rows.map((row) => row["name"]), ["Grace"]);

const path = { model: "Member", pk: "1" };
for (const expected of ["miss", "hit"]) {
	const one = await ferrod.GET("/v1/models/{model}/records/{pk}", { params: { path, header } });
	assert.equal(good(one)["name"], "Ada");
	assert.equal(one.response.headers.get("Ferro-Identity"), expected);
}

const begun = await ferrod.POST("/v1/transactions", { params: { header }, body: {} });
const transaction = good(begun);
const inside = { ...header, "Ferro-Transaction": transaction.transaction_id };
good(await ferrod.PATCH("/v1/models/{model}/records/{pk}", { params: { path, header: inside }, body: { age: 37 } }));
const ended = good(await ferrod.POST("/v1/transactions/{id}/rollback", {
	params: { path: { id: transaction.transaction_id }, header },
}));
assert.equal(ended.state, "rolled_back");

const counted = good(await ferrod.POST("/v1/sql/fetch-one", {
	params: using, body: { sql: "SELECT count(*) AS n FROM member WHERE age = 36" },
}));
assert.deepEqual(counted.row, { n: 1 });

const refused = await ferrod.POST("/v1/query", {
	params: using, body: { model_name: "Member", where: [{ node_kind: "leaf", column: "shoe", operator: "==", value: 1 }] },
});
assert.equal(refused.response.status, 422);
assert.equal(refused.error?.code, "unknown_column");
assert.equal(refused.error?.errors?.[0]?.pointer, "/where/0/column");

assert.equal((await ferrod.DELETE("/v1/session", { params: { header } })).response.status, 204);
console.log(`the TypeScript tour is done on ${connected.backend}`);
