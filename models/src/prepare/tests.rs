use super::*;
use crate::zoo;

fn prepared(cache: &Path, kind: WeightKind) -> Result<Prepared, PrepareError> {
    let source = ModelSource::resolve("stories260k").unwrap();
    prepare(&source, &PrepareOptions::offline(kind, cache), &mut |_| {})
}

#[test]
fn a_model_is_prepared_once_and_opened_again() {
    let cache = tempfile::tempdir().unwrap();
    let first = prepared(cache.path(), WeightKind::F32).unwrap();
    assert_eq!((first.card.layers, first.card.kv_heads, first.card.head_dim), (5, 4, 8));
    assert_eq!((first.card.bos, &first.card.eos), (Some(1), &vec![2]));
    assert_eq!(first.card.positions, 32_768);
    assert!(first.card.notes.is_empty());
    let source = ModelSource::resolve("stories260k").unwrap();
    let options = PrepareOptions::offline(WeightKind::F32, cache.path());
    let again = prepare(&source, &options, &mut |p| panic!("{p:?}")).unwrap();
    assert_eq!(first, again);
    let lossy = prepared(cache.path(), WeightKind::Int4).unwrap();
    assert_ne!(lossy.card.fingerprint, first.card.fingerprint);
    assert!(lossy.card.notes[0].contains("F32"));
    assert_eq!(first.load_tokenizer().unwrap().size(), 512);
}

#[test]
fn the_same_model_by_path_has_the_same_fingerprint() {
    let cache = tempfile::tempdir().unwrap();
    let named = prepared(cache.path(), WeightKind::F32).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in zoo::bundled("stories260k") {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let source = ModelSource::resolve(folder.path().to_str().unwrap()).unwrap();
    let options = PrepareOptions::offline(WeightKind::F32, cache.path());
    let by_path = prepare(&source, &options, &mut |_| {}).unwrap();
    assert_eq!(by_path.card.fingerprint, named.card.fingerprint);
    assert!(by_path.card.query_layers.is_empty() && by_path.card.retrieval_heads.is_empty());
}

/// A model that claims a context of millions gets no table of gigabytes.
#[test]
fn a_claimed_context_is_used_as_far_as_there_are_positions() {
    let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, bytes) in zoo::bundled("stories260k") {
        let mut bytes = bytes.to_vec();
        if *name == "config.json" {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            config["max_position_embeddings"] = (1 << 24).into();
            bytes = serde_json::to_vec(&config).unwrap();
        }
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let source = ModelSource::resolve(folder.path().to_str().unwrap()).unwrap();
    let options = PrepareOptions::offline(WeightKind::F32, cache.path());
    let card = prepare(&source, &options, &mut |_| {}).unwrap().card;
    assert_eq!((card.context, card.positions), (131_072, 131_072));
    assert!(card.notes[0].contains("16777216"), "{:?}", card.notes);
}

#[test]
fn a_damaged_folder_is_prepared_anew() {
    let cache = tempfile::tempdir().unwrap();
    let first = prepared(cache.path(), WeightKind::F32).unwrap();
    std::fs::write(&first.data, "cut").unwrap();
    assert!(matches!(Prepared::open(&first.dir), Err(OpenPreparedError::Size { .. })));
    assert_eq!(prepared(cache.path(), WeightKind::F32).unwrap(), first);
    Prepared::open(&first.dir).unwrap();
}

#[test]
fn many_at_once_end_with_one_folder() {
    let cache = tempfile::tempdir().unwrap();
    let all: Vec<Prepared> = std::thread::scope(|scope| {
        let run = || prepared(cache.path(), WeightKind::Int8).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(all.windows(2).all(|w| w[0] == w[1]));
    let left = std::fs::read_dir(models_dir(cache.path())).unwrap().flatten();
    let names: Vec<_> = left.map(|e| e.file_name()).filter(|n| n != ".lock").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn what_is_not_here_is_not_fetched_offline() {
    let cache = tempfile::tempdir().unwrap();
    let source = ModelSource::resolve(zoo::DEFAULT).unwrap();
    let options = PrepareOptions::offline(WeightKind::F32, cache.path());
    let error = prepare(&source, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PrepareError::Fetch(FetchError::Offline { .. })), "{error}");
}

#[test]
fn heads_of_other_models_are_refused() {
    let cache = tempfile::tempdir().unwrap();
    let source = ModelSource::resolve("stories260k").unwrap();
    let mut options = PrepareOptions::offline(WeightKind::F32, cache.path());
    options.retrieval_heads = Some(vec![RetrievalHead { layer: 2, kv_head: 9 }]);
    let error = prepare(&source, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PrepareError::RetrievalHead { kv_head: 9, .. }), "{error}");
    options.retrieval_heads = None;
    options.query_layers = Some(vec![7]);
    let error = prepare(&source, &options, &mut |_| {}).unwrap_err();
    let expected = matches!(error, PrepareError::Build(BuildError::QueryLayer { layer: 7, .. }));
    assert!(expected, "{error}");
}

#[test]
fn calibrated_heads_are_kept() {
    let cache = tempfile::tempdir().unwrap();
    let mut first = prepared(cache.path(), WeightKind::F32).unwrap();
    let heads = [RetrievalHead { layer: 3, kv_head: 1 }];
    first.set_retrieval_heads(&heads).unwrap();
    assert_eq!(Prepared::open(&first.dir).unwrap().card.retrieval_heads, heads);
}

/// A memory changes what is computed: its name, its fingerprint and its card say so.
#[test]
fn a_memory_is_woven_in_and_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let stock = prepared(cache.path(), WeightKind::F32).unwrap();
    assert!(stock.card.memory.is_none());
    let weights = Weights::open(&cache.path().join("files").join(file_of(cache.path()))).unwrap();
    let memory = crate::memory::tests::folder_for(weights.decoder());
    let source = ModelSource::resolve("stories260k").unwrap();
    let mut options = PrepareOptions::offline(WeightKind::F32, cache.path());
    options.memory = MemoryChoice::Folder(memory.path().to_path_buf());
    let mut hashed = false;
    let with = prepare(&source, &options, &mut |p| hashed |= p == Progress::Hashing).unwrap();
    assert!(hashed);
    assert_ne!(with.card.fingerprint, stock.card.fingerprint);
    assert_ne!(with.dir, stock.dir);
    assert_eq!(with.card.memory.as_ref().unwrap().system, "S");
    assert!(with.card.notes[0].contains("woven in"));
    let again = prepare(&source, &options, &mut |p| panic!("{p:?}")).unwrap();
    assert_eq!(again, with);
    // The same tensors with another text: other words, the same K and V.
    let path = memory.path().join("memory.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"S\"", "\"T\"")).unwrap();
    let other = prepare(&source, &options, &mut |_| {}).unwrap();
    assert_eq!(other.card.fingerprint, with.card.fingerprint);
    assert_eq!(other.card.memory.unwrap().system, "T");
    assert_ne!(other.dir, with.dir);
    options.memory = MemoryChoice::Folder(cache.path().join("nothing"));
    let error = prepare(&source, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PrepareError::Memory(MemoryError::Io { .. })), "{error}");
}

