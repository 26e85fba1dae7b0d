// Models by their own names, with the client that openapi-generator makes of /openapi.json?models=true.
// Usage: java Models BASE_URL CONNECTION_NAME

import java.math.BigDecimal;
import java.util.List;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ModelNovelApi;
import org.openapitools.client.api.ModelWriterApi;
import org.openapitools.client.model.ModelNovel;
import org.openapitools.client.model.ModelNovelGiven;
import org.openapitools.client.model.ModelWriter;
import org.openapitools.client.model.ModelWriterChanged;
import org.openapitools.client.model.ModelWriterGiven;

final class Models {
	private static void must(boolean ok, Object what) {
		if (!ok) {
			throw new IllegalStateException(String.valueOf(what));
		}
	}

	// The general arguments first: using, session, catalog, two of transactions, cache, preferences, filter, order, select,
	// include, limit, offset, cursor; then the filters by name, columns in the order of their names.
	private static List<ModelNovel> novelsOf(ModelNovelApi novels, String using, String writer) throws ApiException {
		return novels.modelNovelList(using, null, null, null, null, null, null, null, "title.asc", null, "writer", null, null, null,
			null, null, null, null, null, null, null, writer, null).getRows();
	}

	private static List<ModelWriter> without(ModelWriterApi writers, String using, String condition) throws ApiException {
		return writers.modelWriterList(using, null, null, null, null, null, null, null, null, null, null, null, null, null,
			null, null, null, null, null, null, null, null, condition, null).getRows();
	}

	public static void main(String[] args) throws ApiException {
		ApiClient client = new ApiClient();
		client.setBasePath(args[0]);
		String using = args[1];
		ModelWriterApi writers = new ModelWriterApi(client);
		ModelNovelApi novels = new ModelNovelApi(client);
		UUID token = UUID.fromString("3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6");

		ModelWriter ann = writers.modelWriterCreate(
			new ModelWriterGiven().name("Ann").born("1920-01-02").fee(new BigDecimal("1.50")).token(token).face(new byte[] {0, -1}),
			using, null, null, null, null, null, null, null, null, null);
		must(ann.getName().equals("Ann") && ann.getToken().equals(token) && ann.getFace()[1] == -1, ann);
		must(ann.getFee().compareTo(new BigDecimal("1.5")) == 0, ann.getFee());
		novels.modelNovelCreate(new ModelNovelGiven().title("Sea").writerId(ann.getId()), using, null, null, null, null, null, null,
			null, null, null);

		List<ModelNovel> found = novelsOf(novels, using, "eq.Ann");
		must(found.size() == 1 && found.get(0).getWriter().getBorn().equals("1920-01-02"), found);
		must(novelsOf(novels, using, "eq.Bob").isEmpty(), "novels of nobody");
		must(without(writers, using, "(title.eq.Sea)").isEmpty(), "a writer without the novel");
		must(without(writers, using, "(title.eq.Land)").size() == 1, "a writer without another");

		String pk = String.valueOf(ann.getId());
		ModelWriter moved = writers.modelWriterUpdate(pk, new ModelWriterChanged().born("1921-01-02"), using, null, null, null, null,
			null, null, null, null);
		must(moved.getBorn().equals("1921-01-02") && moved.getName().equals("Ann"), moved);
		ModelWriter row = novels.modelNovelRelatedWriter(String.valueOf(found.get(0).getId()), using, null, null, null, null, null, null, null, null, null,
			null, null, null, null, null, null, null, null, null, null, null, null, null, null).getRow();
		must(row.getId().equals(ann.getId()), row);
		System.out.println("the Java models are done on " + using);
	}
}
