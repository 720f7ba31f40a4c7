//! One line of keepalived's language: where its comment begins, and its words.
//!
//! Owns quotes, escapes and braces. Refuses to know what a word means.

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Open,
    Close,
}

/// The line without its comment, and the comment without its marks. As in keepalived a comment may begin anywhere, also
/// inside a word; only double quotes and a backslash protect from it.
pub(super) fn decomment(line: &str) -> (&str, Option<&str>) {
    let mut is_quoted = false;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => {
                chars.next();
            }
            '!' | '#' if !is_quoted => {
                let (code, comment) = line.split_at(at);
                let comment = comment.trim_start_matches(['!', '#']).trim();
                return (code.trim(), (!comment.is_empty()).then_some(comment));
            }
            _ => {}
        }
    }
    (line.trim(), None)
}

/// Words and braces. A brace counts where it stands alone or at either end of a word, as in `VI_1{`.
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (word, is_quoted) in words(code) {
        // `${NAME}` that nobody has defined stays a word.
        if is_quoted || word.contains("${") {
            tokens.push(Token::Word(word));
        } else {
            braces(&word, &mut tokens);
        }
    }
    tokens
}

fn braces(word: &str, tokens: &mut Vec<Token>) {
    let token = |c| if c == '{' { Token::Open } else { Token::Close };
    let is_brace = |c: char| c == '{' || c == '}';
    let inner = word.trim_start_matches(is_brace);
    let leading = &word[..word.len() - inner.len()];
    let core = inner.trim_end_matches(is_brace);
    tokens.extend(leading.chars().map(token));
    if !core.is_empty() {
        tokens.push(Token::Word(core.to_owned()));
    }
    tokens.extend(inner[core.len()..].chars().map(token));
}

/// The words, each with whether any of it was quoted.
fn words(code: &str) -> Vec<(String, bool)> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_quoted = false;
    let mut is_begun = false;
    let mut quote = None;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' {
            is_begun |= escape(&mut chars, &mut word);
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '"' || c == '\'') {
            quote = Some(c);
            (is_quoted, is_begun) = (true, true);
        } else if quote.is_none() && c.is_whitespace() {
            if is_begun {
                words.push((std::mem::take(&mut word), is_quoted));
            }
            (is_quoted, is_begun) = (false, false);
        } else {
            word.push(c);
            is_begun = true;
        }
    }
    if is_begun {
        words.push((word, is_quoted));
    }
    words
}

/// What follows a backslash; false if nothing does.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> bool {
    let Some(c) = chars.next() else { return false };
    let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, radix, most| {
        let mut value = 0u32;
        let mut count = 0;
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix))
            && count < most
        {
            value = value.wrapping_mul(radix).wrapping_add(digit) & 0xff;
            chars.next();
            count += 1;
        }
        char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    let replaced = match c {
        'a' => '\x07',
        'b' => '\x08',
        'E' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' if chars.peek().is_some_and(char::is_ascii_hexdigit) => digits(chars, 16, usize::MAX),
        '0'..='7' => {
            let first = c.to_digit(8).unwrap_or_default();
            let mut value = first;
            for _ in 0..2 {
                let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                chars.next();
            }
            char::from_u32(value & 0xff).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        'c' => match chars.next() {
            Some(letter) if letter.is_ascii() => {
                char::from_u32(u32::from(letter) & 0x1f).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(letter) => letter,
            None => return false,
        },
        other => other,
    };
    word.push(replaced);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(code: &str) -> Vec<String> {
        let name = |token| match token {
            Token::Word(word) => word,
            Token::Open => "<".to_owned(),
            Token::Close => ">".to_owned(),
        };
        tokens(code).into_iter().map(name).collect()
    }

    #[test]
    fn comments_begin_anywhere_but_in_double_quotes_and_behind_a_backslash() {
        for (line, code, comment) in [
            ("state MASTER #标记状态MASTER", "state MASTER", Some("标记状态MASTER")),
            ("192.168.1.200#VIP#and more", "192.168.1.200", Some("VIP#and more")),
            ("auth_pass pass!word", "auth_pass pass", Some("word")),
            ("router_id \"a#b!c\" # d", "router_id \"a#b!c\"", Some("d")),
            ("router_id 'a#b'", "router_id 'a", Some("b'")),
            ("x \\# y", "x \\# y", None),
            ("! Configuration", "", Some("Configuration")),
            ("  #!#", "", None),
            ("", "", None),
        ] {
            assert_eq!(decomment(line), (code, comment), "{line}");
        }
    }

    #[test]
    fn quotes_join_and_vanish() {
        assert_eq!(plain(r#"abcd" efg h jkl "mnop"#), ["abcd efg h jkl mnop"]);
        assert_eq!(plain(r#"abcd "efg h jkl" mnop"#), ["abcd", "efg h jkl", "mnop"]);
        assert_eq!(plain(r#"n "/a/b 'c d'" ''"#), ["n", "/a/b 'c d'", ""]);
        assert_eq!(plain("\"not closed"), ["not closed"]);
    }

    #[test]
    fn escapes_are_the_shell_s() {
        assert_eq!(plain(r"a\ b \x41\101 \cA \q \"), ["a b", "AA", "\u{1}", "q"]);
        assert_eq!(plain(r#"\"x"#), ["\"x"]);
    }

    #[test]
    fn braces_are_found_alone_and_at_the_ends_of_words() {
        assert_eq!(plain("vrrp_instance VI_1{"), ["vrrp_instance", "VI_1", "<"]);
        assert_eq!(plain("virtual_ipaddress {10.0.0.1}"), ["virtual_ipaddress", "<", "10.0.0.1", ">"]);
        assert_eq!(plain("}}"), [">", ">"]);
        assert_eq!(plain("x ${Y} \"{\""), ["x", "${Y}", "{"]);
    }
}
