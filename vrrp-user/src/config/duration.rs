//! Durations with units: `10ms`, `1s`, `1.5s`. Integer arithmetic only.

use std::time::Duration;

use super::tree::shown;

const UNITS: [(&str, u64); 4] =
    [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];

/// The text's duration, or what is wrong with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let start = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(start);
    if number.is_empty() {
        return Err(format!(
            "`{}` is not a duration; write a number with its unit, as in 1s or 100ms",
            shown(text)
        ));
    }
    if unit.is_empty() {
        return Err(no_unit(number));
    }
    let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "`{}` is not a unit of time; use us, ms, s or m, as in 1s or 100ms",
            shown(unit)
        ));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    scaled(whole, fraction, *nanos).map(Duration::from_nanos).ok_or_else(|| {
        format!(
            "`{}` is not a duration that can be counted in nanoseconds; write it as in 1s or 100ms",
            shown(text)
        )
    })
}

/// The hint for a bare number.
pub(super) fn no_unit(number: impl std::fmt::Display) -> String {
    format!("{number} has no unit; write {number}s or {number}ms")
}

/// `whole.fraction` units of `nanos` each; None if it is not a whole number of nanoseconds.
fn scaled(whole: &str, fraction: &str, nanos: u64) -> Option<u64> {
    let mut total = whole.parse::<u64>().ok()?.checked_mul(nanos)?;
    let mut place = nanos;
    for digit in fraction.bytes() {
        let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        // A zero may stand anywhere; another digit only where a tenth is still whole.
        if digit != 0 && !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        total = total.checked_add(digit * place)?;
    }
    Some(total)
}

/// The shortest way to write it, which [`parse`] reads back as the same.
pub(super) fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos.is_multiple_of(1_000_000_000) {
        return format!("{}s", duration.as_secs());
    }
    let (whole, fraction) = (nanos / 1_000_000, nanos % 1_000_000);
    if fraction == 0 {
        return format!("{whole}ms");
    }
    let fraction = format!("{fraction:06}");
    format!("{whole}.{}ms", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{format, parse};
    use std::time::Duration;

    #[test]
    fn units_are_measured_against_literals() {
        for (text, nanos) in [
            ("0s", 0),
            ("1us", 1_000),
            ("0.5us", 500),
            ("10ms", 10_000_000),
            ("40950ms", 40_950_000_000),
            ("1s", 1_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.25ms", 250_000),
            ("0.000000001s", 1),
            ("1.0000000000000s", 1_000_000_000),
            ("255s", 255_000_000_000),
            ("2m", 120_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_says_what_is_missing() {
        for (text, hint) in [
            ("1", "1 has no unit; write 1s or 1ms"),
            ("1.5", "1.5 has no unit"),
            ("s", "is not a duration"),
            ("", "is not a duration"),
            ("-1s", "is not a duration"),
            ("1 s", "is not a unit of time"),
            ("1sec", "use us, ms, s or m"),
            ("1h", "use us, ms, s or m"),
            ("1m30s", "is not a unit of time"),
            ("1.2.3s", "cannot"),
            (".s", "cannot"),
            ("0.0000000001s", "cannot"),
            ("99999999999999999999s", "cannot"),
            ("99999999999999999m", "cannot"),
        ] {
            let hint = if hint == "cannot" { "is not a duration that can be counted" } else { hint };
            let message = parse(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn printed_durations_are_short() {
        for (nanos, text) in [
            (0, "0s"),
            (1_000_000_000, "1s"),
            (3_609_375_000, "3609.375ms"),
            (78_125, "0.078125ms"),
            (100_000_000, "100ms"),
        ] {
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
    }

    proptest! {
        #[test]
        fn printed_durations_read_back_as_the_same(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            match parse(&text) {
                Ok(_) => {}
                Err(message) => prop_assert!(!message.is_empty()),
            }
        }
    }
}
