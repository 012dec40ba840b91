//! A YAML text as a tree whose nodes are numbered, and the place of a node in the text.

use std::cell::Cell;
use std::fmt;

use super::depth;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// How many nodes a tree may have. Six thousand groups have half of that; aliases could make far more.
const MAX_NODES: usize = 250_000;

/// How many bytes of values a tree may have. Aliases can repeat a long one, so it is not the text's length.
const MAX_VALUES_LEN: usize = 4 << 20;

/// A value and its number, which counts nodes in the order of the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    pub(super) value: Value,
}

/// What stands at a node.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A number as text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// Keys and values in their order. A key may come twice.
    Map(Vec<(Node, Node)>),
}

/// Why a text is no tree.
#[derive(Debug)]
pub(super) struct NodeError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Node, NodeError> {
    if let Some((line, column)) = depth::too_deep(text) {
        let message = format!("more than {} brackets are open", depth::MAX_DEPTH);
        return Err(NodeError {
            line,
            column,
            message,
        });
    }
    let reader = Reader::default();
    reader.read(text).map_err(|error| {
        let (line, column) = place(&error, text).unwrap_or((1, 1));
        let message = error.to_string();
        // The crate writes the place into the text as well.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        NodeError {
            line,
            column,
            message,
        }
    })
}

/// Line and column of a node, by reading again and failing there.
pub(super) fn locate(text: &str, id: usize) -> Option<(usize, usize)> {
    let reader = Reader {
        fail_at: Some(id),
        ..Reader::default()
    };
    place(&reader.read(text).err()?, text)
}

/// The parser begins a line where editors do not, behind the last line and at U+0085 for instance: the end of the text is
/// then as near as can be said.
fn place(error: &serde_yaml::Error, text: &str) -> Option<(usize, usize)> {
    let place = error.location()?;
    match text.split('\n').nth(place.line().saturating_sub(1)) {
        Some(_) => Some((place.line(), place.column())),
        None => {
            let last = text.trim_end().split('\n').next_back().unwrap_or_default();
            Some((text.trim_end().split('\n').count(), last.chars().count() + 1))
        }
    }
}

#[derive(Default)]
struct Reader {
    /// The number of the next node.
    next: Cell<usize>,
    values_len: Cell<usize>,
    fail_at: Option<usize>,
}

impl Reader {
    fn read(&self, text: &str) -> Result<Node, serde_yaml::Error> {
        // Some editors begin a file with a byte order mark, which the parser takes for a document of its own.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Seed(self).deserialize(serde_yaml::Deserializer::from_str(text))
    }

    /// Counts a node in, with the length of its value.
    fn enter<E: serde::de::Error>(&self, len: usize) -> Result<usize, E> {
        let id = self.next.get();
        self.next.set(id + 1);
        self.values_len.set(self.values_len.get().saturating_add(len));
        if self.fail_at == Some(id) {
            return Err(E::custom("here"));
        }
        if id >= MAX_NODES {
            return Err(E::custom(format_args!("there are more than {MAX_NODES} values")));
        }
        if self.values_len.get() > MAX_VALUES_LEN {
            return Err(E::custom(format_args!(
                "the values have more than {MAX_VALUES_LEN} bytes"
            )));
        }
        Ok(id)
    }

    fn leaf<E: serde::de::Error>(&self, len: usize, value: Value) -> Result<Node, E> {
        let id = self.enter(len)?;
        Ok(Node { id, value })
    }
}

#[derive(Clone, Copy)]
struct Seed<'r>(&'r Reader);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        self.0.leaf(0, Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node, E> {
        self.0.leaf(0, Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        self.0.leaf(0, Value::Number(value.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        self.0.leaf(0, Value::Number(value.to_string()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Node, E> {
        self.0.leaf(0, Value::Number(value.to_string()))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Node, E> {
        self.0.leaf(0, Value::Number(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        self.0.leaf(0, Value::Number(value.to_string()))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        let id = self.0.enter(value.len())?;
        Ok(Node {
            id,
            value: Value::Text(value.to_owned()),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let id = self.0.enter(0)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node {
            id,
            value: Value::List(list),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let id = self.0.enter(0)?;
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            if !matches!(
                key.value,
                Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Null
            ) {
                return Err(A::Error::custom("a key must be a word"));
            }
            let value = entries.next_value_seed(self)?;
            map.push((key, value));
        }
        Ok(Node {
            id,
            value: Value::Map(map),
        })
    }
}
