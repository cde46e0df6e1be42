//! The head of a log line that an inserted line can carry: its time, and the host of a syslog line.

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The head of `line` with the space after it; empty when the line does not begin with a time.
///
/// Known are syslog (`Mar  2 04:11:09 host `), ISO 8601 (`2026-03-02T04:11:09.123Z `, also with a
/// space between day and time) and a time in brackets (`[Sun Dec 04 04:47:44 2005] `).
pub(super) fn head(line: &[u8]) -> &str {
    let length = syslog(line).or_else(|| iso(line)).or_else(|| bracket(line)).unwrap_or(0);
    std::str::from_utf8(&line[..length]).unwrap_or("")
}

/// `dd:dd:dd` at the front.
fn clock(text: &[u8]) -> bool {
    text.len() >= 8 && matches_shape(&text[..8], b"00:00:00")
}

/// Whether `text` has digits where `shape` has `0`, and else the same bytes.
fn matches_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, want)| match want {
            b'0' => byte.is_ascii_digit(),
            _ => byte == want,
        })
}

/// One past the word that starts at `from` and the space after it.
fn past_word(line: &[u8], from: usize) -> Option<usize> {
    let rest = line.get(from..)?;
    rest.iter().position(|byte| *byte == b' ').map(|at| from + at + 1)
}

fn syslog(line: &[u8]) -> Option<usize> {
    let month = MONTHS.iter().any(|month| line.starts_with(month));
    let time = line.get(7..15).is_some_and(clock) && line.get(15) == Some(&b' ');
    if month && time { past_word(line, 16) } else { None }
}

fn iso(line: &[u8]) -> Option<usize> {
    let day = line.get(..10).is_some_and(|day| matches_shape(day, b"0000-00-00"));
    let gap = matches!(line.get(10), Some(b'T' | b' '));
    if day && gap && line.get(11..19).is_some_and(clock) { past_word(line, 19) } else { None }
}

fn bracket(line: &[u8]) -> Option<usize> {
    if line.first() != Some(&b'[') {
        return None;
    }
    let end = line.iter().take(48).position(|byte| *byte == b']')?;
    let timed = line[..end].windows(8).any(clock);
    (timed && line.get(end + 1) == Some(&b' ')).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_heads_are_found_and_others_are_not() {
        let cases: [(&[u8], &str); 9] = [
            (b"Mar  2 04:11:09 edge-07 sshd[1]: x", "Mar  2 04:11:09 edge-07 "),
            (b"2026-03-02T04:11:09.123Z INFO x", "2026-03-02T04:11:09.123Z "),
            (b"2015-07-29 17:41:44,747 - INFO", "2015-07-29 17:41:44,747 "),
            (b"[Sun Dec 04 04:47:44 2005] [notice] x", "[Sun Dec 04 04:47:44 2005] "),
            (b"[notice] 04:47 x", ""),
            (b"Marmalade is made of oranges", ""),
            (b"10.0.0.1 - - [02/Mar/2026:04:11:09 +0000] x", ""),
            (b"2026-03-02T04:11:09.123Z", ""),
            (b"", ""),
        ];
        for (line, want) in cases {
            assert_eq!(head(line), want, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn bytes_that_are_no_text_have_no_head() {
        assert_eq!(head(b"Mar  2 04:11:09 \xff\xfe sshd: x"), "");
    }
}
