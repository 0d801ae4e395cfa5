use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};

use super::*;
use crate::access::policy::{self, Need};

/// Every operation of a document: its name, method and path, with `h` for the home.
fn operations(document: &str) -> Vec<(String, Method, String)> {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            let method = method.to_uppercase().parse().unwrap();
            operations.push((name, method, path.clone()));
        }
    }
    operations
}

/// A path of the document for a home, with something in the place of every other part.
fn path(template: &str, home: &str) -> String {
    let parts = template.split('/').map(|part| match part {
        "{home}" => home,
        part if part.starts_with('{') => "x",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_operation_is_in_the_policy() {
    for document in [edge_document(), cloud_document()] {
        for (name, _, path) in operations(&document) {
            assert!(policy::need(&name).is_some(), "{name} {path}");
        }
    }
}

/// The whole table over a socket: each operation, by each role, at its own home and at another.
#[tokio::test]
async fn each_role_may_what_the_policy_says_at_its_own_home_only() {
    let fixture = Fixture::new().await;
    let people = &fixture.host.people;
    let mut checked: BTreeMap<(Need, StatusCode), u32> = BTreeMap::new();
    for role in Role::ALL {
        for (home, own) in [("h", true), ("other", false)] {
            for (name, method, template) in operations(&cloud_document()) {
                // A token of its own, for one of the operations ends it.
                let token = people.token("somebody", role, &[home]).await;
                let url = format!("{}{}", fixture.url, path(&template, "h"));
                let ask = client(&token).request(method.clone(), &url);
                let ask = ask.header("content-type", "application/json").body("{}");
                let status = ask.send().await.unwrap().status();
                let need = policy::need(&name).unwrap();
                let is_own = own || !template.contains("{home}");
                let may = match need {
                    Need::Nothing => true,
                    // For owners of all homes only, which none of these is.
                    Need::Fleet => false,
                    need => is_own && policy::allows(role, need),
                };
                let case = format!("{role} of {home}: {name}: {status}");
                assert_eq!(status == StatusCode::FORBIDDEN, !may, "{case}");
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{case}");
                *checked.entry((need, status)).or_default() += 1;
            }
        }
    }
    for (name, method, template) in operations(&cloud_document()) {
        let url = format!("{}{}", fixture.url, path(&template, "h"));
        let ask = Client::new().request(method, &url).body("{}");
        let ask = ask.header("content-type", "application/json");
        let status = ask.send().await.unwrap().status();
        let is_open = policy::need(&name) == Some(Need::Nothing);
        assert_eq!(status == StatusCode::UNAUTHORIZED, !is_open, "{name}");
    }
    assert!(checked.len() > 12, "{checked:?}");
}

#[tokio::test]
async fn a_link_makes_one_account_which_can_log_in_and_out() {
    let fixture = Fixture::new().await;
    let people = &fixture.host.people;
    let code = people
        .access
        .offer(Role::Owner, Homes::All, true)
        .await
        .unwrap();
    let url = |path: &str| format!("{}{path}", fixture.url);
    let nobody = Client::new();
    let post = |path: &str, body: Value| {
        let ask = nobody.post(url(path)).body(body.to_string());
        ask.header("content-type", "application/json").send()
    };
    let login = json!({"name": "Ada", "password": "correct horse"});
    let refused = post("/v1/session", login.clone()).await.unwrap();
    assert_eq!(refused.status(), 401);
    let wrong = json!({"code": "guessed", "name": "Eve", "password": "0123456789"});
    assert_eq!(post("/v1/setup", wrong).await.unwrap().status(), 403);
    let setup = json!({"code": code, "name": "Ada", "password": "correct horse"});
    let made = post("/v1/setup", setup.clone()).await.unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(post("/v1/setup", setup).await.unwrap().status(), 403);
    // There is an account now, so that another first one is void.
    let again = people
        .access
        .offer(Role::Owner, Homes::All, true)
        .await
        .unwrap();
    let second = json!({"code": again, "name": "Eve", "password": "0123456789"});
    assert_eq!(post("/v1/setup", second).await.unwrap().status(), 403);

    let session = post("/v1/session", login).await.unwrap();
    assert_eq!(session.status(), 201);
    let set = session.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let told: Value = serde_json::from_slice(&session.bytes().await.unwrap()).unwrap();
    let csrf = told["csrf"].as_str().unwrap();
    assert_eq!(
        (&told["name"], &told["role"]),
        (&json!("Ada"), &json!("owner"))
    );

    let ask = |method: Method, path: &str, csrf: Option<&str>| {
        let mut ask = nobody.request(method, url(path)).header("cookie", &cookie);
        if let Some(csrf) = csrf {
            ask = ask.header("tarn-csrf", csrf);
        }
        ask.send()
    };
    assert_eq!(
        ask(Method::GET, "/v1/session", None)
            .await
            .unwrap()
            .status(),
        200
    );
    // Another site can have the cookie sent, and no more.
    let forged = ask(Method::DELETE, "/v1/session", None).await.unwrap();
    assert_eq!(forged.status(), 403);
    let ended = ask(Method::DELETE, "/v1/session", Some(csrf))
        .await
        .unwrap();
    assert_eq!(ended.status(), 204);
    assert_eq!(
        ask(Method::GET, "/v1/session", None)
            .await
            .unwrap()
            .status(),
        401
    );
}

#[tokio::test]
async fn guesses_are_held_back() {
    let fixture = Fixture::new().await;
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let ask = Client::new().post(format!("{}/v1/session", fixture.url));
        let ask = ask.header("content-type", "application/json");
        let body = json!({"name": "Ada", "password": "wrong password"});
        statuses.push(ask.body(body.to_string()).send().await.unwrap().status());
    }
    assert!(statuses[..10].iter().all(|status| *status == 401));
    assert_eq!(statuses[10], 429);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let fixture = Fixture::new().await;
    let url = |path: &str| format!("{}{path}", fixture.url);
    let new = json!({"name": "reader", "role": "analyst", "homes": ["h"], "expires_in": "12h"});
    let ask = fixture.http.post(url("/v1/tokens")).body(new.to_string());
    let ask = ask.header("content-type", "application/json");
    let made: Value =
        serde_json::from_slice(&ask.send().await.unwrap().bytes().await.unwrap()).unwrap();
    let reader = client(made["token"].as_str().unwrap());
    let id = made["record"]["id"].as_str().unwrap();
    let sees = || async { reader.get(url("/v1/homes")).send().await.unwrap().status() };
    assert_eq!(sees().await, 200);
    let listed = fixture.json("/v1/tokens").await;
    let listed = listed["tokens"].as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|token| token["id"] == id && token["revoked"] == false)
    );
    assert!(
        !listed
            .iter()
            .any(|token| token.to_string().contains(made["token"].as_str().unwrap()))
    );
    for _ in 0..2 {
        let revoke = fixture.http.delete(url(&format!("/v1/tokens/{id}")));
        assert_eq!(revoke.send().await.unwrap().status(), 204);
    }
    assert_eq!(sees().await, 401);
    let unknown = fixture.http.delete(url("/v1/tokens/none")).send().await;
    assert_eq!(unknown.unwrap().status(), 404);

    // Whoever owns one home makes no token for another, and does not see those of others.
    let people = &fixture.host.people;
    let owner = client(&people.token("bob", Role::Owner, &["h"]).await);
    let more = json!({"name": "more", "role": "owner", "homes": ["*"]});
    let ask = owner.post(url("/v1/tokens")).body(more.to_string());
    let ask = ask.header("content-type", "application/json").send();
    assert_eq!(ask.await.unwrap().status(), 403);
    let own = owner.get(url("/v1/tokens")).send().await.unwrap();
    let own: Value = serde_json::from_slice(&own.bytes().await.unwrap()).unwrap();
    let of_all = |token: &Value| token["homes"] == json!(["*"]);
    assert!(!own["tokens"].as_array().unwrap().iter().any(of_all));
}

