//! Bars for what takes long: on a terminal only, beside the results.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar moves that has nothing new to say.
const TICK: Duration = Duration::from_millis(120);

/// A bar over so many bytes.
pub(crate) fn bytes(total: u64) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(total), target()),
        "{bar:40} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
    )
}

/// A bar over things whose number is told later.
pub(crate) fn steps(what: &str) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(0), target()),
        &format!("{{bar:40}} {{pos}} of {{len}} {what}  {{eta}} left"),
    )
}

/// A count of things whose number is not known before the end.
pub(crate) fn counter(what: &str) -> ProgressBar {
    let bar = styled(
        ProgressBar::with_draw_target(None, target()),
        &format!("{{spinner}} {{human_pos}} {what}  {{elapsed}}"),
    );
    bar.enable_steady_tick(TICK);
    bar
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
