//! `tarn status`: how a box or a cloud is.

/// What one look at a service finds.
mod look;
/// Lines that are drawn over each other.
mod screen;
/// What is seen, for people.
mod view;

use std::{io::IsTerminal, time::Duration};

use clap::Args;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::{
    look::{Look, Rates},
    screen::Screen,
};
use super::output;
use crate::{
    client::{AskError, Client, ServiceArgs},
    exit::Failure,
};

/// Time between the two looks that rates are taken from, where nothing is refreshed.
const RATE_OVER: Duration = Duration::from_secs(1);

/// Show how a box or a cloud is: what it lacks, its boxes, devices, stores and disk
///
/// On a terminal the view is refreshed until Ctrl-C. Exit code 1 where the service says that it is not ready.
#[derive(Debug, Args)]
pub(crate) struct StatusCommand {
    /// Look once, as where the output is no terminal
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Print JSON, once
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(crate) async fn run(command: StatusCommand, stop: CancellationToken) -> Result<(), Failure> {
    let client = Client::new(&command.service)?;
    let first = Look::at(&client).await?;
    if command.once || command.json || !std::io::stdout().is_terminal() {
        sleep(RATE_OVER).await;
        let look = Look::at(&client).await?;
        let rates = look.rates_since(&first);
        if command.json {
            output::print_json(&view::json(&client, &look, &rates))?;
        } else {
            let lines = view::lines(&client, &look, &rates);
            output::print(&format!("{}\n", lines.join("\n")))?;
        }
        return match look.is_ready() {
            true => Ok(()),
            false => Err(Failure::check()),
        };
    }
    let pause = command.interval.max(Duration::from_millis(100));
    tokio::select! {
        ended = watch(&client, first, pause) => ended,
        () = stop.cancelled() => Ok(()),
    }
}

/// Look again and again. A service that goes away is shown as it was, and that it is away.
async fn watch(client: &Client, first: Look, pause: Duration) -> Result<(), Failure> {
    let mut screen = Screen::open().map_err(output::unwritten)?;
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut rates, mut away) = (first, Rates::default(), None);
    loop {
        let mut lines = Vec::new();
        if let Some(reason) = &away {
            lines.push(format!(
                "NOT REACHABLE: {reason}; this is what was last seen"
            ));
        }
        lines.extend(view::lines(client, &last, &rates));
        screen.draw(&lines).map_err(output::unwritten)?;
        ticks.tick().await;
        match Look::at(client).await {
            Ok(look) => {
                rates = look.rates_since(&last);
                (last, away) = (look, None);
            }
            Err(AskError::Unreachable { reason, .. }) => away = Some(reason),
            Err(refused) => return Err(refused.into()),
        }
    }
}
