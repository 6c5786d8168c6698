//! Log lines in JSON, without the paths of the machine that the binary was built on.
//!
//! What other crates log through `log` comes with fields that name their source files. The text
//! format leaves these out; the JSON format does so only where events are not flattened.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The target of every event that comes from `log`; the line has its true one.
const BRIDGED: &str = "log";

/// The format of the lines.
pub(super) struct Lines(pub(super) Format<Json>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != BRIDGED {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let mut fields: Map<String, Value> = serde_json::from_str(&line).map_err(|_| fmt::Error)?;
        fields.retain(|name, _| !name.starts_with("log."));
        writeln!(writer, "{}", Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_from_log_does_not_name_its_source_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(File::create(file.path()).unwrap())
            .json()
            .flatten_event(true)
            .map_event_format(Lines)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "log", { log.file = "/build/rustls.rs", log.line = 7 }, "closed");
            tracing::warn!(target: "ours", { file = "a.yaml" }, "closed");
        });
        let lines = fs::read_to_string(file.path()).unwrap();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line["timestamp"].take();
                line
            })
            .collect();
        assert_eq!(
            lines,
            [
                json!({"timestamp": null, "level": "WARN", "message": "closed", "target": "log"}),
                json!({"timestamp": null, "level": "WARN", "message": "closed", "target": "ours",
                    "file": "a.yaml"}),
            ]
        );
    }
}
