//! Our YAML as it is written: keys in order, each value with the place that it comes from and that line's comment.
//!
//! Owns quoting and layout, and the way from a path such as `instances[0].priority` back to the keepalived line.
//! Refuses to know which keys there are.

use super::report::Place;

/// Flow style is used up to this width.
const WIDTH: usize = 100;

/// Where a part comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// keepalived's keyword.
    pub(super) what: String,
    pub(super) comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// As it stands in the file.
    Scalar(String),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Entry {
    pub(super) fn new(key: &'static str, value: Value, origin: &Origin) -> Self {
        Self { key, value, origin: origin.clone() }
    }
}

impl Value {
    /// Text, in quotes where YAML would take it for something else.
    pub(super) fn text(text: &str) -> Self {
        Self::Scalar(quoted(text))
    }

    /// Always in quotes: a password of digits is no number.
    pub(super) fn quoted(text: &str) -> Self {
        Self::Scalar(in_quotes(text))
    }

    /// A number where it is one, else text, which the parser will refuse with a good message.
    pub(super) fn number(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number =
            !digits.is_empty() && digits.len() < 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            // Without the zeros in front, which keepalived reads as nothing special.
            let digits = digits.trim_start_matches('0');
            let sign = if text.starts_with('-') { "-" } else { "" };
            return Self::Scalar(if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") });
        }
        Self::quoted(text)
    }

    pub(super) fn word(word: impl ToString) -> Self {
        Self::Scalar(word.to_string())
    }

    fn is_short(&self) -> bool {
        match self {
            Self::Scalar(text) => text.len() < WIDTH,
            Self::List(items) => {
                items.len() < 20
                    && items.iter().all(|item| item.origin.comment.is_none() && item.value.is_short())
            }
            Self::Map(entries) => {
                entries.iter().all(|entry| entry.origin.comment.is_none() && entry.value.is_short())
            }
        }
    }

    fn flow(&self, out: &mut String) {
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.value.flow(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push_str("{ ");
                for (index, entry) in entries.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    out.push_str(entry.key);
                    out.push_str(": ");
                    entry.value.flow(out);
                }
                out.push_str(" }");
            }
        }
    }
}

/// The document's text.
pub(super) fn render(entries: &[Entry]) -> String {
    let mut out = String::new();
    map(entries, 0, &mut out);
    out
}

fn map(entries: &[Entry], indent: usize, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        // The first key of a list's item stands behind the dash.
        if index > 0 || indent == 0 || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(entry.key);
        out.push(':');
        value(&entry.value, entry.origin.comment.as_deref(), indent, out);
    }
}

/// What stands behind `key:` or `-`, to the end of its last line.
fn value(value: &Value, note: Option<&str>, indent: usize, out: &mut String) {
    let mut flow = String::new();
    let is_list_of_maps =
        matches!(value, Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))));
    if value.is_short() && !is_list_of_maps {
        value.flow(&mut flow);
    }
    if matches!(value, Value::Scalar(_)) {
        flow.clear();
        value.flow(&mut flow);
    } else if flow.len() + indent > WIDTH {
        flow.clear();
    }
    if !flow.is_empty() {
        out.push(' ');
        out.push_str(&flow);
        return comment(note, out);
    }
    comment(note, out);
    match value {
        Value::Scalar(_) => {}
        Value::Map(entries) => map(entries, indent + 2, out),
        Value::List(items) => {
            for item in items {
                out.extend(std::iter::repeat_n(' ', indent + 2));
                out.push('-');
                match &item.value {
                    Value::Map(entries) => {
                        out.push(' ');
                        map(entries, indent + 4, out);
                    }
                    Value::Scalar(_) | Value::List(_) => {
                        self::value(&item.value, item.origin.comment.as_deref(), indent + 2, out);
                    }
                }
            }
        }
    }
}

fn comment(note: Option<&str>, out: &mut String) {
    if let Some(note) = note {
        out.push_str(" # ");
        out.extend(note.chars().map(printable));
    }
    out.push('\n');
}

