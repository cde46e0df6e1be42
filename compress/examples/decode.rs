//! How long a block of a SmolLM2-sized model takes to be encoded and decoded.
//!
//!     cargo run --release -p lcedge-compress --example decode [ROUNDS]

use std::{error::Error, time::Duration, time::Instant};

use lcedge_compress::quant;
use lcedge_memory::{Geometry, KvBuf, KvDtype};

const GEOMETRY: Geometry = Geometry { layers: 30, kv_heads: 3, head_dim: 64, block_tokens: 64 };

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("n {} min {:.3} p50 {:.3} p99 {:.3} ms", times.len(), at(0), at(50), at(99))
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map(|a| a.parse()).transpose()?.unwrap_or(200);
    let tokens = usize::from(GEOMETRY.block_tokens);
    let mut kv = KvBuf::with_capacity(GEOMETRY, tokens);
    let (k, v) = kv.fill(tokens);
    let mut state = 1_u32;
    for x in k.iter_mut().chain(v) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x = (state >> 8) as f32 / (1_u32 << 23) as f32 - 1.0;
    }
    let mut out = KvBuf::with_capacity(GEOMETRY, tokens);
    let mut copies = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let (k, v) = out.fill(tokens);
        k.copy_from_slice(kv.view().k());
        v.copy_from_slice(kv.view().v());
        copies.push(begun.elapsed());
    }
    println!("copying the floats: {}", spread(copies));
    for dtype in [KvDtype::F16, KvDtype::Int8, KvDtype::Int4] {
        let (mut encodes, mut decodes) = (Vec::new(), Vec::new());
        let mut payload = Vec::new();
        for round in 0..rounds {
            if round < 20 {
                payload.clear();
                let begun = Instant::now();
                quant::encode(dtype, kv.view(), &mut payload)?;
                encodes.push(begun.elapsed());
            }
            let begun = Instant::now();
            quant::decode(dtype, &payload, tokens, &mut out)?;
            decodes.push(begun.elapsed());
        }
        println!("{dtype:?}, {} KB: encode {}", payload.len() / 1024, spread(encodes));
        println!("{dtype:?}, {} KB: decode {}", payload.len() / 1024, spread(decodes));
    }
    Ok(())
}
