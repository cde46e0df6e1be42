use super::*;

const G: Geometry = Geometry { layers: 3, kv_heads: 2, head_dim: 16, block_tokens: 64 };

/// Repeatable noise with a large offset in a few key channels, as real keys have.
fn sample(tokens: usize, seed: u64) -> KvBuf {
    let mut buf = KvBuf::with_capacity(G, 64);
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 40) as f32 / (1u32 << 24) as f32) * 2.0 - 1.0
    };
    let (k, v) = buf.fill(tokens);
    for (i, x) in k.iter_mut().enumerate() {
        *x = next() + if i % 16 == 3 { 12.0 } else { 0.0 };
    }
    for x in v.iter_mut() {
        *x = next();
    }
    buf
}

fn round_trip(dtype: KvDtype, kv: KvView<'_>) -> KvBuf {
    let mut bytes = Vec::new();
    encode(dtype, kv, &mut bytes).unwrap();
    assert_eq!(bytes.len(), payload_bytes(dtype, G, kv.tokens()));
    let mut out = KvBuf::with_capacity(G, 64);
    decode(dtype, &bytes, kv.tokens(), &mut out).unwrap();
    out
}

/// Largest allowed error of each value: half a step, and what f16 loses of `low` and `step`.
fn check(dtype: KvDtype, levels: f32, tokens: usize) {
    let kv = sample(tokens, 7 + tokens as u64);
    let got = round_trip(dtype, kv.view());
    let (a, b) = (kv.view(), got.view());
    for l in 0..3 {
        for h in 0..2 {
            for (axis, x, y) in [
                (Axis::Channel, a.k_head(l, h), b.k_head(l, h)),
                (Axis::Token, a.v_head(l, h), b.v_head(l, h)),
            ] {
                for t in 0..tokens {
                    for c in 0..16 {
                        let group: Vec<f32> = match axis {
                            Axis::Channel => (0..tokens).map(|t| x[t * 16 + c]).collect(),
                            Axis::Token => x[t * 16..(t + 1) * 16].to_vec(),
                        };
                        let low = group.iter().copied().fold(f32::INFINITY, f32::min);
                        let high = group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        let bound = (high - low) / levels * 0.51
                            + (low.abs() + high - low) * 2.0f32.powi(-10)
                            + 1e-6;
                        let e = (x[t * 16 + c] - y[t * 16 + c]).abs();
                        assert!(e <= bound, "{dtype:?} l{l} h{h} t{t} c{c}: {e} > {bound}");
                    }
                }
            }
        }
    }
}

#[test]
fn eight_and_four_bits_stay_within_half_a_step() {
    for tokens in [1, 2, 13, 64] {
        check(KvDtype::Int8, 255.0, tokens);
        check(KvDtype::Int4, 15.0, tokens);
    }
}

#[test]
fn f16_is_exact_to_its_rounding() {
    let kv = sample(20, 3);
    let got = round_trip(KvDtype::F16, kv.view());
    for (x, y) in kv.view().k().iter().zip(got.view().k()) {
        assert_eq!(f16::from_f32(*x).to_f32(), *y);
    }
}

#[test]
fn values_that_f16_and_u8_hold_come_back_exactly() {
    // low and step are powers of two, so every code is exact.
    let mut kv = KvBuf::with_capacity(G, 64);
    let (k, v) = kv.fill(64);
    for (i, x) in k.iter_mut().enumerate() {
        *x = ((i / 16) % 64) as f32 * 0.25 * 255.0 / 255.0;
    }
    v.fill(1.5);
    let got = round_trip(KvDtype::F16, kv.view());
    assert_eq!(got.view().k(), kv.view().k());
    assert_eq!(round_trip(KvDtype::Int8, kv.view()).view().v(), kv.view().v());
    assert_eq!(round_trip(KvDtype::Int4, kv.view()).view().v(), kv.view().v());
}

#[test]
fn a_payload_of_another_length_is_refused() {
    let mut bytes = Vec::new();
    encode(KvDtype::Int8, sample(9, 1).view(), &mut bytes).unwrap();
    let mut out = KvBuf::with_capacity(G, 64);
    for n in [0, 1, bytes.len() - 1] {
        assert!(matches!(
            decode(KvDtype::Int8, &bytes[..n], 9, &mut out),
            Err(QuantError::Length { .. })
        ));
    }
    let mut small = KvBuf::with_capacity(G, 4);
    assert_eq!(
        decode(KvDtype::Int8, &bytes, 9, &mut small),
        Err(QuantError::Capacity { tokens: 9, capacity: 4 })
    );
}

#[test]
fn infinities_and_nan_do_not_panic() {
    let mut kv = sample(5, 2);
    let (k, v) = kv.fill(5);
    k[0] = f32::NAN;
    k[1] = f32::INFINITY;
    v[0] = f32::NEG_INFINITY;
    for dtype in [KvDtype::F16, KvDtype::Int8, KvDtype::Int4] {
        let got = round_trip(dtype, kv.view());
        if dtype != KvDtype::F16 {
            assert!(got.view().v().iter().all(|x| x.is_finite()));
        }
    }
}
