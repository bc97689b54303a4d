//! Shows the progress of a long command on a terminal.

use core::time::Duration;

use cosmicsync_node::service::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on stderr, or nothing.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    shown: bool,
}

impl Bar {
    /// Returns a bar that draws only if `shown`.
    pub(crate) const fn new(shown: bool) -> Self {
        Self { bar: None, shown }
    }

    /// Draws the progress.
    pub(crate) fn update(&mut self, progress: &Progress) {
        if !self.shown {
            return;
        }
        let template = match (progress.total, progress.unit.as_str()) {
            (Some(_), "bytes") => "{bar:30} {bytes} of {total_bytes}, {msg}",
            (Some(_), _) => "{bar:30} {human_pos} of {human_len}, {msg}",
            // Without a number of steps, the present step is more useful than a number.
            (None, _) if progress.done == 0 => "{spinner} {msg}",
            (None, _) => "{spinner} {human_pos} {msg}",
        };
        let note = if progress.note.is_empty() { &progress.unit } else { &progress.note };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let Some(bar) = &self.bar else {
            // The bar is drawn only once it is complete.
            let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::stderr())
                .with_style(style)
                .with_message(note.clone())
                .with_position(progress.done);
            bar.enable_steady_tick(Duration::from_millis(100));
            self.bar = Some(bar);
            return;
        };
        bar.set_style(style);
        if bar.length() != progress.total
            && let Some(total) = progress.total
        {
            bar.set_length(total);
        }
        // Each of these calls draws; with a ticker, setting the position does not.
        bar.set_position(progress.done);
        if bar.message() != *note {
            bar.set_message(note.clone());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
