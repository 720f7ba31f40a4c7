//! The YAML document as a plain tree, and the place in the text where each node of it stands.
//!
//! Owns the way from text to nodes, duplicates and all, and back from a path to line and column. Refuses to know
//! any key.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Aliases can make a short text expand without end. 65 000 instances fit.
const MAX_NODES: usize = 1_000_000;

/// One value of the document.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// `key:` with nothing behind it, or `null`.
    Empty,
    Bool(bool),
    Integer(i128),
    /// A number with a point or an exponent; nothing here wants one.
    Fraction(String),
    Text(String),
    List(Vec<Self>),
    /// In the order of the file; a key may stand there twice.
    Map(Vec<(String, Self)>),
}

/// Line and column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    fn of(error: &serde_yaml::Error) -> Option<Self> {
        error.location().map(|location| Self { line: location.line(), column: location.column() })
    }
}

/// The way from the document's root to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Item(usize),
    /// By number, since a key may stand there twice; the name is for people.
    Entry(usize, String),
}

impl Path {
    pub(super) fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    pub(super) fn entry(&self, index: usize, key: &str) -> Self {
        self.with(Step::Entry(index, shown(key)))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Entry(_, key) if depth == 0 => f.write_str(key)?,
                Step::Entry(_, key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Text of the file as it may stand in a message: on one line, and not longer than the line bears.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push_str("...");
    }
    short
}

/// Why a text is no YAML document that we can use.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

impl Malformed {
    fn new(error: &serde_yaml::Error) -> Self {
        let place = Place::of(error);
        let mut message = error.to_string();
        if let Some(Place { line, column }) = place
            && let Some(rest) = message.strip_suffix(&format!(" at line {line} column {column}"))
        {
            message = rest.to_owned();
        }
        Self { place, message }
    }
}

/// Reads the whole document.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let left = Cell::new(MAX_NODES);
    Grow { left: &left }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| Malformed::new(&error))
}

/// Where the node at `path` stands, or its key. The library tells a position only when something fails: so the
/// document is walked again, to a visitor at the wanted node that takes nothing.
pub(super) fn locate(text: &str, path: &Path, key: bool) -> Option<Place> {
    let seek = Seek { steps: &path.0, key };
    match seek.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(()) => None,
        Err(error) => Place::of(&error),
    }
}

#[derive(Clone, Copy)]
struct Grow<'b> {
    left: &'b Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Grow<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(
            left.ok_or_else(|| D::Error::custom("more than a million values: is this the right file?"))?,
        );
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Grow<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(i128::try_from(value).map_or_else(|_| Node::Fraction(value.to_string()), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Fraction(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            entries.push((key, map.next_value_seed(self)?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _tagged: A) -> Result<Node, A::Error> {
        Err(A::Error::custom("a YAML tag such as `!name` means nothing here; remove it"))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a key")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}

struct Seek<'p> {
    steps: &'p [Step],
    key: bool,
}

impl<'p> Seek<'p> {
    fn here(key: bool) -> Self {
        Self { steps: &[], key }
    }

    fn found<E: serde::de::Error>() -> Result<(), E> {
        Err(E::custom("here"))
    }

    fn deeper(&self, steps: &'p [Step]) -> Self {
        Self { steps, key: self.key }
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Scalars have no visitor on purpose: arriving at one is the error that carries the position.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place looked for")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Item(index), rest)) = self.steps.split_first() else { return Self::found() };
        for _ in 0..*index {
            list.next_element::<IgnoredAny>()?;
        }
        list.next_element_seed(self.deeper(rest))?;
        Self::found()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Entry(index, _), rest)) = self.steps.split_first() else { return Self::found() };
        for _ in 0..*index {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        if self.key && rest.is_empty() {
            map.next_key_seed(Self::here(true))?;
        } else {
            map.next_key::<IgnoredAny>()?;
            map.next_value_seed(self.deeper(rest))?;
        }
        Self::found()
    }
}
