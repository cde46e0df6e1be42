//! The few operations of a Llama decoder, in plain Rust.
//!
//! Every output value is computed from its own row alone and in one fixed order, so results do not
//! depend on how many rows are computed together.

const LANES: usize = 16;

/// The dot product of two vectors of one length: 16 partial sums in `f32`, added in `f64`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let mut sum = sums.iter().map(|&s| f64::from(s)).sum::<f64>();
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += f64::from(*a) * f64::from(*b);
    }
    sum as f32
}

/// `out[row, o] = sum over i of x[row, i] * weight[o, i]`; `weight` is `[outs, ins]`.
pub(super) fn linear(x: &[f32], ins: usize, weight: &[f32], out: &mut [f32]) {
    let outs = weight.len() / ins;
    for (x, out) in x.chunks_exact(ins).zip(out.chunks_exact_mut(outs)) {
        for (w, out) in weight.chunks_exact(ins).zip(out) {
            *out = dot(x, w);
        }
    }
}

/// Each row of `x`, `[rows, weight.len()]`, divided by its root mean square, times `weight`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let square: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let scale = 1.0 / (square / n as f64 + f64::from(eps)).sqrt();
        for ((x, w), out) in x.iter().zip(weight).zip(out) {
            *out = (f64::from(*x) * scale) as f32 * w;
        }
    }
}

/// SwiGLU: `gate = silu(gate) * up`.
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + (-*g).exp()) * u;
    }
}

/// `x += y`.
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Attention of one query over `scores.len()` keys and values, `[keys, head_dim]` each, that lie in
/// two parts. `sums`, `[head_dim]`, is scratch.
pub(super) fn attend(
    query: &[f32],
    keys: [&[f32]; 2],
    values: [&[f32]; 2],
    scores: &mut [f32],
    sums: &mut [f64],
    out: &mut [f32],
) {
    let d = query.len();
    let scale = 1.0 / (d as f32).sqrt();
    let all = keys.iter().flat_map(|keys| keys.chunks_exact(d));
    for (score, key) in scores.iter_mut().zip(all) {
        *score = dot(query, key) * scale;
    }
    let top = scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let mut total = 0.0_f64;
    sums.fill(0.0);
    let all = values.iter().flat_map(|values| values.chunks_exact(d));
    for (score, value) in scores.iter().zip(all) {
        let weight = f64::from((score - top).exp());
        total += weight;
        for (sum, v) in sums.iter_mut().zip(value) {
            *sum += weight * f64::from(*v);
        }
    }
    for (out, sum) in out.iter_mut().zip(&*sums) {
        *out = (sum / total) as f32;
    }
}

/// The natural logarithm of the softmax of `logits` at `target`.
pub(super) fn log_softmax_at(logits: &[f32], target: usize) -> f32 {
    let top = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let total: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    (f64::from(logits[target] - top) - total.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_takes_every_value_once() {
        for n in [1, 15, 16, 17, 33, 64] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let b = vec![1.0; n];
            assert_eq!(dot(&a, &b), (n * (n - 1) / 2) as f32);
        }
    }

    #[test]
    fn attention_by_hand() {
        // Scores 1 * 2 / sqrt(1) and 1 * 0: weights e^2 and 1.
        let mut out = [0.0];
        attend(&[1.0], [&[2.0], &[0.0]], [&[10.0], &[-10.0]], &mut [0.0; 2], &mut [0.0], &mut out);
        let e2 = 2f64.exp();
        assert!((f64::from(out[0]) - (10.0 * e2 - 10.0) / (e2 + 1.0)).abs() < 1e-5);
    }

    #[test]
    fn norms_and_probabilities_by_hand() {
        let mut out = [0.0; 2];
        rms_norm(&[3.0, 4.0], &[1.0, 2.0], 0.0, &mut out);
        let rms = 12.5f32.sqrt();
        assert!((out[0] - 3.0 / rms).abs() < 1e-6 && (out[1] - 8.0 / rms).abs() < 1e-6);
        assert!((log_softmax_at(&[0.0, 0.0, 0.0, 0.0], 2) - 0.25f32.ln()).abs() < 1e-6);
    }
}
