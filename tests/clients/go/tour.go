// A tour of the API with the client that oapi-codegen makes of /openapi-3.0.json.
// Usage: tour BASE_URL DATABASE_URL CONNECTION_NAME
package main

import (
	"context"
	"fmt"
	"os"

	"example.test/tour/ferrod"
)

func main() {
	base, url, name := os.Args[1], os.Args[2], os.Args[3]
	ctx := context.Background()
	client := try(ferrod.NewClientWithResponses(base))

	connected := try(client.ConnectWithResponse(ctx, nil, ferrod.ConnectRequest{Name: &name, Url: url}))
	must(connected.JSON201 != nil, "connect: %s", connected.Body)
	must(connected.JSON201.Name == name, "connected %q", connected.JSON201.Name)

	register(ctx, client, name)
	session := query(ctx, client, name)
	identity(ctx, client, session)
	transaction(ctx, client, name, session)
	refusal(ctx, client, name)

	closed := try(client.CloseSessionWithResponse(ctx, &ferrod.CloseSessionParams{FerroSession: session}))
	must(closed.StatusCode() == 204, "close: %s", closed.Body)
	fmt.Printf("the Go tour is done on %s\n", connected.JSON201.Backend)
}

func register(ctx context.Context, client *ferrod.ClientWithResponses, name string) {
	var schema ferrod.SchemaInput
	must(schema.FromSchemaPayloadInput(ferrod.SchemaPayloadInput{Models: []ferrod.ModelInput{{
		ModelName: "Guest",
		Columns: []ferrod.ColumnInput{
			{Name: "id", LogicalType: "integer", PrimaryKey: ptr(true)},
			{Name: "name", LogicalType: "string", Unique: ptr(true)},
			{Name: "age", LogicalType: "integer", Nullable: ptr(true)},
		},
	}}}) == nil, "the schema does not encode")
	registered := try(client.ReplaceModelsWithResponse(ctx, nil, schema))
	must(registered.JSON200 != nil, "models: %s", registered.Body)
	must(registered.JSON200.Payload.Models[0].TableName == "guest", "table %q", registered.JSON200.Payload.Models[0].TableName)

	made := try(client.CreateTablesWithResponse(ctx, nil, ferrod.CreateTablesRequest{Using: &name}))
	must(made.JSON200 != nil && made.JSON200.Applied, "create tables: %s", made.Body)

	created := try(client.CreateRecordsWithResponse(ctx, "Guest", &ferrod.CreateRecordsParams{Using: &name}, ferrod.CreateRecords{
		"records": []ferrod.Row{{"name": "Ada", "age": 36}, {"name": "Grace", "age": 85}, {"name": "Alan", "age": nil}},
	}))
	must(created.JSON201 != nil, "create: %s", created.Body)
	must((*created.JSON201)["rows_inserted"] == 3.0, "created: %s", created.Body)
}

// query opens a session on the connection and asks in it.
func query(ctx context.Context, client *ferrod.ClientWithResponses, name string) string {
	opened := try(client.OpenSessionWithResponse(ctx, nil, ferrod.OpenSessionJSONRequestBody{Using: &name}))
	must(opened.JSON201 != nil, "session: %s", opened.Body)
	session := opened.HTTPResponse.Header.Get("Ferro-Session")

	var old ferrod.QueryNode
	age := "age"
	must(old.FromQueryLeaf(ferrod.QueryLeaf{
		NodeKind: ferrod.Leaf, Column: &age, Operator: ferrod.QueryLeafOperatorGreaterThan, Value: 40,
	}) == nil, "the leaf does not encode")
	var body ferrod.QueryInput
	must(body.FromQueryPayload(ferrod.QueryPayload{ModelName: "Guest", Where: &[]ferrod.QueryNode{old}}) == nil, "the query does not encode")
	found := try(client.QueryWithResponse(ctx, &ferrod.QueryParams{FerroSession: &session}, body))
	must(found.JSON200 != nil, "query: %s", found.Body)
	must(found.JSON200.RowCount == 1 && found.JSON200.Rows[0]["name"] == "Grace", "rows: %s", found.Body)
	return session
}

func identity(ctx context.Context, client *ferrod.ClientWithResponses, session string) {
	for _, expected := range []string{"miss", "hit"} {
		one := try(client.GetRecordWithResponse(ctx, "Guest", "1", &ferrod.GetRecordParams{FerroSession: &session}))
		must(one.JSON200 != nil && (*one.JSON200)["name"] == "Ada", "get: %s", one.Body)
		got := one.HTTPResponse.Header.Get("Ferro-Identity")
		must(got == expected, "Ferro-Identity is %q, not %q", got, expected)
	}
}

func transaction(ctx context.Context, client *ferrod.ClientWithResponses, name, session string) {
	begun := try(client.BeginTransactionWithResponse(ctx, &ferrod.BeginTransactionParams{FerroSession: &session},
		ferrod.BeginTransactionJSONRequestBody{}))
	must(begun.JSON201 != nil, "begin: %s", begun.Body)
	id := begun.JSON201.TransactionId
	changed := try(client.UpdateRecordWithResponse(ctx, "Guest", "1",
		&ferrod.UpdateRecordParams{FerroSession: &session, FerroTransaction: &id}, ferrod.Row{"age": 37}))
	must(changed.StatusCode() == 200, "patch: %s", changed.Body)
	ended := try(client.RollbackTransactionWithResponse(ctx, id, &ferrod.RollbackTransactionParams{FerroSession: &session},
		ferrod.RollbackTransactionJSONRequestBody{}))
	must(ended.StatusCode() == 200, "rollback: %s", ended.Body)

	counted := try(client.SqlFetchOneWithResponse(ctx, &ferrod.SqlFetchOneParams{Using: &name},
		ferrod.SqlRequest{Sql: "SELECT count(*) AS n FROM guest WHERE age = 36"}))
	must(counted.JSON200 != nil, "sql: %s", counted.Body)
}

func refusal(ctx context.Context, client *ferrod.ClientWithResponses, name string) {
	shoe := "shoe"
	var leaf ferrod.QueryNode
	must(leaf.FromQueryLeaf(ferrod.QueryLeaf{
		NodeKind: ferrod.Leaf, Column: &shoe, Operator: ferrod.QueryLeafOperatorEqualEqual, Value: 1,
	}) == nil, "the leaf does not encode")
	var body ferrod.QueryInput
	must(body.FromQueryPayload(ferrod.QueryPayload{ModelName: "Guest", Where: &[]ferrod.QueryNode{leaf}}) == nil, "the query does not encode")
	refused := try(client.QueryWithResponse(ctx, &ferrod.QueryParams{Using: &name}, body))
	problem := refused.ApplicationproblemJSON422
	must(problem != nil, "expected a refusal: %s", refused.Body)
	must(problem.Code == "unknown_column" && (*problem.Errors)[0].Pointer == "/where/0/column", "problem: %s", refused.Body)
}
