// Models by their own names, with the client that oapi-codegen makes of /openapi-3.0.json?models=true.
// Usage: models BASE_URL CONNECTION_NAME
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"example.test/tour/ferrod"
)

func main() {
	base, using := os.Args[1], os.Args[2]
	ctx := context.Background()
	client := try(ferrod.NewClientWithResponses(base))

	made := try(client.ModelWriterCreateWithResponse(ctx, &ferrod.ModelWriterCreateParams{Using: &using},
		ferrod.ModelWriterGiven{Name: "Ann", Born: ptr("1920-01-02"), Fee: ptr("1.50")}))
	must(made.JSON201 != nil, "create: %s", made.Body)
	var ann ferrod.ModelWriter = *made.JSON201
	must(ann.Name == "Ann" && *ann.Born == "1920-01-02", "made %v", ann)
	novel := try(client.ModelNovelCreateWithResponse(ctx, &ferrod.ModelNovelCreateParams{Using: &using},
		ferrod.ModelNovelGiven{Title: "Sea", WriterId: ann.Id}))
	must(novel.JSON201 != nil, "create: %s", novel.Body)

	found := try(client.ModelNovelListWithResponse(ctx, &ferrod.ModelNovelListParams{
		Using: &using, WriterName: ptr("eq.Ann"), Include: ptr("writer")}))
	must(found.JSON200 != nil, "list: %s", found.Body)
	must(len(found.JSON200.Rows) == 1 && *found.JSON200.Rows[0].Writer.Born == "1920-01-02", "found %s", found.Body)
	pk := strconv.FormatInt(found.JSON200.Rows[0].Id, 10)
	row := try(client.ModelNovelRelatedWriterWithResponse(ctx, pk, &ferrod.ModelNovelRelatedWriterParams{Using: &using}))
	must(row.JSON200 != nil && row.JSON200.Row.Id == ann.Id, "row %s", row.Body)
	fmt.Printf("the Go models are done on %s\n", using)
}
