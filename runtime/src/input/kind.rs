//! Is it text? A look at the first bytes.

use std::fmt;

/// Why bytes are not taken for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotText {
    /// UTF-16 or UTF-32 with a byte order mark.
    Encoding(&'static str),
    /// A known format, by its first bytes.
    Format(&'static str),
    /// Mostly bytes that no text has.
    Bytes {
        /// Bytes that are not text, in percent.
        percent: usize,
    },
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(name) => write!(f, "is {name}, not UTF-8"),
            Self::Format(name) => write!(f, "is {name}, not text"),
            Self::Bytes { percent } => {
                write!(f, "looks binary ({percent}% of it is not UTF-8 text)")
            }
        }
    }
}

impl NotText {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> String {
        match self {
            Self::Encoding(name) => {
                format!("convert it first, for example: iconv -f {name} -t UTF-8 FILE > FILE.utf8")
            }
            Self::Format(_) => "unpack or convert it to text first".to_owned(),
            Self::Bytes { .. } => {
                "convert it to UTF-8, or say --format text to read it all the same".to_owned()
            }
        }
    }
}

/// Byte order marks, the longer ones first.
const MARKS: [(&[u8], &str); 4] = [
    (&[0xFF, 0xFE, 0, 0], "UTF-32LE"),
    (&[0, 0, 0xFE, 0xFF], "UTF-32BE"),
    (&[0xFF, 0xFE], "UTF-16LE"),
    (&[0xFE, 0xFF], "UTF-16BE"),
];

const FORMATS: [(&[u8], &str); 14] = [
    (b"\x7fELF", "a program (ELF)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG\r\n", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"%PDF-", "a PDF"),
    (b"SQLite format 3\0", "a database (SQLite)"),
    (b"GGUF", "a model (GGUF)"),
    (b"LPKSHHRH", "a system journal (journald)"),
    (b"\xca\xfe\xba\xbe", "a program"),
];

/// Fewest bytes that are judged by what they are made of.
const JUDGED_BYTES_MIN: usize = 512;
/// Share of bytes that are not text from which on it is binary, in percent.
const BINARY_PERCENT: usize = 30;

/// Looks at the first bytes of a source (up to a read's worth). Odd bytes here and there, invalid
/// UTF-8 and NUL are text; a byte order mark of UTF-16, a known format or mostly odd bytes are not.
/// With `any`, only the byte order mark counts.
///
/// # Errors
/// [`NotText`] with what it is.
pub fn check(first: &[u8], any: bool) -> Result<(), NotText> {
    let starts = |(mark, _): &&(&[u8], &str)| first.starts_with(mark);
    if let Some((_, name)) = MARKS.iter().find(starts) {
        return Err(NotText::Encoding(name));
    }
    if any {
        return Ok(());
    }
    if let Some((_, name)) = FORMATS.iter().find(starts) {
        return Err(NotText::Format(name));
    }
    if first.len() < JUDGED_BYTES_MIN {
        return Ok(());
    }
    let percent = odd_bytes(first) * 100 / first.len();
    if percent >= BINARY_PERCENT { Err(NotText::Bytes { percent }) } else { Ok(()) }
}

/// Bytes that are no text: not UTF-8, or control characters other than those of terminals and
/// printers. A character cut off at the end is not counted.
fn odd_bytes(bytes: &[u8]) -> usize {
    let control = |c: char| c.is_ascii_control() && !"\t\n\r\x08\x0b\x0c\x1b".contains(c);
    let mut odd = 0;
    for part in bytes.utf8_chunks() {
        odd += part.valid().chars().filter(|c| control(*c)).count() + part.invalid().len();
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_here_and_there_are_text() {
        assert_eq!(check(b"", false), Ok(()));
        assert_eq!(check(b"a\0b\r\n", false), Ok(()));
        assert_eq!(check(&[0x80; 100], false), Ok(()), "too short to judge");
        let latin: Vec<u8> = b"caf\xe9 au lait\n".repeat(100);
        assert_eq!(check(&latin, false), Ok(()));
        assert_eq!(check("\u{4e16}\u{754c}\n".repeat(200).as_bytes(), false), Ok(()));
        assert_eq!(check("\x1b[31mred\x1b[0m\n".repeat(100).as_bytes(), false), Ok(()));
    }

    #[test]
    fn what_is_not_text_is_named() {
        assert_eq!(check(b"\xff\xfea\0", true), Err(NotText::Encoding("UTF-16LE")));
        assert_eq!(check(b"\x1f\x8b\x08", false), Err(NotText::Format("compressed with gzip")));
        assert_eq!(check(b"\x1f\x8b\x08", true), Ok(()));
        let zeros = check(&[0; 4096], false);
        assert_eq!(zeros, Err(NotText::Bytes { percent: 100 }));
        assert!(NotText::Encoding("UTF-16LE").hint().contains("iconv -f UTF-16LE"));
    }
}