#[tokio::test]
async fn changes_and_refused_requests_are_noted() {
    let fixture = Fixture::new().await;
    let url = |path: &str| format!("{}{path}", fixture.url);
    let people = &fixture.host.people;
    let guest = client(&people.token("guest", Role::Guest, &["h"]).await);
    let refused = guest.get(url("/v1/homes/h/gaps")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let nobody = Client::new().get(url("/v1/homes")).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert!(nobody.headers().contains_key("www-authenticate"));
    let _ = fixture.json("/v1/homes").await;
    let new = json!({"name": "n", "role": "guest", "homes": ["h"]});
    let ask = fixture.http.post(url("/v1/tokens")).body(new.to_string());
    let ask = ask.header("content-type", "application/json");
    assert_eq!(ask.send().await.unwrap().status(), 201);
    let noted: Vec<(String, String, Option<String>, &str, u16)> = people
        .noted
        .lock()
        .iter()
        .map(|(home, entry)| {
            let outcome = entry.outcome.as_str();
            (
                home.to_string(),
                entry.operation.clone(),
                entry.actor.clone(),
                outcome,
                entry.status,
            )
        })
        .collect();
    let row = |home: &str, operation: &str, actor: Option<&str>, outcome, status| {
        (
            home.to_owned(),
            operation.to_owned(),
            actor.map(str::to_owned),
            outcome,
            status,
        )
    };
    assert_eq!(
        noted,
        [
            row("h", "listGaps", Some("guest"), "refused", 403),
            row("_fleet", "listHomes", None, "refused", 401),
            row("_fleet", "createToken", Some("owner"), "done", 201),
        ]
    );
}

/// What names no home answers with those of the caller.
#[tokio::test]
async fn sql_and_lists_have_only_the_callers_homes() {
    let fixture = Fixture::new().await;
    let people = &fixture.host.people;
    let count = json!({"sql": "SELECT count(*) FROM readings"});
    let mut counts = Vec::new();
    for homes in [["h"], ["other"], ["*"]] {
        let caller = client(&people.token("ann", Role::Analyst, &homes).await);
        let ask = caller
            .post(format!("{}/v1/sql", fixture.url))
            .body(count.to_string());
        let answer = ask
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let listed = caller
            .get(format!("{}/v1/homes", fixture.url))
            .send()
            .await
            .unwrap();
        let listed: Value = serde_json::from_slice(&listed.bytes().await.unwrap()).unwrap();
        let listed = listed["homes"].as_array().unwrap().len();
        counts.push((answer["rows"][0][0].as_u64().unwrap() > 0, listed > 0));
    }
    assert_eq!(counts, [(true, true), (false, false), (true, true)]);
}
