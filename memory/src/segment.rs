//! One segment file: appended by the writer while it is open, read by anyone, mapped once sealed.
//! Nothing read from it is believed before it is checked.

pub(crate) mod scan;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use crate::{
    BlockId,
    format::{
        checksum,
        record::{BlockHeader, Footer, HEADER, Record, Replaces, Seat, TRAILER, decode_trailer},
        segment::{HEADER_PREFIX, Identity, ReadHeader, SegmentHeader},
    },
    map::{MapChoice, SegmentMap},
    storage::{Storage, StorageFile},
};

/// Folder of the segments, within the store's.
pub(crate) const DIR: &str = "segments";

/// Name of a segment file, within the store's folder.
pub(crate) fn file_name(number: u32) -> String {
    format!("{DIR}/{number:08}.seg")
}

/// Number of a segment, from its name within the folder of segments.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (number > 0 && file_name(number).ends_with(name)).then_some(number)
}

/// Why a piece of a segment was not given.
#[derive(Debug)]
pub(crate) enum PieceError {
    /// The bytes are not what was written.
    Corrupt(&'static str),
    /// They could not be read.
    Io(io::Error),
}

impl From<io::Error> for PieceError {
    fn from(e: io::Error) -> Self {
        // A file that ends too early is damage, not a failing disk.
        if e.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Corrupt("segment ends too early");
        }
        Self::Io(e)
    }
}

/// Where a block's record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockAt {
    pub(crate) id: BlockId,
    pub(crate) offset: u64,
}

/// An open segment whose header has been checked.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) head: ReadHeader,
    map: OnceLock<SegmentMap>,
}

impl Segment {
    pub(crate) fn new(file: Arc<dyn StorageFile>, head: ReadHeader) -> Self {
        Self { file, head, map: OnceLock::new() }
    }

    /// Opens a segment and checks its header against the store's identity and its name.
    pub(crate) fn open(
        storage: &dyn Storage,
        number: u32,
        identity: &Identity,
        write: bool,
    ) -> Result<Self, PieceError> {
        let segment = Self::open_any(storage, number, write)?;
        let header = &segment.head.header;
        if header.identity != *identity {
            return Err(PieceError::Corrupt("segment of another store or model"));
        }
        Ok(segment)
    }

    /// Opens a segment of whatever store and checks its header against itself and its name.
    pub(crate) fn open_any(
        storage: &dyn Storage,
        number: u32,
        write: bool,
    ) -> Result<Self, PieceError> {
        let file = storage.open(&file_name(number), write)?;
        let mut prefix = [0; HEADER_PREFIX];
        file.read_at(&mut prefix, 0)?;
        let bytes = SegmentHeader::bytes_of(&prefix).map_err(PieceError::Corrupt)?;
        let mut header = vec![0; bytes];
        file.read_at(&mut header, 0)?;
        let head = SegmentHeader::decode(&header).map_err(PieceError::Corrupt)?;
        if head.header.segment != number {
            return Err(PieceError::Corrupt("segment under another number"));
        }
        Ok(Self::new(file, head))
    }

    pub(crate) fn number(&self) -> u32 {
        self.head.header.segment
    }

    /// Maps it, when that is wanted and possible. Only for a sealed segment.
    pub(crate) fn map_sealed(&self, choice: MapChoice) -> io::Result<()> {
        if choice.maps_sealed()
            && self.map.get().is_none()
            && let Some(file) = self.file.as_file()
        {
            let map = SegmentMap::new(file)?;
            // Somebody else may have been quicker: theirs is as good.
            let _ = self.map.set(map);
        }
        Ok(())
    }

    /// Whether it is read through a map.
    pub(crate) fn is_mapped(&self) -> bool {
        self.map.get().is_some()
    }

    /// Fills `out` from `offset`: through the map when there is one, with `pread` otherwise.
    fn copy(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        match self.map.get() {
            Some(map) => map.copy(out, offset, self.file.size()?),
            None => self.file.read_at(out, offset),
        }
    }

    fn seat(&self, offset: u64) -> Seat {
        Seat { offset, key: self.head.key }
    }

    /// The checked header of whatever record lies at `offset`.
    pub(crate) fn record(&self, offset: u64) -> Result<Record, PieceError> {
        let mut header = [0; HEADER];
        self.copy(&mut header, offset)?;
        Record::decode(&header, self.seat(offset)).map_err(PieceError::Corrupt)
    }

    /// The checked header of a block.
    pub(crate) fn block(&self, at: BlockAt) -> Result<BlockHeader, PieceError> {
        let wrong = PieceError::Corrupt("another block");
        match self.record(at.offset)? {
            Record::Block(b) if b.info.id == at.id => Ok(b),
            Record::Block(_) | Record::Commit(_) | Record::Footer(_) | Record::Replaces(_) => {
                Err(wrong)
            }
        }
    }

