use half::f16;

use super::*;

#[path = "../../../tests/common/fuzz.rs"]
mod fuzz;

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

/// The layout as the module's text states it, value by value.
fn plain(dtype: KvDtype, axis: Axis, bytes: &[u8], tokens: usize, d: usize) -> Vec<f32> {
    let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
    let value = |t: usize, c: usize| {
        let n = t * d + c;
        let (pairs, i) = if axis == Axis::Channel { (d, c) } else { (tokens, t) };
        let code = match dtype {
            KvDtype::F16 => return half(n * 2),
            KvDtype::Int8 => bytes[pairs * 4 + n],
            KvDtype::Int4 => (bytes[pairs * 4 + n / 2] >> (n % 2 * 4)) & 15,
        };
        half(i * 4) + half(i * 4 + 2) * f32::from(code)
    };
    (0..tokens).flat_map(|t| (0..d).map(move |c| (t, c))).map(|(t, c)| value(t, c)).collect()
}

#[test]
fn all_kernels_give_the_bits_that_the_layout_says() {
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for d in [2, 6, 16, 32, 64, 66, 80, 128, 200] {
        for tokens in [1, 2, 5, 63, 64] {
            for dtype in [KvDtype::F16, KvDtype::Int8, KvDtype::Int4] {
                for axis in [Axis::Channel, Axis::Token] {
                    let n = head_bytes(dtype, axis, tokens, d);
                    let bytes: Vec<u8> = (0..n).map(|_| byte()).collect();
                    let want = plain(dtype, axis, &bytes, tokens, d);
                    for kernel in Kernel::all() {
                        let mut out = vec![0.0; tokens * d];
                        kernel.decode(dtype, axis, &bytes, d, &mut out);
                        for (x, y) in out.iter().zip(&want) {
                            let same = x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
                            assert!(same, "{kernel:?} {dtype:?} {axis:?} {d} {tokens}: {x} {y}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_half_is_the_single_that_it_stands_for() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for kernel in Kernel::all() {
        let mut out = vec![0.0; 1 << 16];
        kernel.decode(KvDtype::F16, Axis::Token, &bytes, 64, &mut out);
        for (bits, x) in (0..=u16::MAX).zip(&out) {
            let want = f16::from_bits(bits).to_f32();
            let same = x.to_bits() == want.to_bits() || x.is_nan() && want.is_nan();
            assert!(same, "{bits:04x}: {x} {want}");
        }
    }
}

#[test]
fn heads_are_decoded_one_by_one_to_wherever_they_are_wanted() {
    let kv = sample(21, 4);
    for dtype in [KvDtype::F16, KvDtype::Int8, KvDtype::Int4] {
        let mut bytes = Vec::new();
        encode(dtype, kv.view(), &mut bytes).unwrap();
        let whole = round_trip(dtype, kv.view());
        let encoded = Encoded::new(dtype, G, 21, &bytes).unwrap();
        let mut out = vec![0.0; 21 * 16];
        for l in 0..3 {
            for h in 0..2 {
                encoded.k_head(l, h, &mut out);
                assert_eq!(out, whole.view().k_head(l, h));
                encoded.v_head(l, h, &mut out);
                assert_eq!(out, whole.view().v_head(l, h));
            }
        }
    }
}

#[test]
fn all_kernels_encode_alike() {
    let kv = sample(64, 11);
    let values: Vec<f32> =
        kv.view().k().iter().copied().chain([f32::NAN, 1e9, -1e9, 0.5]).collect();
    for d in [2, 16, 64, 66, 128] {
        for tokens in [1, 3, 24] {
            for from in [0, values.len() - tokens * d] {
                let values = &values[from..from + tokens * d];
                for dtype in [KvDtype::F16, KvDtype::Int8, KvDtype::Int4] {
                    for axis in [Axis::Channel, Axis::Token] {
                        let bytes = |kernel: Kernel| {
                            let mut out = vec![9; head_bytes(dtype, axis, tokens, d)];
                            kernel.encode(dtype, axis, values, d, &mut out);
                            out
                        };
                        let all: Vec<Vec<u8>> = Kernel::all().into_iter().map(bytes).collect();
                        assert!(
                            all.iter().all(|b| *b == all[0]),
                            "{dtype:?} {axis:?} {tokens} {d}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn changed_payloads_are_decoded_or_refused() {
    let kv = sample(16, 5);
    for (dtype, seed) in [(KvDtype::F16, 61), (KvDtype::Int8, 62), (KvDtype::Int4, 63)] {
        let mut payload = Vec::new();
        encode(dtype, kv.view(), &mut payload).unwrap();
        let inputs = vec![payload, Vec::new()];
        let target = fuzz::Target { name: "payloads", seed, rounds: 1000, kept: &[], inputs };
        let mut out = KvBuf::with_capacity(G, 64);
        let mut decoded = 0;
        target.run(|input, random| {
            let tokens = [0, 1, 15, 17, 65, 65_535][random.below(6)];
            for tokens in [16, tokens] {
                decoded += u32::from(decode(dtype, input, tokens, &mut out).is_ok());
            }
        });
        assert!(decoded > 100, "{decoded} payloads of {dtype:?} were decoded");
    }
}
