//! Positions by transaction id: a text that is read reads the same once written, and what two of them lack of each other
//! is arithmetic on sets.
//!
//! An input is two texts with a line between them, read as both products' positions.

use vrrp_user::mysql::{Flavour, Position, PositionError, Relation};

use crate::refused;

const BREAK: u8 = b'|';
const NOTHING: &str = "";

type Parse = fn(&str) -> Result<Position, PositionError>;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let ours = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let theirs = "4e11fa47-71ca-11e1-9e33-c80aa9429562";
    let pairs = [
        ("0-1-100".to_owned(), "0-1-98".to_owned()),
        ("0-1-100,0-2-104".to_owned(), "0-1-100,0-2-101,1-2-7".to_owned()),
        ("0-1-100,4294967295-4294967295-1".to_owned(), String::new()),
        (format!("{ours}:1-7"), format!("{ours}:1-5")),
        (format!("{ours}:1-7:9-12, {theirs}:1-3"), format!("{ours}:1-12,{theirs}:1")),
        (format!("{ours}:1:3:5-7"), format!("{ours}:2:4:6\n,{ours}:7-9")),
        (format!("{ours}:1-3:nightly:1-9:12"), format!("{ours}:nightly:4-6,{}:2", ours.to_uppercase())),
        (format!("{ours}:9223372036854775807"), "0-1-9223372036854775807".to_owned()),
    ];
    pairs.map(|(ours, theirs)| format!("{ours}|{theirs}").into_bytes()).to_vec()
}

pub(crate) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (ours, theirs) = text.split_once(char::from(BREAK)).unwrap_or((text, NOTHING));
    let maria = both(ours, theirs, Position::parse_mariadb, "10.11.19-MariaDB");
    let mysql = both(ours, theirs, Position::parse_mysql, "8.0.36");
    if let (Some(maria), Some(mysql)) = (&maria, &mysql) {
        assert_eq!((maria.beyond(mysql), mysql.beyond(maria)), (None, None));
        assert_eq!(maria.relate(mysql), Relation::Incomparable);
    }
    maria.is_some() || mysql.is_some()
}

/// The first of the two, if both are positions of this product.
fn both(ours: &str, theirs: &str, parse: Parse, version: &str) -> Option<Position> {
    let read = |text: &str| match parse(text) {
        Ok(position) => Some(position),
        Err(error) => {
            refused(&error);
            None
        }
    };
    let (first, second) = (read(ours)?, read(theirs)?);
    for position in [&first, &second] {
        holds_alone(position, parse, version);
    }
    let lacks = |of: &Position, beside: &Position| of.beyond(beside).unwrap();
    let (forth, back) = (first.relate(&second), second.relate(&first));
    assert_eq!(back, mirrored(&forth), "{first} and {second}");
    let has_no_news = lacks(&first, &second).is_empty() && lacks(&second, &first).is_empty();
    assert_eq!(forth == Relation::Equal, has_no_news, "{first} and {second}");
    // Together they lack nothing of either.
    let union = parse(&format!("{first},{second}")).unwrap();
    for part in [&first, &second] {
        assert_eq!(lacks(part, &union), NOTHING, "{union} lacks something of {part}");
    }
    if Flavour::of(version).is_mariadb() {
        return Some(first);
    }
    // MySQL's are sets: what the second lacks, and the second, is all of the first and nothing twice.
    let news = parse(&lacks(&first, &second)).unwrap();
    assert_eq!(lacks(&news, &first), NOTHING, "{first} has not what it is said to have beyond {second}");
    assert_eq!(lacks(&news, &second), news.to_string(), "{second} has what it is said to lack of {first}");
    assert_eq!(lacks(&first, &parse(&format!("{second},{news}")).unwrap()), NOTHING);
    Some(first)
}

fn holds_alone(position: &Position, parse: Parse, version: &str) {
    let text = position.to_string();
    assert_eq!(parse(&text).as_ref(), Ok(position), "{text:?} reads otherwise");
    assert_eq!(position.relate(position), Relation::Equal, "{text}");
    assert_eq!(position.is_empty(), text.is_empty());
    let nothing = parse(NOTHING).unwrap();
    assert_eq!(nothing.beyond(position).as_deref(), Some(NOTHING));
    let wait = Flavour::of(version).wait_applied(position, std::time::Duration::from_secs(1));
    assert!(is_one_literal(&wait), "a position that speaks SQL: {wait}");
}

/// Whether a statement's quotes are those around one value, and it is closed: a doubled quote stands for one.
fn is_one_literal(statement: &str) -> bool {
    let Some((_, rest)) = statement.split_once('\'') else { return false };
    let plain = rest.replace(r"\\", "").replace("''", "");
    let Some((value, rest)) = plain.split_once('\'') else { return false };
    !value.contains('\\') && !rest.contains('\'')
}

fn mirrored(relation: &Relation) -> Relation {
    match relation.clone() {
        Relation::Equal => Relation::Equal,
        Relation::Incomparable => Relation::Incomparable,
        Relation::Ahead(news) => Relation::Behind(news),
        Relation::Behind(news) => Relation::Ahead(news),
        Relation::Diverged { ours, theirs } => Relation::Diverged { ours: theirs, theirs: ours },
    }
}