    /// Puts tokens, text and address of a block into `out` (replaced), checked.
    pub(crate) fn body(
        &self,
        offset: u64,
        block: &BlockHeader,
        out: &mut Vec<u8>,
    ) -> Result<(), PieceError> {
        self.piece(out, offset + HEADER as u64, block.body_bytes(), block.body_checksum)
            .map_err(|e| named(e, "body checksum"))
    }

    /// Puts keys and values of a block into `out` (replaced), checked, without padding.
    pub(crate) fn payload(
        &self,
        offset: u64,
        block: &BlockHeader,
        out: &mut Vec<u8>,
    ) -> Result<(), PieceError> {
        let at = offset + (HEADER + block.body_bytes()) as u64;
        self.piece(out, at, block.payload_bytes(), block.payload_checksum)
            .map_err(|e| named(e, "payload checksum"))?;
        out.truncate(block.info.kv_bytes as usize);
        Ok(())
    }

    /// Puts keys and values of a block's beacons into `out` (replaced), checked, without padding.
    pub(crate) fn beacons(
        &self,
        offset: u64,
        block: &BlockHeader,
        out: &mut Vec<u8>,
    ) -> Result<(), PieceError> {
        let at = offset + (HEADER + block.body_bytes() + block.payload_bytes()) as u64;
        self.piece(out, at, block.beacon_bytes(), block.beacon_checksum)
            .map_err(|e| named(e, "beacon checksum"))?;
        out.truncate(block.info.beacons.map_or(0, |b| b.bytes as usize));
        Ok(())
    }

    /// Lengths are checked against the file before anything is allocated or touched.
    fn piece(
        &self,
        out: &mut Vec<u8>,
        offset: u64,
        bytes: usize,
        sum: u64,
    ) -> Result<(), PieceError> {
        let end = offset.checked_add(bytes as u64);
        if end.is_none_or(|end| self.file.size().is_ok_and(|size| end > size)) {
            return Err(PieceError::Corrupt("segment ends too early"));
        }
        out.clear();
        out.resize(bytes, 0);
        self.copy(out, offset)?;
        if checksum(out) == sum { Ok(()) } else { Err(PieceError::Corrupt("")) }
    }

    /// What this segment stands in place of, if it does.
    pub(crate) fn replaces(&self) -> Option<Replaces> {
        match self.record(self.head.bytes) {
            Ok(Record::Replaces(r)) => Some(r),
            Ok(_) | Err(_) => None,
        }
    }

    /// The table of a sealed segment, checked; `None` when it is not sealed.
    pub(crate) fn footer(&self) -> Result<Option<Vec<(BlockId, u64)>>, PieceError> {
        let size = self.file.size()?;
        let Some(at) = size.checked_sub(TRAILER as u64).filter(|at| *at >= self.head.bytes) else {
            return Ok(None);
        };
        let mut trailer = [0; TRAILER];
        self.file.read_at(&mut trailer, at)?;
        let Some(offset) = decode_trailer(&trailer).filter(|o| *o < at) else { return Ok(None) };
        let Ok(Record::Footer(footer)) = self.record(offset) else { return Ok(None) };
        if offset + (HEADER + footer.table_bytes()) as u64 != size {
            return Ok(None);
        }
        self.table(offset, &footer).map(Some)
    }

    /// The table of the footer at `offset`, checked.
    pub(crate) fn table(
        &self,
        offset: u64,
        footer: &Footer,
    ) -> Result<Vec<(BlockId, u64)>, PieceError> {
        let bytes = footer.table_bytes();
        let at = offset + HEADER as u64;
        if at + bytes as u64 > self.file.size()? {
            return Err(PieceError::Corrupt("segment ends too early"));
        }
        let mut table = vec![0; bytes];
        self.file.read_at(&mut table, at)?;
        footer.decode_table(&table).map_err(PieceError::Corrupt)
    }
}

fn named(e: PieceError, what: &'static str) -> PieceError {
    match e {
        PieceError::Corrupt("") => PieceError::Corrupt(what),
        other => other,
    }
}

/// The three parts of a body.
pub(crate) struct Body<'a> {
    pub(crate) tokens: &'a [u8],
    pub(crate) text: &'a [u8],
    pub(crate) address: &'a [u8],
}

/// Splits a checked body; `None` when the header's lengths do not fit it.
pub(crate) fn split_body<'a>(block: &BlockHeader, body: &'a [u8]) -> Option<Body<'a>> {
    let (tokens, rest) = body.split_at_checked(usize::from(block.info.tokens) * 4)?;
    let (text, rest) = rest.split_at_checked(block.text_bytes as usize)?;
    let (address, _padding) = rest.split_at_checked(block.address_bytes as usize)?;
    Some(Body { tokens, text, address })
}
