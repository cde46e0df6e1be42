//! The external file that holds a graph's tensors: each begins on a page, so that it can be mapped.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Tensors begin at multiples of this, in bytes (a page of memory).
const ALIGNMENT: u64 = 4096;

/// Where a tensor lies in the external file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
}

impl Place {
    /// A part of this tensor.
    pub(crate) fn part(self, offset: u64, length: u64) -> Self {
        assert!(offset + length <= self.length, "a part lies within its tensor");
        Self { offset: self.offset + offset, length }
    }
}

/// Writes the external file from front to back.
#[derive(Debug)]
pub(crate) struct DataFile {
    out: BufWriter<File>,
    at: u64,
    begun: u64,
}

impl DataFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let out = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
        Ok(Self { out, at: 0, begun: 0 })
    }

    /// Pads to the next page; what is written from here on is one tensor.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let next = self.at.next_multiple_of(ALIGNMENT);
        io::copy(&mut io::Read::take(io::repeat(0), next - self.at), &mut self.out)?;
        self.at = next;
        self.begun = next;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn write_f32(&mut self, values: &[f32]) -> io::Result<()> {
        for value in values {
            self.out.write_all(&value.to_le_bytes())?;
        }
        self.at += size_of_val(values) as u64;
        Ok(())
    }

    /// Where the tensor that was begun last lies.
    pub(crate) fn place(&self) -> Place {
        Place { offset: self.begun, length: self.at - self.begun }
    }

    pub(crate) fn written(&self) -> u64 {
        self.at
    }

    /// Makes the file durable.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_begin_on_pages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        let mut data = DataFile::create(&path).unwrap();
        data.begin().unwrap();
        data.write(&[1, 2, 3]).unwrap();
        assert_eq!(data.place(), Place { offset: 0, length: 3 });
        data.begin().unwrap();
        data.write_f32(&[1.0, -2.0]).unwrap();
        let place = data.place();
        assert_eq!(place, Place { offset: 4096, length: 8 });
        assert_eq!(place.part(4, 4).offset, 4100);
        assert_eq!(data.finish().unwrap(), 4104);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[4100..], (-2.0_f32).to_le_bytes());
    }
}
