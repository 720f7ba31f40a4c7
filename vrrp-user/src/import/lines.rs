//! keepalived's files as one run of lines: comments cut off, `include` followed, conditions decided, definitions
//! replaced, sequences written out.
//!
//! Owns the order of these steps, which is keepalived's, and the limits that keep a hostile file from running for ever.
//! Refuses to know any keyword but `include`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::define::{Definitions, Raw, Replacement, definition};
use super::files::Files;
use super::glob;
use super::report::{Grade, Place, Report, shown};
use super::sequence::Sequence;
use super::words::decomment;

const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 1000;
const MAX_BYTES: usize = 64 << 20;
/// The manual's own example makes a million.
const MAX_LINES: usize = 4_000_000;
/// In one line; a definition that names itself ends here.
const MAX_REPLACEMENTS: u32 = 256;
const MAX_LENGTH: usize = 64 << 10;

const INCLUDES: [(&str, bool); 6] = [
    ("include", false),
    ("includer", true),
    ("includem", true),
    ("includew", true),
    ("includeb", true),
    ("includea", true),
];

/// Reads the file and what it includes; `take` gets each line as it comes.
pub(super) fn read(
    file: &Path,
    bytes: Vec<u8>,
    files: &dyn Files,
    id: &str,
    report: &mut Report,
    take: &mut dyn FnMut(&mut Report, &Raw),
) {
    let mut reader = Reader {
        files,
        id,
        report,
        take,
        definitions: Definitions::default(),
        open: Vec::new(),
        files_read: 0,
        bytes_read: 0,
        lines: 0,
        conditions: None,
    };
    reader.definitions.set_text("_INSTANCE", id.to_owned(), Place::default());
    reader.file(file, bytes);
    if let Some((place, taken, left)) = reader.conditions {
        let why = format!(
            "lines with a condition were decided for the configuration id `{id}`: {taken} taken, {left} left out; \
             --config-id names another"
        );
        reader.report.warn(place, "@", why);
    }
}

struct Reader<'r> {
    files: &'r dyn Files,
    id: &'r str,
    report: &'r mut Report,
    take: &'r mut dyn FnMut(&mut Report, &Raw),
    definitions: Definitions,
    /// The files that are being read, the innermost last.
    open: Vec<PathBuf>,
    files_read: usize,
    bytes_read: usize,
    lines: usize,
    /// The first place, and how many lines were taken and left out.
    conditions: Option<(Place, usize, usize)>,
}

/// Work for the stack: a line to look at, or a sequence with turns left.
enum Pending {
    Line { raw: Raw, replaced: u32 },
    Turns { sequence: Sequence, rest: Raw, replaced: u32 },
}

