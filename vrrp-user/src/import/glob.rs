//! Patterns of file names as glob(3) reads them with GLOB_BRACE: `*`, `?`, `[a-z]`, `{a,b}`.
//!
//! Owns the matching. Asks [`Files`] for names and nothing else of them.

use std::path::{Path, PathBuf};

use super::files::Files;

/// More alternatives than this are left out.
const MOST: usize = 1000;

/// Whether a word is a pattern at all.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The files that fit, sorted for each alternative. A word without wildcards is returned whether it is there or not.
pub(super) fn expand(files: &dyn Files, folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for alternative in alternatives(pattern) {
        let start = if alternative.starts_with('/') { PathBuf::from("/") } else { folder.to_owned() };
        let mut paths = vec![start];
        for part in alternative.split('/').filter(|part| !part.is_empty()) {
            paths = if part.contains(['*', '?', '[']) {
                let mut next: Vec<PathBuf> = paths
                    .iter()
                    .flat_map(|path| {
                        let fits = |name: &String| fits(part, name);
                        files
                            .names(path)
                            .into_iter()
                            .filter(fits)
                            .map(|name| path.join(name))
                            .collect::<Vec<_>>()
                    })
                    .take(MOST)
                    .collect();
                next.sort();
                next
            } else {
                paths.into_iter().map(|path| path.join(part)).collect()
            };
        }
        found.extend(paths);
        found.truncate(MOST);
    }
    found
}

/// `a{b,c}` is `ab` and `ac`; braces nest.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut open = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = open.pop() {
        if open.len() + done.len() > MOST {
            done.push(text);
            continue;
        }
        match split(&text) {
            None => done.push(text),
            Some((head, middle, tail)) => {
                open.extend(middle.into_iter().rev().map(|piece| format!("{head}{piece}{tail}")));
            }
        }
    }
    done
}

/// The first outer brace: what is before it, its pieces, what is behind. A brace without a comma is no alternative.
fn split(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = text.find('{')?;
    let (mut depth, mut piece_start, mut pieces) = (0usize, start + 1, Vec::new());
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                pieces.push(&text[piece_start..at]);
                piece_start = at + 1;
            }
            '}' if depth == 1 => {
                pieces.push(&text[piece_start..at]);
                return (pieces.len() > 1).then(|| (&text[..start], pieces, &text[at + 1..]));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// fnmatch(3) with a leading dot protected. Takes a time that grows with the product of the lengths at most.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            Some(_) | None => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            // The last star takes one character more.
            (None, Some((after, taken))) => {
                (p, n) = (after, taken + 1);
                retry = Some((after, taken + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of `[...]` if the character is one of it.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let is_negative = matches!(pattern.get(1), Some('!' | '^'));
    let start = if is_negative { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let set = &pattern[start..end];
    let mut is_in = false;
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&'-') && at + 2 < set.len() {
            is_in |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            is_in |= set[at] == c;
            at += 1;
        }
    }
    (is_in != is_negative).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::files::Memory;

    #[test]
    fn names_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            ("*.conf", "a.confx", false),
            ("a?c", "abc", true),
            ("[a-c]x[!0-9]", "bxy", true),
            ("[a-c]x[!0-9]", "bx1", false),
            ("a*b*c", "aXbYbZc", true),
            ("[", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn braces_multiply() {
        assert_eq!(alternatives("{foo/{,cat,dog},bar}"), ["foo/", "foo/cat", "foo/dog", "bar"]);
        assert_eq!(alternatives("a{b}c"), ["a{b}c"]);
        assert_eq!(alternatives("a{b"), ["a{b"]);
    }

    #[test]
    fn a_bomb_of_braces_is_cut_off() {
        assert!(alternatives(&"{a,b}".repeat(40)).len() < 3 * MOST);
    }

    #[test]
    fn folders_are_searched_in_order() {
        let files = Memory::default().with("/e/d/2.conf", "").with("/e/d/1.conf", "").with("/e/d/x", "");
        let found = expand(&files, Path::new("/e"), "d/*.conf");
        assert_eq!(found, [PathBuf::from("/e/d/1.conf"), PathBuf::from("/e/d/2.conf")]);
        assert_eq!(expand(&files, Path::new("/e"), "/none"), [PathBuf::from("/none")]);
        assert!(expand(&files, Path::new("/e"), "/none/*").is_empty());
    }
}
