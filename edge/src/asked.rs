use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tarn_common::ids::HomeId;
use tarn_link::{AnswerKind, AskHandler, AskKind};
use tarn_openapi::{DeviceService, SetRequest, ToJSON};
use tokio::time::Instant;

use crate::{devices::service::BoxDevices, fresh::Fresher, watched::Watched};

/// Answers questions of the cloud.
pub struct Asked {
    /// The home.
    pub home: HomeId,
    /// Its devices.
    pub devices: Arc<BoxDevices>,
    /// What cuts and ships at once.
    pub fresher: Fresher,
    /// What tells the cloud what happens.
    pub watched: Arc<Watched>,
}

#[async_trait]
impl AskHandler for Asked {
    async fn ask(&self, ask: AskKind, deadline: Instant) -> AnswerKind {
        match ask {
            AskKind::Fresh => {
                let done = self.fresher.cut_and_ship(deadline).await;
                AnswerKind::Fresh {
                    cut_upto_seq: done.cut_upto.0,
                    shipped: done.shipped,
                    missing: done.missing,
                }
            }
            AskKind::Call {
                device,
                metric,
                value,
                by,
                timeout_ms,
            } => {
                let request = SetRequest {
                    values: vec![(metric, value)],
                    by,
                    timeout: Some(Duration::from_millis(timeout_ms)),
                    ..SetRequest::default()
                };
                let wait = deadline.saturating_duration_since(Instant::now());
                match self.devices.call(&self.home, &device, request, wait).await {
                    Ok(commands) => AnswerKind::Called {
                        commands: commands.iter().filter_map(ToJSON::to_json).collect(),
                    },
                    Err(error) => AnswerKind::Failed {
                        reason: error.to_string(),
                    },
                }
            }
            AskKind::Watch { seconds } => {
                self.watched.watch(Duration::from_secs(seconds));
                AnswerKind::Watching
            }
        }
    }
}
