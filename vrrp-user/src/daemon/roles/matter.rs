//! Which texts are about the same thing, so that it is not said again with every number that moves.

/// What a text is about: of ranges of transactions only where they begin, for with every write of the other server they grow,
/// and MySQL's come and go: `0-1-5..9` of MariaDB, `uuid:5-9:11` of MySQL.
pub(super) fn matter(text: &str) -> String {
    let mut parts = text.split("..");
    let first = parts.next().unwrap_or_default().to_owned();
    let text = parts.fold(first, |matter, part| {
        matter + ".." + part.trim_start_matches(|digit: char| digit.is_ascii_digit())
    });
    let mut matter = String::with_capacity(text.len());
    let mut is_range = false;
    for (number, part) in text.split(':').enumerate() {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        let is_interval = number > 0 && part.starts_with(|digit: char| digit.is_ascii_digit());
        match (is_interval, is_range) {
            (true, true) => matter.push_str(rest),
            (true, false) => {
                let begin = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                matter.extend([":", begin, rest]);
            }
            (false, _) if number > 0 => matter.extend([":", part]),
            (false, _) => matter.push_str(part),
        }
        is_range = is_interval && rest.is_empty();
    }
    matter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_grows_is_the_same_matter() {
        assert_eq!(
            matter("only here 0-1-5..9, there 0-2-1..17"),
            matter("only here 0-1-5..10, there 0-2-1..3")
        );
        assert_ne!(matter("only here 0-1-5..9"), matter("only here 0-1-6..9"));
        assert_ne!(matter("process 12 was killed"), matter("process 13 was killed"));
        const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";
        let said = |ours: &str, theirs: &str| {
            matter(&format!("only here {A}:{ours}, only on the peer {B}:{theirs}; decide"))
        };
        let first = said("101", "tag:1");
        for (ours, theirs) in
            [("101-20345", "tag:1-5"), ("101-120:122-130:140", "tag:1-5:7"), ("101:103", "tag:1:3-4")]
        {
            assert_eq!(said(ours, theirs), first, "{ours} {theirs}");
        }
        for (ours, theirs) in [("102-20345", "tag:1"), ("101", "tag:2-5"), ("101", "other:1"), ("101", "1")] {
            assert_ne!(said(ours, theirs), first, "{ours} {theirs}");
        }
        assert_ne!(
            matter(&format!("only on the peer {A}:1-5")),
            matter(&format!("only on the peer {B}:1-5"))
        );
        assert_ne!(matter("10.0.0.2:3306: no password"), matter("10.0.0.2:3307: no password"));
    }
}
