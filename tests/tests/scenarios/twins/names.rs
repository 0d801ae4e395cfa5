use serde_json::{Value, json};
use tarn_tests::http::Answer;

use super::{announce, history, shown};
use crate::devices::House;

fn name(house: &House, id: &str, headers: &[(&str, &str)], what: &Value) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    let url = house.device_url(id, "");
    house.http.request("PATCH", &url, &all, what.to_string())
}

/// A name and a room outlive a power cut right after the answer, and it is told who gave them. Who has seen an older twin is told.
#[test]
fn a_name_outlives_a_power_cut_and_has_an_author() {
    let mut house = House::new("twin-names");
    let id = announce(&house);
    let before = house
        .http
        .get(&house.device_url(&id, ""), "application/json");
    let tag = before.header("etag").expect("a tag").to_owned();
    let ada = [("tarn-author", "ada"), ("if-match", tag.as_str())];
    let answer = name(
        &house,
        &id,
        &ada,
        &json!({"name": "Thing", "room": "Study"}),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let new_tag = answer.header("etag").expect("a tag").to_owned();
    assert_ne!(tag, new_tag);
    house.edge.kill_9();
    house.edge.restart();

    let now = shown(&house, &id);
    assert_eq!(
        (&now["announced"]["name"], &now["announced"]["room"]),
        (&json!("Thing"), &json!("Study")),
        "{now:#}"
    );
    assert_eq!(
        (&now["twin"]["name"], &now["twin"]["room"]),
        (&json!("Thing"), &json!("Study")),
        "{now:#}"
    );
    let named = history(&house, &id)
        .into_iter()
        .filter(|change| change["section"] == "meta" && change["attribute"] != "owner_edge");
    let mut named: Vec<(Value, Value, Value)> = named
        .map(|change| {
            (
                change["attribute"].clone(),
                change["by"].clone(),
                change["value"].clone(),
            )
        })
        .collect();
    named.sort_by_key(|(attribute, ..)| attribute.to_string());
    assert_eq!(
        named,
        [
            (json!("name"), json!("ada"), json!("Thing")),
            (json!("room"), json!("ada"), json!("Study"))
        ]
    );

    let stale = [("tarn-author", "bob"), ("if-match", tag.as_str())];
    let refused = name(&house, &id, &stale, &json!({"name": "Other"}));
    assert_eq!(refused.status, 412, "{}", refused.text());
    assert_eq!(shown(&house, &id)["twin"]["name"], "Thing");
    let refused = name(
        &house,
        &id,
        &[("tarn-author", "device")],
        &json!({"name": "Other"}),
    );
    assert_eq!(refused.status, 400, "{}", refused.text());
    house.edge.assert_quiet(&["journal"]);
}