/// A definition whose lines are still coming.
struct Growing {
    name: String,
    is_wanted: bool,
    lines: Vec<Raw>,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, bytes: Vec<u8>) {
        let index = self.report.add_file(file);
        self.files_read += 1;
        self.bytes_read += bytes.len();
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            let why = "is not UTF-8 from here on: bytes that are not were replaced, look at the names and the comments";
            self.report.warn(Place::new(index, line), "(file)", why);
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        let outer = self.open.last().cloned();
        self.open.push(file.to_owned());
        self.set_folder(file);
        let mut growing: Option<Growing> = None;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (code, comment) = decomment(line);
            if code.is_empty() {
                continue;
            }
            let raw = Raw {
                code: code.to_owned(),
                comment: comment.map(Rc::from),
                is_cut: line.trim_start().strip_prefix(code).is_some_and(|rest| rest.starts_with(['!', '#'])),
                place: Place::new(index, number + 1),
            };
            if let Some(more) = growing.take() {
                growing = self.grow(more, raw);
            } else if let Some((pattern, is_strict)) = include(code) {
                self.include(pattern, is_strict, raw.place);
            } else {
                growing = self.line(raw);
            }
        }
        if let Some(more) = growing {
            self.define(more);
        }
        self.open.pop();
        if let Some(outer) = outer {
            self.set_folder(&outer);
        }
    }

    fn set_folder(&mut self, file: &Path) {
        let folder = file.parent().map_or_else(String::new, |folder| folder.display().to_string());
        self.definitions.set_text("_PWD", folder, Place::default());
    }

    fn include(&mut self, pattern: &str, is_strict: bool, place: Place) {
        let pattern = pattern.trim_matches(['"', '\'']);
        let folder =
            self.open.last().and_then(|file| file.parent()).map_or_else(PathBuf::new, Path::to_owned);
        let found = glob::expand(self.files, &folder, pattern);
        if found.is_empty() {
            let why = format!("no file fits `{}`; keepalived goes on without", shown(pattern));
            let grade = if is_strict { Grade::Error } else { Grade::Warning };
            self.report.add(grade, place, "include", why);
        }
        for file in found {
            if self.open.contains(&file) || self.open.len() >= MAX_DEPTH {
                let why = format!("{} is already being read: a circle, left out here", file.display());
                self.report.error(place, "include", why);
                continue;
            }
            if self.files_read >= MAX_FILES || self.bytes_read >= MAX_BYTES {
                self.report.error(place, "include", "too many files: this one and what follows is left out");
                return;
            }
            match self.files.read(&file) {
                Ok(bytes) => self.file(&file, bytes),
                Err(_) if glob::is_pattern(pattern) && self.files.names(&file).iter().any(|_| true) => {}
                Err(error) => {
                    let why = format!(
                        "{} cannot be read ({error}), and nothing of it is carried over; run this where it is",
                        file.display()
                    );
                    self.report.error(place, "include", why);
                }
            }
        }
    }

    /// One line of a file; a definition that goes on in the next one is returned.
    fn line(&mut self, raw: Raw) -> Option<Growing> {
        if raw.code.ends_with('\\') {
            let (is_wanted, code) = self.condition(&raw);
            if let Some((name, value)) = definition(code) {
                let name = name.to_owned();
                let value = value.strip_suffix('\\').unwrap_or(value).trim();
                let mut lines = Vec::new();
                if !value.is_empty() {
                    lines.push(Raw { code: value.to_owned(), ..raw.clone() });
                }
                return Some(Growing { name, is_wanted, lines });
            }
        }
        self.expand(raw);
        None
    }

    fn grow(&mut self, mut growing: Growing, raw: Raw) -> Option<Growing> {
        let line = raw.code.strip_suffix('\\');
        let code = line.unwrap_or(&raw.code).trim().to_owned();
        if !code.is_empty() {
            growing.lines.push(Raw { code, ..raw.clone() });
        }
        if line.is_some() {
            return Some(growing);
        }
        self.define(growing);
        None
    }

    fn define(&mut self, growing: Growing) {
        if growing.is_wanted {
            self.definitions.set(&growing.name, growing.lines);
        }
    }

    /// Whether a line's condition holds, and the line without it.
    fn condition<'l>(&mut self, raw: &'l Raw) -> (bool, &'l str) {
        let mut code = raw.code.as_str();
        let mut holds = true;
        while let Some(rest) = code.strip_prefix('@') {
            let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let is_ours = match id.strip_prefix('^') {
                Some(other) => other != self.id,
                None => id == self.id,
            };
            holds &= is_ours;
            code = rest.trim_start();
            let (_, taken, left) = self.conditions.get_or_insert((raw.place, 0, 0));
            *(if is_ours { taken } else { left }) += 1;
        }
        (holds, code)
    }

    /// Replaces and repeats until there are plain lines.
    fn expand(&mut self, raw: Raw) {
        let mut pending = vec![Pending::Line { raw, replaced: 0 }];
        while let Some(next) = pending.pop() {
            self.lines += 1;
            if self.lines > MAX_LINES {
                if self.lines == MAX_LINES + 1
                    && let Pending::Line { raw, .. } | Pending::Turns { rest: raw, .. } = &next
                {
                    let why = format!("comes to more than {MAX_LINES} lines: the rest is left out");
                    self.report.error(raw.place, "(file)", why);
                }
                return;
            }
            match next {
                Pending::Line { raw, replaced } => self.step(raw, replaced, &mut pending),
                Pending::Turns { mut sequence, rest, replaced } => {
                    if let Some(values) = sequence.turn() {
                        for (name, value) in values {
                            self.definitions.set_text(&name, value, rest.place);
                        }
                        pending.push(Pending::Turns { sequence, rest: rest.clone(), replaced });
                        pending.push(Pending::Line { raw: rest, replaced });
                    }
                }
            }
        }
    }

    fn step(&mut self, raw: Raw, replaced: u32, pending: &mut Vec<Pending>) {
        let (holds, code) = self.condition(&raw);
        if !holds || code.is_empty() {
            return;
        }
        if let Some((name, value)) = definition(code) {
            let value = value.to_owned();
            self.definitions.set_text(name, value, raw.place);
            return;
        }
        match Sequence::parse(code) {
            Some(Ok((sequence, rest))) => {
                let rest = Raw { code: rest.to_owned(), ..raw.clone() };
                return pending.push(Pending::Turns { sequence, rest, replaced });
            }
            Some(Err(why)) => {
                return self.report.error(raw.place, "~SEQ", format!("{why}; the line is left out"));
            }
            None => {}
        }
        let raw = Raw { code: code.to_owned(), ..raw.clone() };
        self.replace(raw, replaced, pending);
    }

    /// One line without a condition, definition or sequence at its beginning, as far as it has been replaced.
    fn replace(&mut self, mut raw: Raw, mut replaced: u32, pending: &mut Vec<Pending>) {
        let mut is_changed = false;
        while let Some((start, end, replacement)) = self.definitions.find(&raw.code, 0) {
            replaced += 1;
            if replaced > MAX_REPLACEMENTS || raw.code.len() > MAX_LENGTH {
                let why = "its definitions never come to an end; the line is left out";
                self.report.error(raw.place, "$", why);
                // What else this line stands for would end like this, and there may be no end of it.
                return pending.clear();
            }
            is_changed = true;
            let (head, tail) = (&raw.code[..start], &raw.code[end..]);
            match replacement {
                Replacement::Text(text) => raw.code = format!("{head}{text}{tail}"),
                Replacement::Random(least) => {
                    let why =
                        format!("a random number in keepalived, another at each start; {least} is written");
                    self.report.error(raw.place, "${_RANDOM}", why);
                    raw.code = format!("{head}{least}{tail}");
                }
                Replacement::Lines(lines) => {
                    let last = lines.len() - 1;
                    for (index, line) in lines.iter().enumerate().rev() {
                        let mut line = line.clone();
                        if index == 0 {
                            line.code = format!("{head}{}", line.code);
                        }
                        if index == last {
                            line.code.push_str(tail);
                        }
                        // Deeper, so that a definition that names itself comes to an end soon.
                        pending.push(Pending::Line { raw: line, replaced: replaced + 7 });
                    }
                    return;
                }
            }
        }
        let code = raw.code.trim();
        let is_special = code.starts_with(['@', '~']) || definition(code).is_some();
        if is_changed && is_special {
            let raw = Raw { code: code.to_owned(), ..raw.clone() };
            return pending.push(Pending::Line { raw, replaced });
        }
        if !code.is_empty() {
            (self.take)(self.report, &raw);
        }
    }
}

/// The pattern of an include line, and whether a file that is missing is an error.
fn include(code: &str) -> Option<(&str, bool)> {
    let (word, rest) = code.split_once(char::is_whitespace)?;
    INCLUDES.iter().find(|(name, _)| *name == word).map(|(_, is_strict)| (rest.trim(), *is_strict))
}
