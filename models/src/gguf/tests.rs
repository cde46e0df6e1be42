use super::*;

pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    fn string(&mut self, s: &str) {
        self.0.extend((s.len() as u64).to_le_bytes());
        self.0.extend(s.as_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.0.extend(n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }
}

fn small() -> Vec<u8> {
    let mut w = Writer(b"GGUF".to_vec());
    w.u32(3);
    w.u64(2);
    w.u64(3);
    w.string("general.architecture");
    w.u32(8);
    w.string("llama");
    w.string("n");
    w.u32(4);
    w.u32(7);
    w.string("words");
    w.u32(9);
    w.u32(8);
    w.u64(2);
    w.string("a");
    w.string("b");
    w.string("t");
    w.u32(2);
    w.u64(32);
    w.u64(2);
    w.u32(3);
    w.u64(0);
    w.string("k");
    w.u32(1);
    w.u64(256);
    w.u32(12);
    w.u64(64);
    while !w.0.len().is_multiple_of(32) {
        w.0.push(0);
    }
    w.0.extend([0; 64 + 144]);
    w.0
}

fn opened(bytes: &[u8]) -> Result<Gguf, GgufError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    Gguf::open(&path)
}

#[test]
fn a_small_file_reads_back() {
    let g = opened(&small()).unwrap();
    assert_eq!(g.text("general.architecture").unwrap(), Some("llama"));
    assert_eq!(g.integer("n").unwrap(), Some(7));
    assert_eq!(g.get("words").unwrap().texts().unwrap(), ["a", "b"]);
    assert!(matches!(g.text("n"), Err(GgufError::Metadata { .. })));
    let t = &g.tensors()["t"];
    assert_eq!((t.shape.as_slice(), &t.encoding), (&[2, 32][..], &Ok(Encoding::Q4_1)));
    assert_eq!(g.tensors()["k"].encoding, Err("Q4_K".into()));
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_a_file_never_a_panic() {
    let whole = small();
    for len in 0..whole.len() - 144 - 24 {
        assert!(opened(&whole[..len]).is_err(), "cut at {len}");
    }
    for at in 0..whole.len() {
        for value in [0, 0x7f, 0xff, whole[at] ^ 1] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            drop(opened(&bytes));
        }
    }
}
