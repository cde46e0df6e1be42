//! The same in plain loops over `f64`, with Gaussian elimination and every support tried.

use super::{Choose, Fit, Noise, Part, matched};
use ndarray::Array2;

type Rows = Vec<Vec<f64>>;

fn rows(x: &Array2<f32>) -> Rows {
    x.outer_iter().map(|r| r.iter().map(|&x| f64::from(x)).collect()).collect()
}

/// Attention probabilities of `q` over `k`, each score raised by its bias.
pub(super) fn attention(q: &[f64], k: &[Vec<f64>], bias: &[f64]) -> Vec<f64> {
    let scale = (q.len() as f64).sqrt();
    let score = |k: &Vec<f64>| q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>() / scale;
    let scores: Vec<f64> = k.iter().zip(bias).map(|(k, b)| score(k) + b).collect();
    let most = scores.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
    scores.iter().map(|s| (s - most).exp() / sum).collect()
}

pub(super) fn mix(p: &[f64], v: &[Vec<f64>]) -> Vec<f64> {
    (0..v[0].len()).map(|c| p.iter().zip(v).map(|(p, v)| p * v[c]).sum()).collect()
}

/// Solves `a x = b` with pivoting.
fn eliminated(mut a: Rows, mut b: Rows) -> Option<Rows> {
    let n = a.len();
    for c in 0..n {
        let pivot = (c..n).max_by(|&i, &j| a[i][c].abs().total_cmp(&a[j][c].abs()))?;
        if a[pivot][c].abs() < 1e-14 {
            return None;
        }
        a.swap(c, pivot);
        b.swap(c, pivot);
        for r in (0..n).filter(|&r| r != c) {
            let f = a[r][c] / a[c][c];
            let (above, right) = (a[c].clone(), b[c].clone());
            a[r].iter_mut().zip(above).for_each(|(x, y)| *x -= f * y);
            b[r].iter_mut().zip(right).for_each(|(x, y)| *x -= f * y);
        }
    }
    Some((0..n).map(|r| b[r].iter().map(|x| x / a[r][r]).collect()).collect())
}

/// Least squares for "these columns of `p`, weighted, sum to one", weights not negative: the best
/// of all supports.
fn weights(p: &Rows, chosen: &[usize]) -> Vec<f64> {
    let residual = |w: &[f64]| -> f64 {
        let row = |p: &Vec<f64>| 1.0 - chosen.iter().zip(w).map(|(&c, w)| w * p[c]).sum::<f64>();
        p.iter().map(|p| row(p).powi(2)).sum()
    };
    let mut best = vec![0.0; chosen.len()];
    for support in 1..1u32 << chosen.len() {
        let on: Vec<usize> = (0..chosen.len()).filter(|i| support >> i & 1 == 1).collect();
        let dot = |a: usize, b: usize| p.iter().map(|p| p[chosen[a]] * p[chosen[b]]).sum();
        let gram = on.iter().map(|&a| on.iter().map(|&b| dot(a, b)).collect()).collect();
        let sums = on.iter().map(|&a| vec![p.iter().map(|p| p[chosen[a]]).sum()]).collect();
        let Some(x) = eliminated(gram, sums) else { continue };
        if x.iter().any(|x| x[0] < 0.0) {
            continue;
        }
        let mut w = vec![0.0; chosen.len()];
        on.iter().zip(&x).for_each(|(&i, x)| w[i] = x[0]);
        if residual(&w) < residual(&best) {
            best = w;
        }
    }
    best
}

struct Answer {
    rows: Vec<usize>,
    values: Rows,
    weights: Vec<f64>,
}

