//! Rotary positions (RoFormer, arXiv 2104.09864), half-rotation order as in Hugging Face models:
//! value `i` of a head is rotated together with value `i + head_dim / 2`.

/// Cosines and sines, each `[positions, head_dim / 2]`, row-major. Angles are computed in `f64`, so
/// that the product of a query and a key depends on their distance alone also far from zero.
#[must_use]
pub fn tables(positions: usize, head_dim: usize, theta: f32) -> (Vec<f32>, Vec<f32>) {
    let half = head_dim / 2;
    let frequencies: Vec<f64> =
        (0..half).map(|i| f64::from(theta).powf(-2.0 * i as f64 / head_dim as f64)).collect();
    let mut cos = Vec::with_capacity(positions * half);
    let mut sin = Vec::with_capacity(positions * half);
    for position in 0..positions {
        for frequency in &frequencies {
            let (s, c) = (position as f64 * frequency).sin_cos();
            cos.push(c as f32);
            sin.push(s as f32);
        }
    }
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_depend_on_distance_alone() {
        let (cos, sin) = tables(30_000, 64, 100_000.0);
        let at = |p: usize, i: usize| (cos[p * 32 + i], sin[p * 32 + i]);
        for i in 0..32 {
            let dot = |a: usize, b: usize| {
                let ((ca, sa), (cb, sb)) = (at(a, i), at(b, i));
                f64::from(ca) * f64::from(cb) + f64::from(sa) * f64::from(sb)
            };
            assert!((dot(7, 3) - dot(29_007, 29_003)).abs() < 3e-7);
        }
    }
}
