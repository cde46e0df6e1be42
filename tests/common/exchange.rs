//! Exchanges the keys and values of two stored blocks and nothing else.

use std::path::Path;

use lcedge::memory::{BlockId, BlockRecord, Reader, Store, StoreOptions};

/// Writes a copy of the store in `from` to `to` in which blocks `a` and `b` have each other's K,V.
/// Text, spans, token ids, addresses and the order of sources stay. Both must have as many tokens.
pub(crate) fn exchanged(from: &Path, to: &Path, options: &StoreOptions, a: BlockId, b: BlockId) {
    let reader = Reader::open(from, options).unwrap();
    let mut store = Store::open(to, options).unwrap();
    assert_eq!(reader.block(a).unwrap().tokens, reader.block(b).unwrap().tokens);
    for source in reader.sources() {
        let begun = store.begin_source(&source.name).unwrap().id;
        for id in reader.blocks_of(source.id) {
            let info = reader.block(id).unwrap();
            let other = match id {
                _ if id == a => b,
                _ if id == b => a,
                _ => id,
            };
            let (mut payload, mut tokens) = (Vec::new(), Vec::new());
            let dtype = reader.payload(other, &mut payload).unwrap();
            reader.tokens(id, &mut tokens).unwrap();
            let record = BlockRecord {
                source: begun,
                span: info.span,
                time_unix_ms: info.time_unix_ms,
                tokens: &tokens,
                text: &reader.text(id).unwrap(),
                surprise_nats: info.surprise_nats,
                starts_mid_line: info.starts_mid_line,
                ends_mid_line: info.ends_mid_line,
                dtype,
                payload: &payload,
                beacons: None,
                address: &reader.address(id).unwrap(),
            };
            store.append(&record).unwrap();
        }
    }
    store.commit().unwrap();
}
