//! Stopping in the middle of a source without reading on.

use super::Session;
use crate::error::AbsorbError;

impl Session {
    /// Stops the open source where the last chunk ended: what is in the window becomes a last short
    /// block, and how far the source came is noted. Text that was fed and not absorbed is
    /// forgotten; a later run feeds it again.
    ///
    /// # Errors
    /// [`AbsorbError`]; what was absorbed before stays absorbed.
    pub fn pause_source(&mut self) -> Result<(), AbsorbError> {
        if self.source.is_none() {
            return Ok(());
        }
        self.check()?;
        self.pieces.clear();
        self.waiting.clear();
        let cut = self.cut_blocks(true);
        self.latch(cut)?;
        if let Some(source) = &mut self.source {
            let ahead = self.tail.text(source.hashed, source.byte);
            let lines = ahead.iter().filter(|&&b| b == b'\n').count() as u64;
            self.counters.bytes -= source.byte - source.hashed;
            self.counters.lines -= lines;
            source.byte = source.hashed;
        }
        self.note_progress(false)?;
        self.keep_gist(true);
        self.lines.end_line();
        self.source = None;
        Ok(())
    }
}
