use serde_json::{Value, json};
use tarn_tests::wait;

use super::{hook::Hook, put, sql, with_hook};
use crate::devices::{House, LIMIT};

fn undelivered(house: &House) -> Vec<Value> {
    let list = house.http.json(&house.url("/deliveries"));
    assert_eq!(list["channels"], json!(["hook"]));
    list["deliveries"].as_array().expect("a list").clone()
}

fn wait_state(house: &House, state: &str) -> Value {
    wait::until(
        LIMIT,
        format!("a message that was tried should be {state}"),
        || {
            let all = undelivered(house);
            let mut tried = all.into_iter().filter(|one| one["attempts"] != 0);
            tried.find(|one| one["state"] == state)
        },
    )
}

/// A message that its receiver refuses is kept over a power cut, shown, and tried again when somebody says so; what waits because
/// the receiver is away is shown too.
#[test]
fn messages_that_nobody_took_are_shown_and_tried_again() {
    let hook = Hook::start();
    hook.answer_with(410);
    let mut house = House::started("scene-messages", |launch| {
        with_hook(launch, "hook", hook.port)
    });
    house.publish(&[("home/a", br#"{"n": 0}"#)]);
    house.wait_measured("n");
    let rule = json!({
        "name": "Tell", "when": [{"change": {"device": "home/a", "metric": "n"}}],
        "then": [{"notify": {"title": "n is {{ value('home/a/n') }}"}}],
    });
    put(&house, "/rules/tell", &rule);
    house.publish(&[("home/a", br#"{"n": 1}"#)]);
    let dead = wait_state(&house, "dead");
    assert_eq!(dead["title"], "n is 1");
    assert_eq!(dead["attempts"], 1);
    assert!(
        dead["failure"]
            .as_str()
            .is_some_and(|why| why.contains("410")),
        "{dead}"
    );
    // What is not noted as done before the power cut would be told again.
    wait::until_true(LIMIT, "it should be noted", || {
        sql(
            &house,
            "SELECT count(*) FROM events WHERE kind = 'rule' AND metric = 'tell' AND reason = 'done'",
        )[0] == 1
    });
    house.edge.kill_9();
    house.edge.restart();
    assert_eq!(wait_state(&house, "dead"), dead);

    hook.answer_with(503);
    house.publish(&[("home/a", br#"{"n": 2}"#)]);
    let waiting = wait_state(&house, "waiting");
    assert_eq!(waiting["title"], "n is 2");
    hook.answer_with(204);
    let id = dead["delivery"].as_u64().expect("an id");
    let retry = format!("/deliveries/{id}/retry");
    let url = house.url(&retry);
    let again = house.http.try_post(&url, &json!(null)).expect("an answer");
    assert_eq!(again.status, 204, "{}", again.text());
    wait::until_true(LIMIT, "all should be delivered", || {
        undelivered(&house).is_empty()
    });
    let told = hook.told();
    for title in ["n is 1", "n is 2"] {
        let times = told.iter().filter(|told| told["data"]["title"] == title);
        assert!(times.count() >= 2, "{title} in {told:?}");
    }
    let none = house.http.try_post(&url, &json!(null)).expect("an answer");
    assert_eq!(none.status, 404, "{}", none.text());
    house.edge.assert_quiet(&["hook", "message", "deliver"]);
}
