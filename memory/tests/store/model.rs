//! Random sessions against a model: a map from source and ordinal to the block's number.

use std::collections::{BTreeMap, BTreeSet};

use crate::helpers::{Sample, options, progress};
use lcedge_memory::{
    BlockId, Forget, Reader, SourceId, Store, StoreOptions, Strictness, rebuild, verify,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append { source: usize, n: u64 },
    Progress { source: usize },
    Commit,
    Seal,
    Forget { at: usize },
    Compact,
    NewVersion { source: usize },
    Reopen,
    Rebuild,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3_usize, 0..500_u64).prop_map(|(source, n)| Step::Append { source, n }),
        3 => (0..3_usize).prop_map(|source| Step::Progress { source }),
        4 => Just(Step::Commit),
        1 => Just(Step::Seal),
        2 => any::<usize>().prop_map(|at| Step::Forget { at }),
        1 => Just(Step::Compact),
        1 => (0..3_usize).prop_map(|source| Step::NewVersion { source }),
        2 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ]
}

/// All that should be in the store.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// Source, number that decides all, ordinal.
    blocks: BTreeMap<BlockId, (SourceId, u64, u32)>,
    /// The next ordinal.
    ordinals: BTreeMap<SourceId, u32>,
    absorbed: BTreeMap<SourceId, u64>,
}

impl Model {
    /// A source that is begun the first time in a run: what no progress covers goes.
    fn begin(&mut self, source: SourceId) -> bool {
        let absorbed = progress(self.absorbed.get(&source).copied().unwrap_or(0)).absorbed_bytes;
        let before = self.blocks.len();
        self.blocks
            .retain(|_, (of, n, _)| *of != source || Sample::new(*n).span.byte_start < absorbed);
        self.blocks.len() < before
    }
}

fn check(reader: &Reader, model: &Model) {
    assert_eq!(reader.blocks(), model.blocks.len());
    for (id, (source, n, ordinal)) in &model.blocks {
        Sample::new(*n).assert_is(reader, *id);
        let info = reader.block(*id).unwrap();
        assert_eq!((info.source, info.ordinal), (*source, *ordinal));
    }
    for (source, n) in &model.absorbed {
        assert_eq!(reader.source(*source).unwrap().progress, progress(*n));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_store_does_what_a_map_does(steps in prop::collection::vec(step(), 1..60), small: bool) {
        let dir = tempfile::tempdir().unwrap();
        let bytes = if small { 2500 } else { 1 << 20 };
        let options = StoreOptions { segment_bytes_max: bytes, ..options() };
        let mut store = Some(Store::open(dir.path(), &options).unwrap());
        let (mut now, mut durable) = (Model::default(), Model::default());
        let mut begun: BTreeSet<SourceId> = BTreeSet::new();
        for step in steps {
            let open = store.as_mut().unwrap();
            match step {
                Step::Append { source, n } => {
                    let id = open.begin_source(["a", "b", "c"][source]).unwrap().id;
                    if begun.insert(id) && now.begin(id) {
                        durable = now.clone();
                    }
                    // No two blocks of a source have the same bytes.
                    if now.blocks.values().any(|b| (b.0, b.1) == (id, n)) {
                        continue;
                    }
                    let block = open.append(&Sample::new(n).record(id)).unwrap();
                    let ordinal = now.ordinals.entry(id).or_default();
                    prop_assert!(now.blocks.insert(block, (id, n, *ordinal)).is_none());
                    *ordinal += 1;
                }
                Step::Progress { source } => {
                    let id = open.begin_source(["a", "b", "c"][source]).unwrap().id;
                    if begun.insert(id) && now.begin(id) {
                        durable = now.clone();
                    }
                    let n = now.ordinals.values().map(|n| u64::from(*n)).sum();
                    open.set_progress(id, progress(n)).unwrap();
                    now.absorbed.insert(id, n);
                }
                Step::NewVersion { source } => {
                    begun.insert(open.new_version(["a", "b", "c"][source]).unwrap().id);
                }
                Step::Commit => {
                    open.commit().unwrap();
                    durable = now.clone();
                }
                Step::Forget { at } => {
                    let ids: Vec<BlockId> = now.blocks.keys().copied().collect();
                    if let Some(id) = ids.get(at % ids.len().max(1)) {
                        open.forget(&Forget::Blocks(&[*id]), Strictness::Passage).unwrap();
                        now.blocks.remove(id);
                        durable = now.clone();
                    }
                }
                Step::Compact => {
                    let done = open.compact().unwrap();
                    prop_assert!(done.pages_after <= done.pages_before);
                    durable = now.clone();
                }
                Step::Seal => {
                    open.seal().unwrap();
                    durable = now.clone();
                }
                Step::Reopen | Step::Rebuild => {
                    drop(store.take());
                    if matches!(step, Step::Rebuild) {
                        rebuild(dir.path()).unwrap();
                    }
                    let again = Store::open(dir.path(), &options).unwrap();
                    prop_assert!(again.problems().is_empty(), "{:?}", again.problems());
                    store = Some(again);
                    now = durable.clone();
                    begun.clear();
                }
            }
            check(&store.as_ref().unwrap().reader(), &now);
        }
        drop(store);
        check(&Reader::open(dir.path(), &options).unwrap(), &durable);
        let report = verify(dir.path(), true).unwrap();
        prop_assert!(report.ok(), "{:?}", report);
    }
}
