use std::time::Duration;

use jiff::tz::TimeZone;
use reqwest::Client;

use crate::{
    channels::{Channel, Way},
    message::Message,
    retry::Failure,
};

/// What ntfy and webhooks share.
pub(crate) mod http;
/// Push by an ntfy server.
mod ntfy;
/// Mail.
mod smtp;
/// A signed POST.
mod webhook;

/// A way out, ready to be used.
#[derive(Debug)]
pub(crate) struct Sender {
    way: Ready,
    timeout: Duration,
    zone: TimeZone,
}

#[derive(Debug)]
enum Ready {
    Ntfy(ntfy::Ntfy),
    Webhook(webhook::Webhook),
    Smtp(Box<smtp::Smtp>),
}

impl Sender {
    /// Make a way ready; nothing is sent. Gives words where that cannot be done.
    pub(crate) fn new(
        channel: &Channel,
        zone: &TimeZone,
        client: &Client,
    ) -> Result<Sender, String> {
        let way = match &channel.way {
            Way::Ntfy {
                server,
                topic,
                token,
            } => Ready::Ntfy(ntfy::Ntfy::new(client, server, topic, token.as_ref())),
            Way::Webhook { url, key } => {
                Ready::Webhook(webhook::Webhook::new(client, url, key.as_ref()))
            }
            Way::Smtp(mail) => Ready::Smtp(Box::new(smtp::Smtp::new(mail)?)),
        };
        Ok(Sender {
            way,
            timeout: channel.timeout,
            zone: channel.zone(zone).clone(),
        })
    }

    /// Try once. It ends in time.
    pub(crate) async fn send(&self, message: &Message, now_ms: i64) -> Result<(), Failure> {
        let sending = async {
            match &self.way {
                Ready::Ntfy(ntfy) => ntfy.send(message, &self.zone, now_ms).await,
                Ready::Webhook(webhook) => webhook.send(message, &self.zone, now_ms).await,
                Ready::Smtp(smtp) => smtp.send(message, &self.zone).await,
            }
        };
        let in_time = tokio::time::timeout(self.timeout, Box::pin(sending)).await;
        in_time.unwrap_or_else(|_| {
            Err(Failure::Away {
                words: format!("no answer within {} s", self.timeout.as_secs()),
                retry_after: None,
            })
        })
    }
}
