//! Lines that are typed or piped in, read on a thread of their own: Ctrl-C is seen meanwhile.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::failure::Failure;

/// Longest line that is taken, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// How long one look at the input waits.
const WAIT: Duration = Duration::from_millis(50);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, as text.
    Text(String),
    /// A line that is too long; it was passed over.
    TooLong,
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
    /// The input could not be read.
    Failed(String),
}

/// Standard input, line by line.
pub(super) struct Lines(Receiver<Line>);

impl Lines {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn of_stdin() -> Result<Self, Failure> {
        // One line waits while a turn is replied to; more stay in the pipe.
        let (send, receive) = sync_channel(1);
        let read = move || {
            let mut input = BufReader::new(io::stdin().lock());
            loop {
                let line = read_line(&mut input);
                let last = matches!(line, Line::End | Line::Failed(_));
                if send.send(line).is_err() || last {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("lcedge-input".to_owned())
            .spawn(read)
            .map_err(|e| Failure::new("input", format!("standard input: {e}")))?;
        Ok(Self(receive))
    }

    /// Waits a moment for the next line.
    pub(super) fn next(&self) -> Line {
        match self.0.recv_timeout(WAIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => Line::Nothing,
            Err(RecvTimeoutError::Disconnected) => Line::End,
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Line {
    let mut bytes = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 1;
    match input.by_ref().take(most).read_until(b'\n', &mut bytes) {
        Ok(0) => return Line::End,
        Ok(_) => {}
        Err(e) => return Line::Failed(e.to_string()),
    }
    if bytes.len() as u64 == most && bytes.last() != Some(&b'\n') {
        return match input.skip_until(b'\n') {
            Ok(_) => Line::TooLong,
            Err(e) => Line::Failed(e.to_string()),
        };
    }
    Line::Text(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_lines() {
        let mut long = vec![b'x'; LINE_BYTES_MAX + 5];
        long.extend_from_slice(b"\nlast");
        let mut input: &[u8] = b"one\r\n\n\xff\x00two\n";
        let text = |t: &str| Line::Text(t.to_owned());
        assert_eq!(read_line(&mut input), text("one\r\n"));
        assert_eq!(read_line(&mut input), text("\n"));
        assert_eq!(read_line(&mut input), text("\u{fffd}\0two\n"));
        assert_eq!(read_line(&mut input), Line::End);
        let mut input: &[u8] = &long;
        assert_eq!(read_line(&mut input), Line::TooLong);
        assert_eq!(read_line(&mut input), text("last"));
    }
}
