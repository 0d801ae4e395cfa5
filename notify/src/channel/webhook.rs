use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jiff::{Timestamp, tz::TimeZone};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http;
use crate::{
    channels::{Address, Key},
    message::{Content, Message},
    retry::Failure,
};

/// A POST by the Standard Webhooks specification: <https://www.standardwebhooks.com>.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    url: Url,
    key: Option<Key>,
}

impl Webhook {
    pub(super) fn new(client: &Client, url: &Address, key: Option<&Key>) -> Webhook {
        Webhook {
            client: client.clone(),
            url: url.url().clone(),
            key: key.cloned(),
        }
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        zone: &TimeZone,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let body = body(message, zone).to_string();
        let timestamp = now_ms.div_euclid(1_000).to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &timestamp);
        if let Some(key) = &self.key {
            let signature = signature(key.bytes(), &message.id, &timestamp, &body);
            request = request.header("webhook-signature", signature);
        }
        http::send(request.body(body), now_ms).await
    }
}

/// `v1,` and the base64 of the HMAC-SHA256 of id, time and body.
fn signature(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    // An HMAC takes a key of any length.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        mac.finalize().into_bytes()
    });
    format!("v1,{}", STANDARD.encode(mac.unwrap_or_default()))
}

/// The same each time that a message is sent.
///
/// | key | |
/// |---|---|
/// | `type` | `alarm.raised`, `alarm.acknowledged`, `alarm.cleared`, `notice` |
/// | `timestamp` | when it happened, RFC 3339 in UTC |
/// | `data` | the alarm or the message: its fields, and `title` and `text` for people |
fn body(message: &Message, zone: &TimeZone) -> Value {
    let (kind, mut data) = match &message.content {
        Content::Alarm(news) => {
            let kind = format!("alarm.{}", news.alarm.state.word());
            (kind, json!(news))
        }
        Content::Notice(given) => ("notice".to_owned(), json!(given.notice)),
    };
    if let Some(data) = data.as_object_mut() {
        data.remove("channels");
        data.insert("title".to_owned(), json!(message.title()));
        data.insert("text".to_owned(), json!(message.body(zone)));
    }
    let at = Timestamp::from_millisecond(message.at_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
    json!({"type": kind, "timestamp": at.to_string(), "data": data})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let key = STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
