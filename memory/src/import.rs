//! Taking in a file that an export wrote: all of it, or nothing.

mod frames;
pub(crate) mod mark;

use std::{collections::BTreeMap, path::Path};

use self::{frames::Frames, mark::Mark};
use crate::{
    BeaconRecord, BlockAddress, BlockRecord, ExportError, Exported, Geometry, KvDtype, SourceId,
    Store,
    export::{Spans, io_error},
    format::{
        export::{Block, Frame, Head, Limits, Source},
        segment::{Identity, NAME_BYTES_MAX},
    },
    store::check as parts,
};

/// Blocks of one commit of an import.
const COMMIT_BLOCKS: u64 = 64;

/// Bytes that the keys and values of so many tokens take in an encoding.
pub type PayloadBytes = fn(KvDtype, Geometry, usize) -> usize;

/// What an import is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions<'a> {
    /// Put before the name of every source.
    pub prefix: &'a str,
    /// What keys and values must be long; a file with others is damaged. Without it only a limit is
    /// kept: what the bytes mean is not known here.
    pub payload_bytes: Option<PayloadBytes>,
}

impl Store {
    /// Takes in a file that [`Reader::export`](crate::Reader::export) wrote. All of it is checked
    /// before anything is taken. Interrupted, or after an error, nothing of it stays: what was
    /// taken is removed at once or when the store is next opened. What was appended before is
    /// committed first.
    ///
    /// Blocks of another model, geometry or address layout come in as text, without tokens: they
    /// are encoded again when they are recalled. Versions of sources keep their numbers; the
    /// largest of a name is the one that counts, unless it was superseded where it was exported.
    /// Control characters in names are written out.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn import(
        &mut self,
        path: &Path,
        options: &ImportOptions<'_>,
    ) -> Result<Exported, ExportError> {
        let mut frames = Frames::open(path)?;
        let checked = check(&mut frames, options)?;
        for source in self.reader().sources() {
            if checked.versions.contains_key(&source.name) {
                return Err(ExportError::SourceExists { name: source.name });
            }
        }
        frames.rewind()?;
        self.commit()?;
        let mark = Mark { first_source: self.next_source(), sources: checked.done.sources as u32 };
        self.set_mark(Some(&mark)).map_err(|(path, e)| io_error(&path)(e))?;
        let taken = self.take_frames(&mut frames, options);
        let taken = taken.and_then(|done| {
            self.set_mark(None).map_err(|(path, e)| io_error(&path)(e))?;
            Ok(done)
        });
        if taken.is_err() {
            // The error is the one that is given. What stays now goes at the next opening.
            let _ = self.undo_import(&mark);
        }
        taken
    }

    /// Checks a file as [`import`](Self::import) does, without a store.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn check_import(path: &Path, options: &ImportOptions<'_>) -> Result<Exported, ExportError> {
        Ok(check(&mut Frames::open(path)?, options)?.done)
    }

    fn take_frames(
        &mut self,
        frames: &mut Frames,
        options: &ImportOptions<'_>,
    ) -> Result<Exported, ExportError> {
        let Some(Frame::Head(head)) = frames.next()? else { return Ok(Exported::default()) };
        let own = self.identity();
        let same = Identity { store: own.store, ..head.identity } == own;
        let mut done = Exported::default();
        let mut here: Option<(SourceId, Source)> = None;
        while let Some(frame) = frames.next()? {
            match frame {
                Frame::Head(_) => {}
                Frame::Source(source) => {
                    self.end_source(here.take())?;
                    let name = name_of(&source, options);
                    let id = self.put_version(&name, source.version)?;
                    done.sources += 1;
                    here = Some((id, source));
                }
                Frame::Block(block) => {
                    let Some((source, _)) = &here else { continue };
                    self.append(&record(&block, *source, same))?;
                    done.blocks += 1;
                    done.kv_blocks += u64::from(same && block.info.kv.is_some());
                    if done.blocks.is_multiple_of(COMMIT_BLOCKS) {
                        self.commit()?;
                    }
                }
                Frame::End { .. } => break,
            }
        }
        self.end_source(here)?;
        done.bytes = frames.at;
        Ok(done)
    }

    fn end_source(&mut self, source: Option<(SourceId, Source)>) -> Result<(), ExportError> {
        if let Some((id, source)) = source {
            self.set_progress(id, source.progress)?;
            if source.superseded {
                self.supersede(id);
            }
            self.commit()?;
        }
        Ok(())
    }
}

/// The name that a source gets. No terminal takes a part of it for a command.
fn name_of(source: &Source, options: &ImportOptions<'_>) -> String {
    let mut name = String::with_capacity(options.prefix.len() + source.name.len());
    for c in options.prefix.chars().chain(source.name.chars()) {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            name.extend(c.escape_default());
        } else {
            name.push(c);
        }
    }
    name
}

