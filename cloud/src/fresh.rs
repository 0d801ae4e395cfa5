use std::time::Duration;

use futures::future::join_all;
use tarn_common::{clock::Clock, ids::HomeId};
use tarn_link::{AnswerKind, AskKind};
use tarn_openapi::service::Freshness;

use crate::{
    downlink::{BoxSeen, Downlink},
    follow::Follow,
};

/// Have a home's boxes cut and ship what they have, and look for it in the stores, at most so long.
pub(crate) async fn fresh(
    home: &str,
    wait: Duration,
    downlink: &Downlink,
    follow: &Follow,
    clock: &dyn Clock,
) -> Freshness {
    let as_of_ms = clock.now_ms();
    let mut missing = Vec::new();
    if let Ok(home) = home.parse::<HomeId>() {
        let boxes = downlink.boxes(&home);
        if boxes.is_empty() {
            missing.push("no box of this home was ever heard of here".to_owned());
        }
        let asked = boxes
            .iter()
            .map(|seen| downlink.ask(&home, seen.edge, AskKind::Fresh, wait));
        for (seen, answer) in boxes.iter().zip(join_all(asked).await) {
            let edge = seen.edge;
            match answer {
                Ok(AnswerKind::Fresh { shipped: true, .. }) => {}
                Ok(AnswerKind::Fresh { missing: its, .. }) => {
                    missing.extend(its.into_iter().map(|what| format!("box {edge}: {what}")));
                }
                Ok(AnswerKind::Failed { reason }) => missing.push(format!("box {edge}: {reason}")),
                Ok(_) => missing.push(format!("box {edge} answered something else")),
                Err(error) => missing.push(format!("box {edge}: {error}{}", last_shipped(seen))),
            }
        }
    }
    follow.look_now().await;
    missing.extend(follow.reasons());
    Freshness { as_of_ms, missing }
}

fn last_shipped(seen: &BoxSeen) -> String {
    let at = seen
        .state
        .as_ref()
        .and_then(|state| state.last_shipped.as_ref());
    at.map(|at| format!("; it last shipped at {at}"))
        .unwrap_or_default()
}
