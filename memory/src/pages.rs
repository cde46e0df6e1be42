//! Files of the index's pages: made from blocks, pointed to by the catalogue, and made again when
//! missing or wrong.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    SyncPolicy,
    catalogue::PageRow,
    format::segment::Identity,
    index::{
        page::{Lanes, NotAPage, Page, encode, lanes_of_file},
        tile::LANE,
    },
    shared::Shared,
    snapshot::TailEntry,
};

/// Folder of the pages, within the store's.
pub(crate) const DIR: &str = "index";
const BYTES_MAX: u64 = 1 << 30;

/// Name of a page file, within the store's folder.
pub(crate) fn file_name(number: u32) -> String {
    format!("{DIR}/{number:08}.idx")
}

/// Number of a page, from its name within the folder of pages.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".idx")?.parse().ok()?;
    (number > 0 && file_name(number).ends_with(name)).then_some(number)
}

/// The row that points to a page.
pub(crate) fn row(page: &Page) -> PageRow {
    PageRow {
        number: page.number(),
        id_first: page.id_first(),
        id_last: page.id_last(),
        blocks: page.len() as u32,
        key: page.key(),
    }
}

fn page_of(shared: &Shared, lanes: Lanes) -> Result<Page, NotAPage> {
    let Identity { store, address, .. } = shared.identity;
    Page::new(lanes, store, address, &shared.gauge)
}

/// Bytes of all pages of the index of a store in this folder; 0 where there is none. Looks at
/// lengths only, so that a plan can be made before a store is opened.
#[must_use]
pub fn index_bytes(dir: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(dir.join(DIR)) else { return 0 };
    let is_page = |name: &std::ffi::OsStr| name.to_str().and_then(number_of).is_some();
    let files = files.flatten().filter(|f| is_page(&f.file_name()));
    files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

/// Opens the page that a row points to; `None` when it is missing or not as it should be.
pub(crate) fn load(shared: &Shared, row: &PageRow) -> Option<Arc<Page>> {
    let file = shared.storage.open(&file_name(row.number), false).ok()?;
    let lanes = lanes_of_file(&*file, shared.map, BYTES_MAX).ok()?;
    let page = page_of(shared, lanes).ok()?;
    (self::row(&page) == *row).then(|| Arc::new(page))
}

/// A page of these blocks in RAM, for those who do not write.
pub(crate) fn in_ram(shared: &Shared, blocks: &[&TailEntry]) -> Option<Arc<Page>> {
    let lanes = encode(0, shared.identity.store, shared.identity.address, blocks);
    let lanes = Lanes::Ram(lanes.into());
    page_of(shared, lanes).ok().map(Arc::new)
}

/// Writes a page of these blocks and opens it. Nothing points to it yet. Its number is never given
/// again.
pub(crate) fn write(shared: &Shared, blocks: &[&TailEntry]) -> Result<Arc<Page>, io::Error> {
    let number = shared.next_page.fetch_add(1, Ordering::Relaxed);
    let lanes = encode(number, shared.identity.store, shared.identity.address, blocks);
    let (name, new) = (file_name(number), format!("{}.new", file_name(number)));
    let storage = &*shared.storage;
    storage.remove(&new)?;
    let made = storage.create(&new).and_then(|file| {
        let mut bytes = Vec::with_capacity(lanes.len() * LANE);
        for lane in &lanes {
            bytes.extend_from_slice(&lane.0);
        }
        drop(lanes);
        file.append(&bytes, 0)?;
        if shared.sync != SyncPolicy::None {
            file.sync(true)?;
        }
        storage.rename(&new, &name)?;
        let file = storage.open(&name, false)?;
        lanes_of_file(&*file, shared.map, BYTES_MAX)
    });
    let page = made.and_then(|lanes| page_of(shared, lanes).map_err(|e| io::Error::other(e.0)));
    page.map(Arc::new).inspect_err(|_| {
        // Half a file helps nobody; the error is the one that is given.
        let _ = storage.remove(&new);
        let _ = storage.remove(&name);
    })
}