/// A block as it is appended.
fn record(block: &Block, source: SourceId, same: bool) -> BlockRecord<'_> {
    static NONE: BlockAddress = BlockAddress { heads: Vec::new() };
    let info = &block.info;
    let beacons = info.beacons.filter(|_| same).map(|b| BeaconRecord {
        ratio: b.ratio,
        count: b.count,
        dtype: b.dtype,
        payload: &block.beacons,
    });
    BlockRecord {
        source,
        span: info.span,
        time_unix_ms: info.time_unix_ms,
        tokens: if same { &block.tokens } else { &[] },
        text: &block.text,
        surprise_nats: info.surprise_nats,
        starts_mid_line: info.starts_mid_line,
        ends_mid_line: info.ends_mid_line,
        dtype: info.kv.unwrap_or(KvDtype::F16),
        payload: if same { &block.payload } else { &[] },
        beacons,
        address: if same { &block.address } else { &NONE },
    }
}

/// What was found in a file.
#[derive(Default)]
struct Checked {
    done: Exported,
    /// Names that its sources get, with the newest version of each.
    versions: BTreeMap<String, u32>,
}

/// Reads a file from its beginning to its end.
fn check(frames: &mut Frames, options: &ImportOptions<'_>) -> Result<Checked, ExportError> {
    let mut out = Checked::default();
    let mut head: Option<Head> = None;
    let mut spans = Spans::default();
    let mut ended = false;
    loop {
        let (path, at) = (frames.path.clone(), frames.at);
        let damaged = |what| ExportError::Damaged { path: path.clone(), at, what };
        let Some(frame) = frames.next()? else { break };
        if ended || head.is_some() == matches!(frame, Frame::Head(_)) {
            return Err(damaged("parts in another order"));
        }
        match (frame, &head) {
            (Frame::Head(found), _) => {
                frames.limits = Some(Limits::of(&found.identity).ok_or_else(|| damaged("shape"))?);
                head = Some(found);
            }
            (Frame::Source(source), _) => {
                check_source(&source, options, &mut out.versions).map_err(damaged)?;
                spans = Spans::default();
                out.done.sources += 1;
            }
            (Frame::Block(block), Some(head)) if out.done.sources > 0 => {
                let limits = frames.limits.as_ref();
                check_block(&block, head, limits, options).map_err(damaged)?;
                if !spans.take(&block.info.span) {
                    return Err(damaged("the same bytes in two blocks"));
                }
                out.done.blocks += 1;
                out.done.kv_blocks += u64::from(block.info.kv.is_some());
            }
            (Frame::Block(_), _) => return Err(damaged("block without a source")),
            (Frame::End { blocks }, _) if blocks == out.done.blocks => ended = true,
            (Frame::End { .. }, _) => return Err(damaged("number of blocks")),
        }
    }
    if !ended {
        let what = "it ends too early";
        return Err(ExportError::Damaged { path: frames.path.clone(), at: frames.at, what });
    }
    out.done.bytes = frames.at;
    Ok(out)
}

fn check_source(
    source: &Source,
    options: &ImportOptions<'_>,
    versions: &mut BTreeMap<String, u32>,
) -> Result<(), &'static str> {
    let name = name_of(source, options);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("source name");
    }
    parts::progress(&source.progress).map_err(|_| "progress of a source")?;
    let newer = versions.get(&name).is_none_or(|before| source.version > *before);
    if !newer || !parts::is_version(source.version) {
        return Err("version of a source");
    }
    versions.insert(name, source.version);
    Ok(())
}

/// Whether a block is one of the file's own shape.
fn check_block(
    block: &Block,
    head: &Head,
    limits: Option<&Limits>,
    options: &ImportOptions<'_>,
) -> Result<(), &'static str> {
    let Identity { geometry, address, .. } = head.identity;
    let limits = limits.ok_or("parts in another order")?;
    parts::record(&record(block, SourceId(0), true), geometry, address)
        .map_err(|_| "what a block says of itself")?;
    if block.text.len() as u64 > limits.text {
        return Err("length of a text");
    }
    let right = |dtype, tokens: usize, bytes: &[u8]| match options.payload_bytes {
        Some(f) => f(dtype, geometry, tokens) == bytes.len(),
        None => bytes.len() as u64 <= limits.kv,
    };
    if let Some(dtype) = block.info.kv
        && !right(dtype, block.tokens.len(), &block.payload)
    {
        return Err("length of keys and values");
    }
    if let Some(b) = block.info.beacons {
        let most = geometry.block_tokens.div_ceil(b.ratio.max(1));
        if b.count > most || !right(b.dtype, b.count.into(), &block.beacons) {
            return Err("beacons of a block");
        }
    }
    Ok(())
}
