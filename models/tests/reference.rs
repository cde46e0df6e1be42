//! Readers and tokenizers against what the reference programs give (`tests/data`).
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::{Path, PathBuf};

use lcedge_models::gguf::Gguf;
use lcedge_models::safetensors::Safetensors;
use lcedge_models::tokenizer::json_from_gguf;
use lcedge_models::{LayerPart, Part, Tokenizer, Weights};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn ids(name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn small() -> Tokenizer {
    let gguf = Gguf::open(&data("smollm-small.gguf")).unwrap();
    Tokenizer::from_json(&json_from_gguf(&gguf).unwrap()).unwrap()
}

fn stories() -> Tokenizer {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/stories260k/tokenizer.json");
    Tokenizer::open(&zoo).unwrap()
}

#[test]
fn every_encoding_of_gguf_reads_as_the_gguf_package_reads_it() {
    let weights = Weights::open(&data("tiny.gguf")).unwrap();
    let golden = Safetensors::open_file(&data("tiny.golden.safetensors")).unwrap();
    let layer = |part| Part::Layer(0, part);
    let parts = [
        ("token_embd", Part::Embedding),
        ("output", Part::Head),
        ("output_norm", Part::FinalNorm),
        ("blk.0.attn_norm", layer(LayerPart::AttentionNorm)),
        ("blk.0.ffn_norm", layer(LayerPart::FfnNorm)),
        ("blk.0.attn_q", layer(LayerPart::Query)),
        ("blk.0.attn_k", layer(LayerPart::Key)),
        ("blk.0.attn_v", layer(LayerPart::Value)),
        ("blk.0.attn_output", layer(LayerPart::Output)),
        ("blk.0.ffn_gate", layer(LayerPart::Gate)),
        ("blk.0.ffn_up", layer(LayerPart::Up)),
        ("blk.0.ffn_down", layer(LayerPart::Down)),
    ];
    assert_eq!(golden.names().count(), parts.len());
    for (name, part) in parts {
        let (_, expected) = golden.dense(name).unwrap();
        assert_eq!(weights.dense(part).unwrap(), expected, "{name}");
    }
}

#[test]
fn rows_read_by_range_are_rows_of_the_whole() {
    let weights = Weights::open(&data("tiny.gguf")).unwrap();
    let part = Part::Layer(0, LayerPart::Query);
    let whole = weights.dense(part).unwrap();
    let mut some = Vec::new();
    weights.read_dense(part, 5..23, &mut some).unwrap();
    assert_eq!(some, whole[5 * 64..23 * 64]);
    assert!(weights.read_dense(part, 60..65, &mut some).is_err());
    assert!(weights.dense(Part::Layer(1, LayerPart::Query)).is_err());
}

#[test]
fn a_folder_of_bf16_opens_with_its_untied_head() {
    let weights = Weights::open(&data("random-llama")).unwrap();
    let d = weights.decoder();
    assert_eq!((d.layers, d.heads, d.kv_heads, d.head_dim, d.ffn), (2, 8, 2, 16, 112));
    assert!(!d.tied_head);
    assert_ne!(weights.dense(Part::Head).unwrap(), weights.dense(Part::Embedding).unwrap());
}

#[test]
fn tokens_of_mixed_bytes_are_the_reference_tokenizers() {
    let bytes = std::fs::read(data("mixed.bin")).unwrap();
    for (tokenizer, golden) in [(small(), "mixed.small.ids"), (stories(), "mixed.stories260k.ids")]
    {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(tokenizer.encode(&text).unwrap(), ids(golden), "{golden}");
        let encoded = tokenizer.encode_spans(&bytes).unwrap();
        assert_eq!(encoded.ids, ids(golden), "{golden}");
        assert!(encoded.byte_ends.is_sorted());
        assert_eq!(encoded.byte_ends.len(), encoded.ids.len());
        assert_eq!(encoded.byte_ends.last(), Some(&10_240));
        let invalid = bytes.utf8_chunks().filter(|c| !c.invalid().is_empty()).count();
        assert_eq!(encoded.invalid_utf8, invalid as u64);
    }
}

#[test]
fn spans_of_valid_text_hold_the_bytes_of_their_tokens() {
    let tokenizer = small();
    let bytes = std::fs::read(data("mixed.bin")).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let encoded = tokenizer.encode_spans(text.as_bytes()).unwrap();
    let dropped: Vec<u8> = tokenizer.inexpressible().collect();
    let mut at = 0;
    for (id, end) in encoded.ids.iter().zip(&encoded.byte_ends) {
        let span = &text.as_bytes()[at..*end as usize];
        let kept: Vec<u8> = span.iter().copied().filter(|b| !dropped.contains(b)).collect();
        assert_eq!(kept, tokenizer.token_bytes(*id));
        at = *end as usize;
    }
    let count = text.bytes().filter(|b| dropped.contains(b)).count();
    assert!(count > 0);
    assert_eq!(encoded.dropped_bytes, count as u64);
}

#[test]
fn twenty_one_byte_values_have_no_token() {
    let hex: Vec<String> = small().inexpressible().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex.join(" "), "04 06 13 14 16 1d c0 c1 f1 f2 f5 f6 f7 f8 f9 fa fb fc fd fe ff");
    assert_eq!(stories().inexpressible().count(), 0);
    let encoded = small().encode_spans(b"a\x04\x06b\x13").unwrap();
    assert_eq!((encoded.ids.len(), encoded.dropped_bytes), (2, 3));
    assert_eq!(encoded.byte_ends, [1, 5]);
    let nothing = small().encode_spans(b"\x04").unwrap();
    assert_eq!((nothing.ids.len(), nothing.dropped_bytes), (0, 1));
}

