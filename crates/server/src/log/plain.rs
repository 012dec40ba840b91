//! Lines in the form of the reference, which log shippers and people's eyes are used to.
//!
//! `<pid>:X <DD Mon YYYY HH:MM:SS.mmm> <level> <text>`, in local time, with our reasons in parentheses at the end.

use std::fmt::{self, Write as _};

use jiff::Zoned;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let mark = mark(*event.metadata().level());
        let time = Zoned::now().strftime("%d %b %Y %H:%M:%S%.3f").to_string();
        let pid = std::process::id();
        writeln!(writer, "{pid}:X {time} {mark} {parts}")
    }
}

/// The level in one character.
const fn mark(level: Level) -> char {
    match level {
        Level::TRACE => '.',
        Level::DEBUG => '-',
        Level::INFO => '*',
        Level::WARN | Level::ERROR => '#',
    }
}

/// The text of an event and what was recorded beside it.
#[derive(Default)]
pub(super) struct Parts {
    text: String,
    others: String,
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.others.is_empty() {
            true => f.write_str(&self.text),
            false => write!(f, "{} ({})", self.text, self.others),
        }
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.others.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            "reason" => write!(self.others, "{separator}{value:?}"),
            name => write!(self.others, "{separator}{name} {value:?}"),
        };
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    pub(in crate::log) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(in crate::log) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_look_as_those_of_the_reference() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Plain);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("+sdown master m 127.0.0.1 6379");
            tracing::info!(reason = "it hangs", "-odown {}", "x");
        });
        let text = sink.text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(6, ' ').collect()).collect();
        assert_eq!(lines[0][0], format!("{}:X", std::process::id()));
        assert_eq!(lines[0][4].len(), "12:34:56.789".len());
        assert_eq!(lines[0][5], "# +sdown master m 127.0.0.1 6379");
        assert_eq!(lines[1][5], "* -odown x (it hangs)");
    }
}
