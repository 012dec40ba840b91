//! The text format of Prometheus, version 0.0.4, as far as gauges and counters need it.
//!
//! Written directly, not through metric objects: a scrape of ten thousand groups has a quarter of a million samples,
//! and each object would cost several allocations.

use std::fmt::Write;

use super::Definition;

/// A scrape being written.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl From<String> for Text {
    fn from(begun: String) -> Self {
        Self(begun)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl Text {
    /// Writes a family with a sample for each item: the values of its labels, and the value itself. A family without
    /// samples is left out.
    pub(super) fn family<const LABELS: usize>(
        &mut self,
        definition: &Definition,
        samples: impl Iterator<Item = ([impl AsRef<str>; LABELS], f64)>,
    ) {
        debug_assert_eq!(definition.labels.len(), LABELS, "labels of {}", definition.name);
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            return;
        }
        let Definition { name, kind, help, .. } = definition;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        for (labels, value) in samples {
            self.0.push_str(name);
            self.labels(definition.labels, &labels);
            self.line(format_args!(" {value}"));
        }
    }

    /// Writes a family of one sample without labels.
    pub(super) fn single(&mut self, definition: &Definition, value: f64) {
        self.family(definition, std::iter::once(([""; 0], value)));
    }

    fn labels(&mut self, names: &[&str], values: &[impl AsRef<str>]) {
        if names.is_empty() {
            return;
        }
        for (index, (name, value)) in names.iter().zip(values).enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.escaped(value.as_ref());
            self.0.push('"');
        }
        self.0.push('}');
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Definition = Definition::gauge("address", &["group", "address"], "Where it is.");
    const EPOCH: Definition = Definition::gauge("epoch", &[], "How often.");

    #[test]
    fn samples_have_a_head_and_labels() {
        let mut text = Text::default();
        text.single(&EPOCH, 7.0);
        text.family(&ADDRESS, [(["a", "b:1"], 1.0), (["c", "d:2"], 0.5)].into_iter());
        assert_eq!(
            String::from(text),
            "# HELP epoch How often.\n# TYPE epoch gauge\nepoch 7\n\
             # HELP address Where it is.\n# TYPE address gauge\n\
             address{group=\"a\",address=\"b:1\"} 1\naddress{group=\"c\",address=\"d:2\"} 0.5\n"
        );
    }

    #[test]
    fn label_values_cannot_break_a_line() {
        let mut text = Text::default();
        text.family(&ADDRESS, std::iter::once((["a\"b\\c\nd", "é"], 1.0)));
        let text = String::from(text);
        assert!(
            text.ends_with("address{group=\"a\\\"b\\\\c\\nd\",address=\"é\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_family_is_left_out() {
        let mut text = Text::default();
        text.family(&ADDRESS, std::iter::empty::<([&str; 2], f64)>());
        assert_eq!(String::from(text), "");
    }
}
