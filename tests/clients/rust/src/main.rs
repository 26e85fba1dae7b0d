//! A tour of the API with the client that openapi-generator makes of /openapi.json, all options at their defaults.
//! Usage: tour BASE_URL DATABASE_URL CONNECTION_NAME
use std::collections::HashMap;
use std::error::Error;

use openapi::apis::{configuration::Configuration, connections_api, models_api, query_api, records_api, sessions_api, sql_api, transactions_api};
use openapi::models::{self, query_leaf};
use serde_json::{json, Value};

type Row = HashMap<String, Value>;

fn row(value: Value) -> Row {
    value.as_object().expect("an object").clone().into_iter().collect()
}

fn schema() -> models::SchemaInput {
    let column = |name: &str, kind: &str| models::ColumnInput::new(name.to_owned(), kind.to_owned());
    let mut id = column("id", "integer");
    id.primary_key = Some(Some(true));
    let mut name = column("name", "string");
    name.unique = Some(Some(true));
    let mut age = column("age", "integer");
    age.nullable = Some(Some(true));
    let mut big = column("big", "integer");
    big.nullable = Some(Some(true));
    big.db_type = Some(Some("bigint".to_owned()));
    let model = models::ModelInput::new("Sailor".to_owned(), vec![id, name, age, big]);
    models::SchemaInput::SchemaPayloadInput(Box::new(models::SchemaPayloadInput::new(vec![model])))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, base, url, name] = arguments.as_slice() else { panic!("tour BASE_URL DATABASE_URL CONNECTION_NAME") };
    let api = Configuration { base_path: base.clone(), ..Configuration::new() };
    let using = Some(name.as_str());

    let mut connect = models::ConnectRequest::new(url.clone());
    connect.name = Some(Some(name.clone()));
    let connected = connections_api::connect(&api, connect, None).await?;
    assert_eq!(&connected.name, name);

    models_api::replace_models(&api, schema(), None).await?;
    assert!(models_api::create_tables(&api, using, None, None, None, None, None).await?.applied);

    let many = row(json!({"records": [{"name": "Ada", "age": 36, "big": 5_000_000_000_i64}, {"name": "Grace", "age": 85}]}));
    let created = records_api::create_records(&api, "Sailor", many, using, None, None, None, None, None, None, None, None, None).await?;
    assert_eq!(created["rows_inserted"], json!(2));

    let opened = sessions_api::open_session(&api, using, None, None).await?;
    let session = Some(opened.session_id.as_str());

    let mut query = models::QueryPayload::new("Sailor".to_owned());
    let mut leaf = models::QueryLeaf::new(query_leaf::NodeKind::Leaf, query_leaf::Operator::GreaterThan);
    leaf.column = Some(Some("age".to_owned()));
    leaf.value = Some(Some(json!(40)));
    query.r#where = Some(Some(vec![models::QueryNode::QueryLeaf(Box::new(leaf))]));
    let found = query_api::query(&api, models::QueryInput::QueryPayload(Box::new(query)), None, session, None, None, None, None, None).await?;
    assert_eq!(found.row_count, 1);
    assert_eq!(found.rows[0]["name"], json!("Grace"));

    let filter = HashMap::from([("age".to_owned(), "gte.30".to_owned()), ("name".to_owned(), "eq.Ada".to_owned())]);
    let listed = records_api::list_records(&api, "Sailor", using, None, None, None, None, None, None, Some(filter), None, None, None, Some(5), None, None).await?;
    assert_eq!(listed.rows[0]["big"], json!(5_000_000_000_i64));
    assert_eq!(listed.row_count, 1);

    let transaction = transactions_api::begin_transaction(&api, None, session, None, None, None, None, None).await?.transaction_id;
    let inside = Some(transaction.as_str());
    records_api::update_record(&api, "Sailor", "1", row(json!({"age": 37})), None, session, None, inside, None, None, None, None, None).await?;
    transactions_api::rollback_transaction(&api, &transaction, session, None, None).await?;
    let counted = sql_api::sql_fetch_one(&api, models::SqlRequest::new("SELECT count(*) AS n FROM sailor WHERE age = 36".to_owned()),
        using, None, None, None, None, None, None).await?;
    assert_eq!(counted.row.expect("a row")["n"], json!(1));

    let step = models::BatchStep::CountStep(Box::new(models::CountStep::new(models::count_step::Op::Count, row(json!({"model_name": "Sailor"})))));
    let batch = query_api::batch(&api, models::BatchRequest::new(vec![step]), using, None, None, None, None, None, None, None).await?;
    assert_eq!(batch.results.len(), 1);

    let refused = records_api::get_record(&api, "Sailor", "77", using, None, None, None, None, None, None, None).await;
    assert!(matches!(refused, Err(openapi::apis::Error::ResponseError(ref answer)) if answer.status.as_u16() == 404), "{refused:?}");
    sessions_api::close_session(&api, &opened.session_id, None).await?;
    println!("the Rust tour is done on {}", serde_json::to_value(connected.backend)?.as_str().expect("a word"));
    Ok(())
}