/// The gist's own graph is part of what makes a prepared folder whole.
#[test]
fn a_gist_is_prepared_beside_the_decoder() {
    let cache = tempfile::tempdir().unwrap();
    prepared(cache.path(), WeightKind::F32).unwrap();
    let weights = Weights::open(&cache.path().join("files").join(file_of(cache.path()))).unwrap();
    let memory = crate::memory::tests::folder_with_gist(weights.decoder());
    let source = ModelSource::resolve("stories260k").unwrap();
    for kind in [WeightKind::F32, WeightKind::Int8] {
        let mut options = PrepareOptions::offline(kind, cache.path());
        options.memory = MemoryChoice::Folder(memory.path().to_path_buf());
        let first = prepare(&source, &options, &mut |_| {}).unwrap();
        assert_eq!(first.card.memory.as_ref().unwrap().gist.unwrap().slots, 3);
        let data = first.dir.join("recurrent.bin");
        assert!(first.dir.join("recurrent.onnx").is_file() && data.is_file());
        std::fs::remove_file(&data).unwrap();
        assert!(matches!(Prepared::open(&first.dir), Err(OpenPreparedError::Size { .. })));
        assert_eq!(prepare(&source, &options, &mut |_| {}).unwrap(), first);
        assert!(data.is_file());
    }
}

/// The folder of the written-out model.
fn file_of(cache: &Path) -> std::ffi::OsString {
    let entries = std::fs::read_dir(cache.join("files")).unwrap().flatten();
    let mut names = entries.map(|e| e.file_name()).filter(|n| n != ".lock");
    names.next().unwrap()
}
