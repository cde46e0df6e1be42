//! Finding each part of the decoder among a file's tensors, by name and shape.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{LayerPart, Located, Matrix, Part, WeightsError};
use crate::decoder::Decoder;
use crate::encoding::Encoding;
use crate::gguf::GgufTensor;
use crate::safetensors::SafeTensor;

/// A tensor of either container.
struct Found<'a> {
    shape: &'a [usize],
    encoding: &'a Result<Encoding, String>,
    file: usize,
    offset: u64,
}

pub(super) fn gguf(
    decoder: &Decoder,
    tensors: &BTreeMap<String, GgufTensor>,
) -> Result<HashMap<Part, Located>, WeightsError> {
    let tied = decoder.tied_head;
    refuse_others(decoder, tensors.keys(), gguf_name, |name| {
        // A Llama 2 era converter wrote the plain frequencies out; they say nothing new.
        name.ends_with(".attn_rot_embd") || (tied && name == "output.weight")
    })?;
    locate(decoder, gguf_name, true, |name| {
        tensors.get(name).map(|t| Found {
            shape: &t.shape,
            encoding: &t.encoding,
            file: 0,
            offset: t.offset,
        })
    })
}

pub(super) fn safetensors(
    decoder: &Decoder,
    tensors: &BTreeMap<String, SafeTensor>,
) -> Result<HashMap<Part, Located>, WeightsError> {
    let tied = decoder.tied_head;
    refuse_others(decoder, tensors.keys(), hf_name, |name| {
        name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight")
    })?;
    locate(decoder, hf_name, false, |name| {
        tensors.get(name).map(|t| Found {
            shape: &t.shape,
            encoding: &t.encoding,
            file: t.file,
            offset: t.offset,
        })
    })
}

fn gguf_name(part: Part) -> String {
    match part {
        Part::Embedding => "token_embd.weight".into(),
        Part::Head => "output.weight".into(),
        Part::FinalNorm => "output_norm.weight".into(),
        Part::Layer(layer, part) => {
            let name = match part {
                LayerPart::AttentionNorm => "attn_norm",
                LayerPart::Query => "attn_q",
                LayerPart::Key => "attn_k",
                LayerPart::Value => "attn_v",
                LayerPart::Output => "attn_output",
                LayerPart::FfnNorm => "ffn_norm",
                LayerPart::Gate => "ffn_gate",
                LayerPart::Up => "ffn_up",
                LayerPart::Down => "ffn_down",
            };
            format!("blk.{layer}.{name}.weight")
        }
    }
}

fn hf_name(part: Part) -> String {
    match part {
        Part::Embedding => "model.embed_tokens.weight".into(),
        Part::Head => "lm_head.weight".into(),
        Part::FinalNorm => "model.norm.weight".into(),
        Part::Layer(layer, part) => {
            let name = match part {
                LayerPart::AttentionNorm => "input_layernorm",
                LayerPart::Query => "self_attn.q_proj",
                LayerPart::Key => "self_attn.k_proj",
                LayerPart::Value => "self_attn.v_proj",
                LayerPart::Output => "self_attn.o_proj",
                LayerPart::FfnNorm => "post_attention_layernorm",
                LayerPart::Gate => "mlp.gate_proj",
                LayerPart::Up => "mlp.up_proj",
                LayerPart::Down => "mlp.down_proj",
            };
            format!("model.layers.{layer}.{name}.weight")
        }
    }
}

/// Every part that is stored, with its shape; `[n]` for norms.
fn parts(d: &Decoder) -> impl Iterator<Item = (Part, Vec<usize>)> + '_ {
    let (q, kv) = (d.heads * d.head_dim, d.kv_heads * d.head_dim);
    let outer = [
        Some((Part::Embedding, vec![d.vocab, d.hidden])),
        (!d.tied_head).then(|| (Part::Head, vec![d.vocab, d.hidden])),
        Some((Part::FinalNorm, vec![d.hidden])),
    ];
    let layers = (0..d.layers).flat_map(move |layer| {
        LayerPart::ALL.map(|part| {
            let shape = match part {
                LayerPart::AttentionNorm | LayerPart::FfnNorm => vec![d.hidden],
                LayerPart::Query => vec![q, d.hidden],
                LayerPart::Key | LayerPart::Value => vec![kv, d.hidden],
                LayerPart::Output => vec![d.hidden, q],
                LayerPart::Gate | LayerPart::Up => vec![d.ffn, d.hidden],
                LayerPart::Down => vec![d.hidden, d.ffn],
            };
            (Part::Layer(layer, part), shape)
        })
    });
    outer.into_iter().flatten().chain(layers)
}

/// A tensor that no part uses changes what the model computes: it is an error, not ignored.
fn refuse_others<'a>(
    decoder: &Decoder,
    mut names: impl ExactSizeIterator<Item = &'a String>,
    name_of: fn(Part) -> String,
    harmless: impl Fn(&str) -> bool,
) -> Result<(), WeightsError> {
    // No more layers than tensors: where more are claimed some are missing, which is said later.
    let most = 3 + names.len() * LayerPart::ALL.len();
    let known = parts(decoder).take(most).map(|(part, _)| name_of(part));
    let known: BTreeSet<String> = known.collect();
    match names.find(|name| !known.contains(*name) && !harmless(name)) {
        Some(name) => Err(WeightsError::Unknown { name: name.clone() }),
        None => Ok(()),
    }
}

fn locate<'a>(
    decoder: &Decoder,
    name_of: fn(Part) -> String,
    paired_rows: bool,
    find: impl Fn(&str) -> Option<Found<'a>>,
) -> Result<HashMap<Part, Located>, WeightsError> {
    let mut out = HashMap::new();
    for (part, expected) in parts(decoder) {
        let name = name_of(part);
        let Some(found) = find(&name) else { return Err(WeightsError::Missing { name }) };
        let encoding = match found.encoding {
            Ok(encoding) => *encoding,
            Err(kind) => return Err(WeightsError::Encoding { name, found: kind.clone() }),
        };
        if found.shape != expected {
            return Err(WeightsError::Shape { name, found: found.shape.to_vec(), expected });
        }
        let cols = expected[expected.len() - 1];
        let rows = if expected.len() == 2 { expected[0] } else { 1 };
        let Some(row_bytes) = encoding.row_bytes(cols) else {
            let found = format!("{} with rows of {cols} values", encoding.name());
            return Err(WeightsError::Encoding { name, found });
        };
        let pairs = matches!(part, Part::Layer(_, LayerPart::Query | LayerPart::Key));
        let matrix = Matrix { rows, cols, encoding };
        let paired = (pairs && paired_rows).then_some(decoder.head_dim);
        let (file, offset) = (found.file, found.offset);
        out.insert(part, Located { matrix, file, offset, row_bytes, paired });
    }
    Ok(out)
}