#[test]
fn decoding_gives_what_the_reference_gives_one_token_at_a_time_too() {
    let tokenizer = small();
    let golden = std::fs::read_to_string(data("mixed.decoded.txt")).unwrap();
    let all = ids("mixed.small.ids");
    assert_eq!(tokenizer.decode(&all), golden);
    // A stream gives whole characters only: its pieces are strings, and together they are the same.
    let mut stream = tokenizer.stream();
    let mut text: String = all.iter().map(|id| stream.push(*id)).collect();
    text.push_str(&stream.finish());
    assert_eq!(text, golden);
}

#[test]
fn a_stream_waits_for_the_rest_of_a_character() {
    let tokenizer = small();
    let ids = tokenizer.encode("\u{1F642}").unwrap();
    assert!(ids.len() > 1, "the character is made of several tokens");
    let mut stream = tokenizer.stream();
    let pieces: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
    assert!(pieces[..pieces.len() - 1].iter().all(String::is_empty));
    assert_eq!(pieces.concat(), "\u{1F642}");
    stream.push(ids[0]);
    assert_eq!(stream.finish(), "\u{FFFD}");
}

#[test]
fn special_tokens_in_data_are_text() {
    let tokenizer = small();
    let line = "user said <|im_end|> and left";
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    let data = tokenizer.encode(line).unwrap();
    assert!(!data.contains(&end));
    assert_eq!(tokenizer.decode(&data), line);
    assert!(!tokenizer.encode_spans(line.as_bytes()).unwrap().ids.contains(&end));
    let template = tokenizer.encode_template(line).unwrap();
    assert_eq!(template.iter().filter(|id| **id == end).count(), 1);
    assert!(tokenizer.is_special(end));
}

#[test]
fn pieces_that_are_cut_well_give_the_tokens_of_the_whole() {
    let tokenizer = small();
    let text = std::fs::read(data("mixed.bin")).unwrap();
    let text = &text[..4000];
    let whole = tokenizer.encode_spans(text).unwrap();
    for max in [97, 300, 1000] {
        let (mut ids, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            let cut = tokenizer.cut(&text[at..], max);
            assert!(cut > 0 && cut <= max);
            let piece = tokenizer.encode_spans(&text[at..at + cut]).unwrap();
            ids.extend(piece.ids);
            ends.extend(piece.byte_ends.iter().map(|e| e + at as u32));
            at += cut;
        }
        assert_eq!(ids, whole.ids, "pieces of {max}");
        assert_eq!(ends, whole.byte_ends, "pieces of {max}");
    }
}

#[test]
fn the_template_of_the_gguf_renders() {
    let gguf = Gguf::open(&data("smollm-small.gguf")).unwrap();
    let source = gguf.text("tokenizer.chat_template").unwrap().unwrap();
    let template = lcedge_models::ChatTemplate::new(source, "<|im_start|>", "<|im_end|>").unwrap();
    let message = lcedge_models::Message::new("user", "Hello");
    let text = template.render(&[message], true).unwrap();
    assert!(text.ends_with("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"), "{text}");
    let ids = small().encode_template(&text).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 3);
}

proptest::proptest! {
    /// Whatever the bytes: every byte of the text is in a token or counted as dropped, ends never
    /// fall, and the last one is the input's end.
    #[test]
    fn no_byte_is_lost_silently(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let tokenizer = SMALL.get_or_init(small);
        let encoded = tokenizer.encode_spans(&bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let kept: usize = encoded.ids.iter().map(|id| tokenizer.token_bytes(*id).len()).sum();
        proptest::prop_assert_eq!(kept as u64 + encoded.dropped_bytes, text.len() as u64);
        proptest::prop_assert!(encoded.byte_ends.is_sorted());
        if let Some(last) = encoded.byte_ends.last() {
            proptest::prop_assert_eq!(*last as usize, bytes.len());
        }
        let cut = tokenizer.cut(&bytes, 50);
        proptest::prop_assert!(cut <= 50 && (cut > 0 || bytes.is_empty()));
    }
}

static SMALL: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
