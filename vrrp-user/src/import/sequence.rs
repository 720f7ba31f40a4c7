//! `~SEQ(...)`, `~SEQx(...)` and `~LST(...)`: a line read once for each value.
//!
//! Owns their syntax and the values. The reader sets the variables and repeats the line.

/// One block at the beginning of a line, with the values not yet used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    Numbers {
        name: String,
        next: i64,
        step: i64,
        end: i64,
        is_hex: bool,
    },
    /// For each turn a value for each name; the last turn first.
    List {
        names: Vec<String>,
        turns: Vec<Vec<String>>,
    },
}

impl Sequence {
    /// The block that the line begins with, and the rest of the line. None if it begins with none; an error if it means
    /// to and does not get it right.
    pub(super) fn parse(line: &str) -> Option<Result<(Self, &str), String>> {
        let list = line.strip_prefix("~LST");
        let hex = line.strip_prefix("~SEQx");
        let decimal = line.strip_prefix("~SEQ");
        let rest = list.or(hex).or(decimal)?.trim_start();
        let Some((inside, rest)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
            return Some(Err("has no `(...)`".to_owned()));
        };
        let sequence = if list.is_some() { Self::list(inside) } else { Self::numbers(inside, hex.is_some()) };
        Some(sequence.map(|sequence| (sequence, rest.trim_start())))
    }

    fn numbers(inside: &str, is_hex: bool) -> Result<Self, String> {
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let (name, numbers) = parts.split_first().ok_or("names no variable")?;
        let numbers = numbers.iter().map(|text| number(text)).collect::<Result<Vec<i64>, String>>()?;
        let (start, step, end) = match numbers.as_slice() {
            [end] => (if *end > 0 { 1 } else { -1 }, None, *end),
            [start, end] => (*start, None, *end),
            [start, step, end] => (*start, Some(*step), *end),
            [] | [..] => return Err("needs (variable, start, step, end)".to_owned()),
        };
        let step = step.unwrap_or(if end >= start { 1 } else { -1 });
        if step == 0 {
            return Err("has the step 0 and would never end".to_owned());
        }
        Ok(Self::Numbers { name: variable(name)?, next: start, step, end, is_hex })
    }

    fn list(inside: &str) -> Result<Self, String> {
        let mut groups = groups(inside).into_iter();
        let names = groups.next().unwrap_or_default();
        let names = names.iter().map(|name| variable(name)).collect::<Result<Vec<String>, String>>()?;
        let mut turns: Vec<Vec<String>> = groups.collect();
        if turns.is_empty() || turns.iter().any(|values| values.len() != names.len()) {
            return Err("needs as many values in each turn as there are variables".to_owned());
        }
        turns.reverse();
        Ok(Self::List { names, turns })
    }

    /// The next turn's variables and values.
    pub(super) fn turn(&mut self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Numbers { name, next, step, end, is_hex } => {
                let is_over = if *step > 0 { *next > *end } else { *next < *end };
                if is_over {
                    return None;
                }
                let text = if *is_hex { format!("{next:x}") } else { next.to_string() };
                // Past the last number there is is past any end.
                match next.checked_add(*step) {
                    Some(after) => *next = after,
                    None => (*next, *end) = if *step > 0 { (1, 0) } else { (0, 1) },
                }
                Some(vec![(name.clone(), text)])
            }
            Self::List { names, turns } => Some(names.iter().cloned().zip(turns.pop()?).collect()),
        }
    }
}

fn number(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value
        .map(|value: i64| sign * value)
        .map_err(|_error| format!("`{}` is not a number", super::report::shown(text)))
}

fn variable(text: &str) -> Result<String, String> {
    let text = text.trim();
    if super::define::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not the name of a variable", super::report::shown(text)))
    }
}

/// `a, b` is two groups of one; `{a, b}, {c, d}` two of two.
fn groups(inside: &str) -> Vec<Vec<String>> {
    let mut groups = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (group, after) = match rest.strip_prefix('{') {
            Some(open) => {
                let (group, after) = open.split_once('}').unwrap_or((open, ""));
                (group.split(',').map(|value| value.trim().to_owned()).collect(), after)
            }
            None => {
                let (value, after) =
                    rest.split_once(',').map_or((rest, ""), |(value, _)| (value, &rest[value.len()..]));
                (vec![value.trim().to_owned()], after)
            }
        };
        groups.push(group);
        rest = after.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Vec<String> {
        let (mut sequence, _) = Sequence::parse(line).unwrap().unwrap();
        let turns = std::iter::from_fn(|| sequence.turn());
        turns.take(20).flat_map(|turn| turn.into_iter().map(|(_, value)| value)).collect()
    }

    #[test]
    fn sequences_are_the_manual_s() {
        assert_eq!(values("~SEQ(S, 0, 3) x"), ["0", "1", "2", "3"]);
        assert_eq!(values("~SEQ(S, 3)"), ["1", "2", "3"]);
        assert_eq!(values("~SEQ(S, -2)"), ["-1", "-2"]);
        assert_eq!(values("~SEQ(S, 3, 1)"), ["3", "2", "1"]);
        assert_eq!(values("~SEQx(S, 0x90, 0x10, 0xc0)"), ["90", "a0", "b0", "c0"]);
        assert_eq!(values("~SEQx(S,0x12,-1,0x0c)"), ["12", "11", "10", "f", "e", "d", "c"]);
        assert_eq!(values("~SEQ(IP2,168,2,172)"), ["168", "170", "172"]);
        assert_eq!(values("~SEQ(A,9223372036854775806,9223372036854775807)").len(), 2);
        assert!(values("~SEQ(A,5,1,1)").is_empty());
    }

    #[test]
    fn lists_are_the_manual_s() {
        assert_eq!(values("~LST(IP, 1, 2, 3)"), ["1", "2", "3"]);
        assert_eq!(values("~LST({IP, IP1}, {10,1},{20,4})"), ["10", "1", "20", "4"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for line in [
            "~SEQ",
            "~SEQ(",
            "~SEQ(A)",
            "~SEQ(A,1,0,5)",
            "~SEQ(1,2)",
            "~SEQ(A,b)",
            "~LST(A)",
            "~LST({A,B},1)",
            "~SEQ(A,1,1,1,1)",
        ] {
            assert!(matches!(Sequence::parse(line), Some(Err(_))), "{line}");
        }
        assert_eq!(Sequence::parse("SEQ(A,1)"), None);
    }
}
