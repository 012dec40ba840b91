//! The words behind a command's name, read from the table's usage text for `COMMAND DOCS`.
//!
//! Interactive shells hint at arguments by this. The text is ours: `<value>`, `WORD`, `ONE|OTHER`, `[optional]`,
//! `…` written as three dots for what may be repeated, and ` | ` between whole forms.

use bellwether_resp::Encoder;

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Argument {
    kind: Kind,
    /// The word in front of the value.
    token: Option<&'static str>,
    optional: bool,
    multiple: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Value(&'static str),
    Token(&'static str),
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

/// Reads a usage text.
pub(super) fn parse(usage: &'static str) -> Vec<Argument> {
    let mut words = Words(usage);
    forms(&mut words)
}

/// Pieces of the text: brackets, dots and words.
struct Words(&'static str);

impl Iterator for Words {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let text = self.0.trim_start_matches(' ');
        let end = match text.as_bytes().first()? {
            b'[' | b']' => 1,
            _ => text.find([' ', '[', ']']).unwrap_or(text.len()),
        };
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

/// Reads whole forms up to the closing bracket or the end.
fn forms(words: &mut Words) -> Vec<Argument> {
    let mut done = Vec::new();
    let mut form: Vec<Argument> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "]" => break,
            "|" => done.push(std::mem::take(&mut form)),
            "[" => {
                let inner = single(forms(words));
                form.push(Argument {
                    optional: true,
                    ..inner
                });
            }
            "..." => form
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|last| last.multiple = true),
            _ => push(&mut form, word),
        }
    }
    if done.is_empty() {
        return form;
    }
    done.push(form);
    vec![argument(Kind::OneOf(done.into_iter().map(single).collect()))]
}

/// Adds a word; a value behind a single word belongs to it.
fn push(form: &mut Vec<Argument>, word: &'static str) {
    let name = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
    let last = form.last().map(|last| (&last.kind, last.optional));
    match (name, last) {
        (Some(name), Some((Kind::Token(token), false))) => {
            let token = *token;
            form.pop();
            form.push(Argument {
                token: Some(token),
                ..argument(Kind::Value(name))
            });
        }
        (Some(name), _) => form.push(argument(Kind::Value(name))),
        (None, _) if word.contains('|') => {
            let words = word.split('|').map(|word| argument(Kind::Token(word)));
            form.push(argument(Kind::OneOf(words.collect())));
        }
        (None, _) => form.push(argument(Kind::Token(word))),
    }
}

fn single(mut arguments: Vec<Argument>) -> Argument {
    match arguments.pop() {
        Some(only) if arguments.is_empty() => only,
        last => {
            arguments.extend(last);
            argument(Kind::Block(arguments))
        }
    }
}

fn argument(kind: Kind) -> Argument {
    Argument {
        kind,
        token: None,
        optional: false,
        multiple: false,
    }
}

/// Writes arguments as `COMMAND DOCS` shows them.
pub(super) fn write(to: &mut Encoder<'_>, arguments: &[Argument]) {
    to.array(arguments.len());
    arguments.iter().for_each(|argument| argument.write(to));
}

impl Argument {
    fn write(&self, to: &mut Encoder<'_>) {
        let flags: Vec<&str> = [(self.optional, "optional"), (self.multiple, "multiple")]
            .into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
            .collect();
        let (name, kind, inner) = match &self.kind {
            Kind::Value(name) => ((*name).to_owned(), "string", None),
            Kind::Token(word) => (word.to_ascii_lowercase(), "pure-token", None),
            Kind::OneOf(inner) => ("form".to_owned(), "oneof", Some(inner)),
            Kind::Block(inner) => ("group".to_owned(), "block", Some(inner)),
        };
        let token = match self.kind {
            Kind::Token(word) => Some(word),
            _ => self.token,
        };
        let fields = [
            token.is_some(),
            inner.is_some(),
            !flags.is_empty(),
            inner.is_none(),
        ];
        to.map(2 + fields.iter().filter(|is_there| **is_there).count());
        to.bulk("name");
        to.bulk(&name);
        to.bulk("type");
        to.bulk(kind);
        if inner.is_none() {
            to.bulk("display_text");
            to.bulk(&name);
        }
        if let Some(token) = token {
            to.bulk("token");
            to.bulk(token);
        }
        if !flags.is_empty() {
            to.bulk("flags");
            to.set(flags.len());
            flags.iter().for_each(|flag| to.simple(flag));
        }
        if let Some(inner) = inner {
            to.bulk("arguments");
            write(to, inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &'static str) -> Argument {
        argument(Kind::Value(name))
    }

    fn token(word: &'static str) -> Argument {
        argument(Kind::Token(word))
    }

    #[test]
    fn values_words_and_what_may_be_left_out() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("<a> <b>"), [value("a"), value("b")]);
        let repeated = Argument {
            optional: true,
            multiple: true,
            ..value("name")
        };
        assert_eq!(parse("[<name> ...]"), [repeated]);
        let choice = argument(Kind::OneOf(vec![token("ON"), token("OFF")]));
        assert_eq!(parse("ON|OFF"), [choice]);
    }

    #[test]
    fn a_value_belongs_to_the_word_in_front_of_it() {
        let typed = Argument {
            token: Some("TYPE"),
            optional: true,
            ..value("type")
        };
        assert_eq!(parse("[TYPE <type>]"), [typed]);
    }

    #[test]
    fn whole_forms() {
        let forms = argument(Kind::OneOf(vec![
            argument(Kind::Block(vec![
                Argument {
                    optional: true,
                    ..token("NOW")
                },
                token("SAVE"),
            ])),
            token("ABORT"),
        ]));
        assert_eq!(parse("[NOW] SAVE | ABORT"), [forms]);
    }
}
