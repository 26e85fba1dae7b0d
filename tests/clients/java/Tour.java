// A tour of the API with the client that openapi-generator makes of /openapi.json, all options at their defaults.
// Usage: java Tour BASE_URL DATABASE_URL CONNECTION_NAME

import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.ApiResponse;
import org.openapitools.client.api.ConnectionsApi;
import org.openapitools.client.api.ModelsApi;
import org.openapitools.client.api.QueryApi;
import org.openapitools.client.api.RecordsApi;
import org.openapitools.client.api.SessionsApi;
import org.openapitools.client.api.SqlApi;
import org.openapitools.client.api.TransactionsApi;
import org.openapitools.client.model.BatchRequest;
import org.openapitools.client.model.BatchStep;
import org.openapitools.client.model.ColumnInput;
import org.openapitools.client.model.ConnectRequest;
import org.openapitools.client.model.CountStep;
import org.openapitools.client.model.ModelInput;
import org.openapitools.client.model.QueryInput;
import org.openapitools.client.model.QueryLeaf;
import org.openapitools.client.model.QueryNode;
import org.openapitools.client.model.QueryPayload;
import org.openapitools.client.model.Rows;
import org.openapitools.client.model.SchemaInput;
import org.openapitools.client.model.SchemaPayloadInput;
import org.openapitools.client.model.SqlRequest;

final class Tour {
	private final ApiClient client = new ApiClient();
	private final String name;

	private Tour(String base, String name) {
		client.setBasePath(base);
		this.name = name;
	}

	private static void must(boolean ok, Object what) {
		if (!ok) {
			throw new IllegalStateException(String.valueOf(what));
		}
	}

	private void register() throws ApiException {
		ModelInput model = new ModelInput().modelName("Pilot").columns(List.of(
			new ColumnInput().name("id").logicalType("integer").primaryKey(true),
			new ColumnInput().name("name").logicalType("string").unique(true),
			new ColumnInput().name("age").logicalType("integer").nullable(true),
			new ColumnInput().name("big").logicalType("integer").dbType("bigint").nullable(true)));
		ModelsApi models = new ModelsApi(client);
		models.replaceModels(new SchemaInput(new SchemaPayloadInput().models(List.of(model))), null);
		must(models.createTables(name, null, null, null, null, null).getApplied(), "create-tables");
		Map<String, Object> many = Map.of("records", List.of(
			Map.of("name", "Ada", "age", 36, "big", 5_000_000_000L), Map.of("name", "Grace", "age", 85)));
		Map<String, Object> created = records().createRecords("Pilot", many, name, null, null, null, null, null, null, null, null, null);
		must(((Number) created.get("rows_inserted")).intValue() == 2, created);
	}

	private RecordsApi records() {
		return new RecordsApi(client);
	}

	private void query(String session) throws ApiException {
		QueryLeaf leaf = new QueryLeaf().nodeKind(QueryLeaf.NodeKindEnum.LEAF).column("age").operator(QueryLeaf.OperatorEnum.GREATER_THAN).value(40);
		QueryPayload payload = new QueryPayload().modelName("Pilot").where(List.of(new QueryNode(leaf)));
		Rows found = new QueryApi(client).query(new QueryInput(payload), null, session, null, null, null, null, null);
		must(found.getRowCount() == 1 && "Grace".equals(found.getRows().get(0).get("name")), found);
		Rows listed = records().listRecords("Pilot", name, null, null, null, null, null, null, Map.of("age", "gte.30", "name", "eq.Ada"), null, null, null,
			5L, null, null);
		must(listed.getRowCount() == 1, listed);
		must(((Number) listed.getRows().get(0).get("big")).longValue() == 5_000_000_000L, listed);
	}

	private void identity(String session) throws ApiException {
		for (String expected : List.of("miss", "hit")) {
			ApiResponse<Map<String, Object>> one = records().getRecordWithHttpInfo("Pilot", "1", null, session, null, null, null, null, null, null);
			must("Ada".equals(one.getData().get("name")), one.getData());
			must(one.getHeaders().entrySet().stream().anyMatch(header -> header.getKey().equalsIgnoreCase("Ferro-Identity")
				&& header.getValue().equals(List.of(expected))), one.getHeaders());
		}
	}

	private void transaction(String session) throws ApiException {
		TransactionsApi transactions = new TransactionsApi(client);
		String id = transactions.beginTransaction(null, session, null, null, null, null, null).getTransactionId();
		records().updateRecord("Pilot", "1", Map.of("age", 37), null, session, null, id, null, null, null, null, null);
		must("rolled_back".equals(transactions.rollbackTransaction(id, session, null, null).getState().getValue()), id);
		Map<?, ?> counted = (Map<?, ?>) new SqlApi(client).sqlFetchOne(new SqlRequest().sql("SELECT count(*) AS n FROM pilot WHERE age = 36"),
			name, null, null, null, null, null, null).getRow();
		must(counted != null && ((Number) counted.get("n")).intValue() == 1, counted);
		CountStep step = new CountStep().op(CountStep.OpEnum.COUNT).query(Map.of("model_name", "Pilot"));
		must(new QueryApi(client).batch(new BatchRequest().steps(List.of(new BatchStep(step))), name, null, null, null, null, null, null, null).getResults().size() == 1, "batch");
	}

	private void refusal() {
		try {
			records().getRecord("Pilot", "77", name, null, null, null, null, null, null, null);
			throw new IllegalStateException("a record that is not there was answered");
		} catch (ApiException e) {
			must(e.getCode() == 404, e);
		}
	}

	public static void main(String[] arguments) throws ApiException {
		Tour tour = new Tour(arguments[0], arguments[2]);
		String backend = new ConnectionsApi(tour.client).connect(new ConnectRequest().url(arguments[1]).name(tour.name), null).getBackend().getValue();
		tour.register();
		String session = new SessionsApi(tour.client).openSession(tour.name, null, null).getSessionId();
		tour.query(session);
		tour.identity(session);
		tour.transaction(session);
		tour.refusal();
		new SessionsApi(tour.client).closeSession(session, null);
		System.out.println("the Java tour is done on " + backend);
	}
}
