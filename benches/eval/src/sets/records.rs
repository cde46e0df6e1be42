//! Splits a stream of JSON into its objects, one in memory at a time: objects one behind the
//! other (a line each, or spread over many) or the elements of one array.

use std::io::{self, BufRead};

/// A larger object is refused: it is no sample of any set.
const OBJECT_BYTES_MAX: usize = 1 << 30;

/// Why there is no next object.
#[derive(Debug)]
pub(super) enum RecordError {
    /// The stream could not be read.
    Read(io::Error),
    /// It is no JSON of this shape: the line, from 1, and what is wrong with it.
    Bad(u64, String),
}

impl From<io::Error> for RecordError {
    fn from(e: io::Error) -> Self {
        Self::Read(e)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing was read yet.
    Start,
    /// Objects follow one another.
    Stream,
    /// In the array, before its first element.
    ArrayStart,
    /// In the array, behind an element.
    ArrayNext,
    /// Nothing follows.
    End,
}

/// The objects of a stream.
pub(super) struct Records<R> {
    input: R,
    line: u64,
    place: Place,
    object: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, line: 1, place: Place::Start, object: Vec::new() }
    }

    /// The line on which the next object begins, from 1, and its bytes; `None` at the end.
    /// Nothing follows an error.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, RecordError> {
        match self.find() {
            Ok(Some(line)) => Ok(Some((line, &self.object))),
            Ok(None) => Ok(None),
            Err(e) => {
                self.place = Place::End;
                Err(e)
            }
        }
    }

    fn find(&mut self) -> Result<Option<u64>, RecordError> {
        loop {
            if self.place == Place::End {
                return Ok(None);
            }
            let Some(byte) = self.peek()? else { return self.at_end() };
            match (byte, self.place) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => self.take(byte),
                // A byte order mark.
                (0xef | 0xbb | 0xbf, Place::Start) => self.input.consume(1),
                (b'[', Place::Start) => {
                    self.take(byte);
                    self.place = Place::ArrayStart;
                }
                (b'{', Place::Start | Place::Stream) => {
                    self.place = Place::Stream;
                    return self.read_object().map(Some);
                }
                (b'{', Place::ArrayStart) => {
                    self.place = Place::ArrayNext;
                    return self.read_object().map(Some);
                }
                (b',', Place::ArrayNext) => {
                    self.take(byte);
                    self.place = Place::ArrayStart;
                }
                (b']', Place::ArrayStart | Place::ArrayNext) => {
                    self.take(byte);
                    self.place = Place::End;
                }
                _ => {
                    let found = char::from(byte).escape_default();
                    let what = format!("a JSON object was expected, `{found}` was found");
                    return Err(RecordError::Bad(self.line, what));
                }
            }
        }
    }

    fn at_end(&mut self) -> Result<Option<u64>, RecordError> {
        let open = matches!(self.place, Place::ArrayStart | Place::ArrayNext);
        self.place = Place::End;
        if open {
            return Err(RecordError::Bad(self.line, "the array has no end".to_owned()));
        }
        Ok(None)
    }

    fn peek(&mut self) -> Result<Option<u8>, RecordError> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn take(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.input.consume(1);
    }

    /// Reads from an opening brace to the one that closes it.
    fn read_object(&mut self) -> Result<u64, RecordError> {
        let first = self.line;
        self.object.clear();
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                let what = "the object that begins here has no end".to_owned();
                return Err(RecordError::Bad(first, what));
            }
            let mut used = 0;
            let mut done = false;
            for &byte in buffer {
                used += 1;
                match byte {
                    b'\n' if quoted => {
                        let what = "a text in quotes goes on past the end of its line: the object \
                                    is cut short"
                            .to_owned();
                        return Err(RecordError::Bad(self.line, what));
                    }
                    b'\n' => self.line += 1,
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' | b'[' if !quoted => depth += 1,
                    b'}' | b']' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    done = true;
                    break;
                }
            }
            self.object.extend_from_slice(&buffer[..used]);
            self.input.consume(used);
            if done {
                return Ok(first);
            }
            if self.object.len() > OBJECT_BYTES_MAX {
                let what = format!("the object is larger than {} MiB", OBJECT_BYTES_MAX >> 20);
                return Err(RecordError::Bad(first, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// A line and words.
    type At = (u64, String);

    /// Every object with its line; the error's line and words last.
    fn all(text: &str) -> (Vec<At>, Option<At>) {
        // A buffer of three bytes shows that nothing depends on where it ends.
        let mut records = Records::new(BufReader::with_capacity(3, text.as_bytes()));
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(Some((line, bytes))) => {
                    found.push((line, String::from_utf8(bytes.to_vec()).unwrap()));
                }
                Ok(None) => return (found, None),
                Err(RecordError::Bad(line, what)) => {
                    assert!(records.next().unwrap().is_none(), "nothing follows an error");
                    return (found, Some((line, what)));
                }
                Err(RecordError::Read(e)) => panic!("{e}"),
            }
        }
    }

    fn found(text: &str) -> Vec<At> {
        let (found, error) = all(text);
        assert_eq!(error, None);
        found
    }

    #[test]
    fn lines_arrays_and_objects_over_many_lines_are_split() {
        let one = r#"{"a": "x}\"{[", "b": [1, {"c": 2}]}"#;
        assert_eq!(found(&format!("{one}\n\n{{}}\n")), [(1, one.to_owned()), (3, "{}".to_owned())]);
        assert_eq!(
            found(&format!("\u{feff}[\n{one}\n, {{}}]\n")),
            [(2, one.to_owned()), (3, "{}".to_owned())]
        );
        let wide = "{\n\"a\":\n1}";
        assert_eq!(found(&format!("{wide}{wide}")), [(1, wide.to_owned()), (3, wide.to_owned())]);
        assert_eq!(found(" \n "), []);
        assert_eq!(found("[]"), []);
    }

    #[test]
    fn what_is_no_object_is_named_with_its_line() {
        for (text, line, what) in [
            ("{}\nhello\n", 2, "`h` was found"),
            ("{}\n{\"a\": \"cut\n{}\n", 2, "past the end of its line"),
            ("{}\n{\"a\": [1,\n", 2, "has no end"),
            ("[{}\n", 2, "the array has no end"),
            ("[1, 2]", 1, "`1` was found"),
            ("[{} {}]", 1, "`{` was found"),
            ("\u{0}", 1, "u{0}"),
        ] {
            let (_, error) = all(text);
            let (at, words) = error.unwrap_or_else(|| panic!("{text:?} was taken"));
            assert_eq!(at, line, "{text:?}");
            assert!(words.contains(what), "{text:?}: {words}");
        }
    }
}
