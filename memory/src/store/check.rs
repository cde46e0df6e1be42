//! What is taken into a store: the same for what is appended and for what is imported.

use crate::{AddressLayout, AppendError, BlockRecord, Geometry, Progress, SourceError};

/// Longest text or payload of one block.
const PART_BYTES_MAX: usize = 1 << 30;
/// Largest number of bytes or lines: the catalogue has signed numbers.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Refuses a block that a store of this shape does not take.
pub(crate) fn record(
    r: &BlockRecord<'_>,
    geometry: Geometry,
    layout: AddressLayout,
) -> Result<(), AppendError> {
    let max = geometry.block_tokens;
    if r.tokens.len() > usize::from(max) {
        return Err(AppendError::Tokens { tokens: r.tokens.len(), max });
    }
    let beacons = r.beacons.map_or(0, |b| b.payload.len());
    let parts = [("text", r.text.len()), ("payload", r.payload.len()), ("beacons", beacons)];
    for (what, bytes) in parts {
        if bytes > PART_BYTES_MAX {
            return Err(AppendError::TooLong { what, bytes });
        }
    }
    if !r.span.is_valid() {
        return Err(AppendError::Span { span: r.span });
    }
    if let Some(b) = r.beacons {
        let (ratio, count, bytes) = (b.ratio, b.count, b.payload.len());
        if count == 0 || ratio == 0 || count > max || bytes == 0 {
            return Err(AppendError::Beacons { ratio, count, bytes });
        }
    }
    if !r.surprise_nats.is_finite() {
        return Err(AppendError::Surprise { nats: r.surprise_nats });
    }
    Ok(r.address.check(layout)?)
}

/// Refuses progress that could not be read back.
pub(crate) const fn progress(p: &Progress) -> Result<(), SourceError> {
    let Progress { absorbed_bytes, absorbed_lines, .. } = *p;
    if absorbed_bytes > NUMBER_MAX || absorbed_lines > NUMBER_MAX {
        return Err(SourceError::Progress { absorbed_bytes, absorbed_lines });
    }
    Ok(())
}

/// Whether a version of a source leaves room for newer ones.
pub(crate) const fn is_version(version: u32) -> bool {
    version >= 1 && version <= i32::MAX as u32
}
