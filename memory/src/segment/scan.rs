//! Reads a segment from a place on, record by record, believing none of it.

use super::{PieceError, Segment};
use crate::format::{
    ALIGN,
    record::{BlockHeader, Commit, Record},
};

/// A block that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) block: BlockHeader,
    /// What is wrong with its body or payload.
    pub(crate) wrong: Option<&'static str>,
}

impl Found {
    /// Where its record ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.block.record_bytes()
    }
}

/// A commit record that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundCommit {
    pub(crate) end: u64,
    pub(crate) commit: Commit,
}

/// What lies in a segment.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) blocks: Vec<Found>,
    pub(crate) commits: Vec<FoundCommit>,
    /// Ranges that hold no valid record, with the first thing that is wrong there.
    pub(crate) holes: Vec<(u64, u64, &'static str)>,
    /// The segment is sealed: a valid footer ends it.
    pub(crate) sealed: bool,
    /// Bytes of the file when it was scanned.
    pub(crate) file_bytes: u64,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Headers only.
    Headers,
    /// Headers, text and addresses.
    Shallow,
    /// Keys and values as well.
    Deep,
}

/// Scans from `from` (a place where a record begins) to the end of the file.
pub(crate) fn scan(segment: &Segment, from: u64, depth: Depth) -> Result<Scan, std::io::Error> {
    let file_bytes = segment.file.size()?;
    let mut out = Scan { file_bytes, ..Scan::default() };
    let mut buffer = Vec::new();
    let mut at = from;
    while at < file_bytes {
        let record = match segment.record(at) {
            Ok(record) if at + record.record_bytes() <= file_bytes => record,
            Ok(_) => {
                hole(&mut out, at, file_bytes, "segment ends too early");
                at += ALIGN as u64;
                continue;
            }
            Err(PieceError::Io(e)) => return Err(e),
            Err(PieceError::Corrupt(what)) => {
                hole(&mut out, at, file_bytes, what);
                at += ALIGN as u64;
                continue;
            }
        };
        let end = at + record.record_bytes();
        match record {
            Record::Block(block) => {
                let wrong = check_block(segment, at, &block, depth, &mut buffer)?;
                out.blocks.push(Found { offset: at, block, wrong });
            }
            Record::Commit(commit) => out.commits.push(FoundCommit { end, commit }),
            Record::Replaces(_) => {}
            Record::Footer(footer) => match segment.table(at, &footer) {
                Ok(_) if end == file_bytes => out.sealed = true,
                Ok(_) => out.holes.push((at, end, "footer before the end")),
                Err(PieceError::Io(e)) => return Err(e),
                Err(PieceError::Corrupt(what)) => out.holes.push((at, end, what)),
            },
        }
        at = end;
    }
    Ok(out)
}

/// The last commit record of a sealed segment.
pub(crate) fn commits(segment: &Segment) -> Result<Option<Commit>, std::io::Error> {
    // Commit records follow the blocks they cover: they are found by walking.
    let scan = scan(segment, segment.head.bytes, Depth::Headers)?;
    Ok(scan.commits.last().map(|c| c.commit))
}

/// Adds one step of nothing valid, widening the last hole when it ends here.
fn hole(out: &mut Scan, at: u64, file_bytes: u64, what: &'static str) {
    let end = (at + ALIGN as u64).min(file_bytes);
    match out.holes.last_mut() {
        Some(last) if last.1 == at => last.1 = end,
        _ => out.holes.push((at, end, what)),
    }
}

fn check_block(
    segment: &Segment,
    at: u64,
    block: &BlockHeader,
    depth: Depth,
    buffer: &mut Vec<u8>,
) -> Result<Option<&'static str>, std::io::Error> {
    let mut check = || {
        if depth == Depth::Headers {
            return Ok(());
        }
        segment.body(at, block, buffer)?;
        if depth == Depth::Deep {
            segment.payload(at, block, buffer)?;
            if block.info.beacons.is_some() {
                segment.beacons(at, block, buffer)?;
            }
        }
        Ok(())
    };
    match check() {
        Ok(()) => Ok(None),
        Err(PieceError::Corrupt(what)) => Ok(Some(what)),
        Err(PieceError::Io(e)) => Err(e),
    }
}
