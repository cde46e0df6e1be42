//! Sealed segments as mapped memory: the only place of this crate, beside the kernels of the
//! index, that uses `unsafe`.
//!
//! A mapping is a promise about a file that the language cannot check: that nobody truncates it
//! (reading on ends the process with SIGBUS) and that nobody writes it while it is read. Here the
//! promise is kept by what the store does: only sealed segments are mapped; a sealed segment is
//! never written and never truncated by this code, only unlinked; the folder is private to the
//! user; one writer holds the lock. What an outsider does to the files is beyond it. Two things
//! soften that: the length of the file is checked before each copy, and what was copied is checked
//! against its checksum after the copy, never trusted in place. No reference into a mapped segment
//! leaves this file.
//!
//! Pages of the index are mapped too, and searched in place ([`LaneMap`]): they are written under
//! another name, renamed, and then never written again, only unlinked. Whatever their bytes are, a
//! search reads them as numbers: they decide which blocks are looked at, not what is in them.
#![expect(unsafe_code, reason = "memory maps; every block says why it holds")]

use std::{fs::File, io};

use memmap2::{Mmap, UncheckedAdvice};

use crate::index::tile::{LANE, Lane};

/// Whether sealed segments are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapChoice {
    sealed: bool,
}

impl MapChoice {
    /// Map sealed segments. The caller vouches that nothing outside this crate truncates or
    /// rewrites files of the store's folder while it is open: if something does, the process may
    /// end with SIGBUS. Not for network file systems.
    #[must_use]
    pub const fn sealed_segments() -> Self {
        Self { sealed: true }
    }

    /// Read everything with `pread`; a file that shrinks is then an error value.
    #[must_use]
    pub const fn never() -> Self {
        Self { sealed: false }
    }

    /// Whether sealed segments are to be mapped.
    #[must_use]
    pub const fn maps_sealed(self) -> bool {
        self.sealed
    }
}

/// A sealed segment, mapped whole and read-only.
#[derive(Debug)]
pub(crate) struct SegmentMap {
    map: Mmap,
    page: usize,
}

impl SegmentMap {
    /// Maps a sealed segment.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the file is a sealed segment (see the head of this file): this code never
        // writes or truncates it again, and bytes are copied out and checked before use.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self { map, page: page_bytes() })
    }

    /// Bytes mapped.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Copies bytes out and gives their pages back, so that the resident size stays flat.
    /// `file_bytes` is the length of the file now: nothing past it is touched.
    pub(crate) fn copy(&self, out: &mut [u8], offset: u64, file_bytes: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end as u64 > file_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = self.map.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        self.give_back(start, end);
        Ok(())
    }

    /// Lets go of the pages around a range. They stay in the system's page cache. One fault maps as
    /// much as the file system cached together, up to [`FAULT_BYTES`] around it: all of that goes,
    /// or what is resident would grow to the whole file by and by.
    fn give_back(&self, start: usize, end: usize) {
        let granule = FAULT_BYTES.max(self.page);
        let from = start - start % granule;
        let to = end.next_multiple_of(granule).min(self.map.len());
        // SAFETY: `DontNeed` on a shared, read-only mapping of a file drops page table entries
        // only; the next access reads the same bytes from the file again.
        let advised =
            unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from) };
        // Advice: when the system does not take it, pages stay resident a little longer.
        drop(advised);
    }
}

/// A page of the index, mapped whole and read-only.
#[derive(Debug)]
pub(crate) struct LaneMap {
    map: Mmap,
}

impl LaneMap {
    /// Maps a page of the index.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the file has its final name, under which this code never writes or truncates it
        // (see the head of this file).
        let map = unsafe { Mmap::map(file)? };
        Ok(Self { map })
    }

    /// Lets go of all of it. It stays in the system's page cache.
    pub(crate) fn give_back(&self) {
        // SAFETY: `DontNeed` on a shared, read-only mapping of a file drops page table entries
        // only; the next access, also of somebody who is reading now, reads the same bytes again.
        let advised = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        // Advice: when the system does not take it, it stays resident a little longer.
        drop(advised);
    }

    /// Its whole lanes.
    pub(crate) fn lanes(&self) -> &[Lane] {
        let at = self.map.as_ptr().cast::<Lane>();
        debug_assert!(at.is_aligned(), "a mapping begins with a page");
        // SAFETY: the mapping begins at a page boundary, which is a multiple of a lane's 64; it has
        // at least as many bytes as these lanes; a lane is bytes and takes any value; the mapping
        // lives as long as the borrow.
        unsafe { std::slice::from_raw_parts(at, self.map.len() / LANE) }
    }
}

/// Most bytes that one page fault maps: the largest folio of the page cache.
const FAULT_BYTES: usize = 2 << 20;

fn page_bytes() -> usize {
    // SAFETY: `sysconf` has no preconditions; an unknown name gives -1.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|b| b.is_power_of_two()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bytes_are_copied_and_lengths_are_checked_first() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|i| i as u8).collect();
        file.write_all(&bytes).unwrap();
        let map = SegmentMap::new(&file).unwrap();
        assert_eq!(map.len(), bytes.len());
        let mut out = vec![0; 9000];
        for offset in [0, 1, 4095, 11_000] {
            map.copy(&mut out, offset, 20_000).unwrap();
            assert_eq!(out, bytes[offset as usize..offset as usize + 9000]);
        }
        assert!(map.copy(&mut out, 11_001, 20_000).is_err());
        assert!(map.copy(&mut out, u64::MAX, 20_000).is_err());
        file.set_len(4096).unwrap();
        assert!(map.copy(&mut out, 0, file.metadata().unwrap().len()).is_err());
    }
}
