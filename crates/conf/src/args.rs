//! Options of the command line as lines of configuration.

use crate::diagnostic::{COVER, Diagnostic, Severity};
use crate::lex;
use crate::source::{Source, name_in};

/// Turns the arguments behind the configuration file into lines of configuration.
///
/// `--port 26380`, `"--port 26380"` in one argument, and `--sentinel monitor m 127.0.0.1 6379 2` are
/// directives; `--sentinel` without values is only the mode switch. As Sentinel: what follows an option that has no
/// value yet is its value, even if it begins with two dashes, so that `--requirepass --odd` works.
///
/// # Errors
/// If an argument belongs to no option, or cannot be part of a line.
pub fn overrides_from_args<S: AsRef<str>>(args: &[S]) -> Result<Source, Diagnostic> {
    let mut lines: Vec<String> = Vec::new();
    // Whether the last line is an option that waits for its first value.
    let mut wants_value = false;
    let mut args = args.iter().map(AsRef::as_ref).peekable();
    while let Some(arg) = args.next() {
        let option = arg.strip_prefix("--").filter(|_| !wants_value);
        if let Some(option) = option {
            let words = lex::split(option, lines.len() + 1).map(|words| words.len());
            if option.contains('\n') || words.is_err() {
                return Err(refuse(
                    lines.len() + 1,
                    arg,
                    "Unbalanced quotes in configuration line",
                ));
            }
            let alone = args.peek().is_none_or(|next| next.starts_with("--"));
            if option.eq_ignore_ascii_case("sentinel") && alone {
                continue;
            }
            wants_value = words == Ok(1);
            lines.push(option.to_owned());
        } else if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(&quoted(arg));
            wants_value = false;
        } else {
            return Err(refuse(1, arg, "this argument belongs to no option"));
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    Ok(Source::new("command line", text))
}

/// A value in quotes whatever it is, so that it cannot be mistaken for anything else.
fn quoted(arg: &str) -> String {
    match lex::quote(arg) {
        std::borrow::Cow::Owned(quoted) => quoted,
        std::borrow::Cow::Borrowed(plain) => format!("\"{plain}\""),
    }
}

fn refuse(line: usize, arg: &str, message: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: "command line".to_owned(),
        line,
        column: 1,
        directive: shown(arg),
        message: message.to_owned(),
        hint: Some("options have the form --directive value".to_owned()),
    }
}

/// As much of an argument as may be shown: what follows a name may be a password.
fn shown(arg: &str) -> String {
    let name = name_in(arg.trim_start_matches('-'));
    let dashes = arg.len() - arg.trim_start_matches('-').len();
    match arg.get(..dashes + name.len()) {
        Some(open) if open.len() < arg.len() => format!("{open} {COVER}"),
        _ => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(args: &[&str]) -> String {
        overrides_from_args(args).expect("good arguments").text
    }

    #[test]
    fn options_become_lines() {
        assert_eq!(text(&["--port", "26380"]), "port \"26380\"\n");
        assert_eq!(
            text(&["--port 26380", "--dir", "/a b"]),
            "port 26380\ndir \"/a b\"\n"
        );
        assert_eq!(
            text(&["--sentinel", "monitor", "m", "127.0.0.1", "6379", "2"]),
            "sentinel \"monitor\" \"m\" \"127.0.0.1\" \"6379\" \"2\"\n"
        );
    }

    #[test]
    fn sentinel_alone_is_the_mode_switch() {
        assert_eq!(text(&["--sentinel"]), "\n");
        assert_eq!(text(&["--sentinel", "--port", "1"]), "port \"1\"\n");
    }

    #[test]
    fn a_first_value_may_begin_with_dashes() {
        assert_eq!(
            text(&["--requirepass", "--odd", "--port", "1"]),
            "requirepass \"--odd\"\nport \"1\"\n"
        );
    }

    #[test]
    fn what_belongs_nowhere_is_refused() {
        assert!(overrides_from_args(&["26380"]).is_err());
        assert!(overrides_from_args(&["--a\nb"]).is_err());
        assert!(overrides_from_args(&["--a \"b"]).is_err());
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        for (arg, shown) in [
            ("--requirepass \"hush", "--requirepass ******"),
            ("--requirepass\nhush", "--requirepass ******"),
            ("-requirepass=hush", "-requirepass ******"),
            ("26380", "26380"),
        ] {
            let problem = overrides_from_args(&[arg]).expect_err(arg);
            assert_eq!(problem.directive, shown);
        }
    }
}