/// `parts`: keys, values, log masses.
fn plain(parts: &[(Rows, Rows, Vec<f64>)], queries: &Rows, keep: usize, fit: Fit) -> Answer {
    let k: Rows = parts.iter().flat_map(|p| p.0.clone()).collect();
    let v: Rows = parts.iter().flat_map(|p| p.1.clone()).collect();
    let bias: Vec<f64> = parts.iter().flat_map(|p| p.2.clone()).collect();
    let p: Rows = queries.iter().map(|q| attention(q, &k, &bias)).collect();
    let mut target: Rows = Vec::new();
    for (q, p) in queries.iter().zip(&p) {
        let mut sum = vec![0.0; v[0].len()];
        let mut at = 0;
        for (k, v, _) in parts {
            let share: f64 = p[at..at + k.len()].iter().sum();
            at += k.len();
            let own = mix(&attention(q, k, &vec![0.0; k.len()]), v);
            sum.iter_mut().zip(own).for_each(|(s, x)| *s += share * x);
        }
        target.push(sum);
    }
    let mut rows: Vec<usize> = Vec::new();
    for _ in 0..keep {
        let w = weights(&p, &rows);
        let gain = |j: usize| -> f64 {
            let rest = |p: &Vec<f64>| match fit.choose {
                Choose::Mass => 1.0,
                Choose::Pursuit => 1.0 - rows.iter().zip(&w).map(|(&c, w)| w * p[c]).sum::<f64>(),
            };
            p.iter().map(|p| p[j] * rest(p)).sum()
        };
        let free = (0..k.len()).filter(|j| !rows.contains(j));
        let best = free.max_by(|&a, &b| gain(a).total_cmp(&gain(b))).unwrap();
        rows.push(best);
    }
    rows.sort_unstable();
    let kept: Rows = rows.iter().map(|&r| k[r].clone()).collect();
    let weights = weights(&p, &rows);
    let raised = |w: &f64| if fit.biased { w.max(1e-3).ln() } else { 0.0 };
    let bias: Vec<f64> = weights.iter().map(raised).collect();
    let x: Rows = queries.iter().map(|q| attention(q, &kept, &bias)).collect();
    let mut left: Rows = (0..keep)
        .map(|a| (0..keep).map(|b| x.iter().map(|x| x[a] * x[b]).sum()).collect())
        .collect();
    let lambda = 0.05 * (0..keep).map(|i| left[i][i]).sum::<f64>() / keep as f64;
    (0..keep).for_each(|i| left[i][i] += lambda);
    let right = (0..keep)
        .map(|a| {
            let product = |c: usize| x.iter().zip(&target).map(|(x, t)| x[a] * t[c]).sum::<f64>();
            (0..v[0].len()).map(|c| product(c) + lambda * v[rows[a]][c]).collect()
        })
        .collect();
    Answer { rows, values: eliminated(left, right).unwrap(), weights }
}

#[test]
fn a_head_is_matched_as_plain_loops_in_f64_say() {
    let mut noise = Noise(21);
    let mut zero_weights = 0;
    for round in 0..30 {
        let sizes: &[usize] = if round % 2 == 0 { &[18] } else { &[7, 6] };
        let parts: Vec<_> = sizes
            .iter()
            .map(|&n| {
                let mass = |i: usize| if round % 2 == 0 { 0.0 } else { (i % 3) as f32 * 0.7 };
                let mass: Vec<f32> = (0..n).map(mass).collect();
                (noise.rows(n, 5, 2.0), noise.rows(n, 5, 1.0), mass)
            })
            .collect();
        let queries = noise.rows(25, 5, 2.5);
        let views: Vec<Part<'_>> =
            parts.iter().map(|(k, v, m)| Part { k: k.view(), v: v.view(), log_mass: m }).collect();
        let wide: Vec<_> = parts
            .iter()
            .map(|(k, v, m)| (rows(k), rows(v), m.iter().map(|&x| f64::from(x)).collect()))
            .collect();
        for choose in [Choose::Mass, Choose::Pursuit] {
            let keep = 2 + round % 4;
            let fit = Fit { choose, ridge: 0.05, biased: round % 3 == 0 };
            let ours = matched(&views, queries.view(), keep, fit);
            let want = plain(&wide, &rows(&queries), keep, fit);
            assert_eq!(ours.rows, want.rows, "round {round}, {choose:?}");
            for (ours, want) in rows(&ours.values).concat().iter().zip(want.values.concat()) {
                assert!((ours - want).abs() < 1e-4, "round {round}, {choose:?}: {ours} {want}");
            }
            for (ours, want) in ours.log_mass.iter().zip(&want.weights) {
                let ours = f64::from(ours.exp());
                zero_weights += usize::from(*want < 1e-3);
                assert!((ours - want.max(1e-3)).abs() < 2e-3, "round {round}: {ours} {want}");
            }
        }
    }
    assert!(zero_weights > 0, "the bound of the weights was met");
}