/// What YAML takes in a comment.
pub(super) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn quoted(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    // An address, which begins with a digit and has three dots or a slash, is no number either.
    let address =
        text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '/') && text.matches('.').count() == 3;
    if plain || address || is_duration(text) { text.to_owned() } else { in_quotes(text) }
}

/// `1s`, `920ms`: no number for YAML, whatever it begins with.
fn is_duration(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && ["us", "ms", "s", "m"].contains(&unit)
}

fn in_quotes(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || printable(c) != c => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A step of a path as the parser prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

/// `instances[0].auth.password` in steps.
pub(super) fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !key.is_empty() {
            steps.push(Step::Key(key));
        }
        let numbers = indices.split(['[', ']']).filter_map(|index| index.parse().ok());
        steps.extend(numbers.map(Step::Index));
    }
    steps
}

/// Where the part at the path comes from, as deep as the path leads.
pub(super) fn origin<'e>(entries: &'e [Entry], steps: &[Step<'_>]) -> Option<&'e Origin> {
    let mut found: Option<&Origin> = None;
    let mut entries = Some(entries);
    let mut items: Option<&[Item]> = None;
    for step in steps {
        let next = match step {
            Step::Key(key) => entries
                .and_then(|all| all.iter().find(|entry| entry.key == *key))
                .map(|entry| (&entry.origin, &entry.value)),
            Step::Index(index) => {
                items.and_then(|all| all.get(*index)).map(|item| (&item.origin, &item.value))
            }
        };
        let Some((origin, value)) = next else { break };
        found = Some(origin);
        (entries, items) = match value {
            Value::Scalar(_) => (None, None),
            Value::List(list) => (None, Some(list.as_slice())),
            Value::Map(map) => (Some(map.as_slice()), None),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(comment: &str) -> Origin {
        Origin { comment: Some(comment.to_owned()), ..Origin::default() }
    }

    #[test]
    fn layout_is_block_style_where_there_are_comments_and_flow_style_elsewhere() {
        let none = Origin::default();
        let item = |text: &str, origin: &Origin| Item { value: Value::text(text), origin: origin.clone() };
        let auth = vec![
            Entry::new("type", Value::word("pass"), &none),
            Entry::new("password", Value::quoted("1111"), &none),
        ];
        let list = vec![item("192.168.1.200", &noted("VIP#地址\u{7}"))];
        let plain = vec![item("10.0.0.1/24", &none), item("::1", &none)];
        let instance = vec![
            Entry::new("name", Value::text("VI_1"), &noted("first")),
            Entry::new("auth", Value::Map(auth), &none),
            Entry::new("virtual_addresses", Value::List(list), &none),
            Entry::new("more", Value::List(plain), &none),
        ];
        let instances = Value::List(vec![Item { value: Value::Map(instance), origin: none.clone() }]);
        let document = [Entry::new("instances", instances, &none)];
        assert_eq!(
            render(&document),
            "instances:\n  - name: VI_1 # first\n    auth: { type: pass, password: \"1111\" }\n    \
             virtual_addresses:\n      - 192.168.1.200 # VIP#地址\u{fffd}\n    more: [10.0.0.1/24, \"::1\"]\n"
        );
    }

    #[test]
    fn text_stays_text() {
        for (text, expected) in [
            ("VI_1", "VI_1"),
            ("yes", "\"yes\""),
            ("1111", "\"1111\""),
            ("a: b", "\"a: b\""),
            ("x\"\\\n", "\"x\\\"\\\\\\n\""),
            ("", "\"\""),
            ("10.0.0.1/24", "10.0.0.1/24"),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(Value::number("0051"), Value::word("51"));
        assert_eq!(Value::number("-0"), Value::word("0"));
        assert_eq!(Value::number("5x"), Value::word("\"5x\""));
    }

    #[test]
    fn paths_lead_back() {
        let path = steps("instances[3].checks[0].tcp.port");
        assert_eq!(path[..3], [Step::Key("instances"), Step::Index(3), Step::Key("checks")]);
        assert_eq!(path.len(), 6);
    }
}
