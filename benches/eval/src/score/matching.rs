//! Whether an answer contains a value, whatever stands around it.

/// `text` in lower case, with single spaces, without quotes, emphasis and commas between digits.
#[must_use]
pub fn normalise(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut last = ' ';
    while let Some(c) = chars.next() {
        let next_is_digit = chars.peek().is_some_and(char::is_ascii_digit);
        let dropped = matches!(c, '"' | '\'' | '`' | '*' | '\u{201c}' | '\u{201d}' | '\u{2019}');
        if dropped || (c == ',' && last.is_ascii_digit() && next_is_digit) {
            continue;
        }
        let c = if c.is_whitespace() || c.is_control() { ' ' } else { c };
        if c == ' ' && last == ' ' {
            continue;
        }
        plain.extend(c.to_lowercase());
        last = c;
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Whether `answer` contains `value` as a whole word or words.
///
/// Case, quotes, white space and commas between digits do not count. The value may not be a part of
/// a longer number, name, version or path: `10.1.2.3` is not in `10.1.2.34` nor in `110.1.2.3`. An
/// answer that lists several values is right if one of them is: that is the known weakness of
/// containment.
#[must_use]
pub fn answers(answer: &str, value: &str) -> bool {
    let (answer, value) = (normalise(answer), normalise(value));
    if value.is_empty() {
        return false;
    }
    answer.match_indices(&value).any(|(at, found)| {
        let before: Vec<char> = answer[..at].chars().rev().take(2).collect();
        let after: Vec<char> = answer[at + found.len()..].chars().take(2).collect();
        ends_here(&value, true, &before) && ends_here(&value, false, &after)
    })
}

/// Whether the two characters next to one end of the value (nearest first) do not continue it.
fn ends_here(value: &str, front: bool, beyond: &[char]) -> bool {
    let edge = if front { value.chars().next() } else { value.chars().next_back() };
    if !edge.is_some_and(char::is_alphanumeric) {
        // A value that ends in a sign (`93%`) ends there whatever follows.
        return !(front
            && edge == Some('/')
            && beyond.first().is_some_and(|c| c.is_alphanumeric()));
    }
    let joins = |c: char| matches!(c, '.' | '-' | '_' | '/');
    match beyond {
        [next, ..] if next.is_alphanumeric() => false,
        [next, second, ..] if joins(*next) => !second.is_alphanumeric(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_brought_to_one_form() {
        assert_eq!(normalise("  The \"Port\"\tis\n 51,122, ok. "), "the port is 51122, ok.");
        assert_eq!(normalise("a, b"), "a, b");
        assert_eq!(normalise(""), "");
    }

    #[test]
    fn a_value_is_found_as_a_whole() {
        let right = [
            ("Root logged in from 203.0.113.77.", "203.0.113.77"),
            ("203.0.113.77:51122", "203.0.113.77"),
            ("addr=10.1.2.3,", "10.1.2.3"),
            ("It cost 4,182.50 EUR", "4182.50"),
            ("at **4:37 PM**", "4:37 pm"),
            ("the file `/srv/pool/keys-101.tar`.", "/srv/pool/keys-101.tar"),
            ("it is 93% full", "93%"),
            ("ingrid  halvorsen", "Ingrid Halvorsen"),
        ];
        for (answer, value) in right {
            assert!(answers(answer, value), "{value} in {answer}");
        }
    }

    #[test]
    fn a_part_of_something_longer_is_not_it() {
        let wrong = [
            ("10.1.2.34", "10.1.2.3"),
            ("110.1.2.3", "10.1.2.3"),
            ("10.1.2.3.4", "10.1.2.3"),
            ("port 151122", "51122"),
            ("kestrel-14-b", "kestrel-14"),
            ("old-kestrel-14", "kestrel-14"),
            ("x/srv/pool/keys", "/srv/pool/keys"),
            ("/srv/pool/keys/more", "/srv/pool/keys"),
            ("", "a"),
            ("anything", ""),
        ];
        for (answer, value) in wrong {
            assert!(!answers(answer, value), "{value} in {answer}");
        }
    }
}
