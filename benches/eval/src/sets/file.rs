//! Opens a file of samples: plain, Zstandard or gzip, told apart by its first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads a file through what its first bytes say it is packed with.
///
/// # Errors
/// Whatever opening it says; packed data that is damaged fails while it is read.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    unpack(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?))
}

fn unpack(mut packed: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    // A buffer that was never read from is filled as far as the file goes.
    let start = packed.fill_buf()?;
    if start.starts_with(&ZSTD) {
        let frames = Frames { packed: Some(packed), frame: None };
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, frames)));
    }
    if start.starts_with(&GZIP) {
        let plain = MultiGzDecoder::new(packed);
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, plain)));
    }
    Ok(Box::new(packed))
}

/// All frames of a Zstandard file, one behind the other.
struct Frames<R: BufRead> {
    packed: Option<R>,
    frame: Option<StreamingDecoder<R, FrameDecoder>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frame else {
                let Some(mut packed) = self.packed.take() else { return Ok(0) };
                if packed.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.frame = Some(StreamingDecoder::new(packed).map_err(io::Error::other)?);
                continue;
            };
            let n = frame.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let Some((packed, decoder)) = self.frame.take().map(StreamingDecoder::into_parts)
            else {
                return Ok(0);
            };
            let (said, found) =
                (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
            if said.is_some() && said != found {
                return Err(io::Error::other("the checksum of the packed data is wrong"));
            }
            self.packed = Some(packed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::{Cursor, Write};

    fn plain(packed: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        unpack(Cursor::new(packed))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn all_three_kinds_read_the_same() {
        let text = "{\"a\": 1}\n".repeat(30_000);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let zstd = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        for packed in [text.clone().into_bytes(), gzip.finish().unwrap(), zstd] {
            assert_eq!(plain(packed).unwrap(), text);
        }
        assert_eq!(plain(Vec::new()).unwrap(), "");
    }

    #[test]
    fn frames_one_behind_the_other_are_one_text() {
        let frame = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        assert_eq!(plain([frame("one\n"), frame("two\n")].concat()).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let packed = compress_to_vec("text ".repeat(999).as_bytes(), CompressionLevel::Fastest);
        assert!(plain(packed[..packed.len() - 9].to_vec()).is_err());
        assert!(plain([&GZIP[..], b"no gzip at all"].concat()).is_err());
    }
}
