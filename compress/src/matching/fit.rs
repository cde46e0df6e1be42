//! The linear algebra of one head: which keys stay, and with what values they say the same.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// The least mass that a kept key is given: its logarithm stays finite.
const MASS_MIN: f64 = 1e-3;

/// How a subset of keys is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choose {
    /// Those with the most attention of all reference queries together.
    #[default]
    Mass,
    /// Orthogonal matching pursuit: each time the key that best explains the mass that those
    /// chosen so far leave unexplained.
    Pursuit,
}

/// How a subset is chosen and fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// How keys are chosen.
    pub choose: Choose,
    /// How strongly values are held to what they were: the share of the mean diagonal of the
    /// normal equations.
    pub ridge: f32,
    /// Fit the values for an attention that adds [`Matched::log_mass`] to the scores.
    pub biased: bool,
}

/// Keys and values of one head that are matched together: a block, or states that stand for
/// earlier ones.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Keys `[n, head_dim]`, un-rotated.
    pub k: ArrayView2<'a, f32>,
    /// Values `[n, head_dim]`. Those of states are read as the graph reads them, without bias.
    pub v: ArrayView2<'a, f32>,
    /// Logarithm of each key's mass, `[n]`: zero for plain tokens.
    pub log_mass: &'a [f32],
}

/// What stands for the parts afterwards.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The keys that stay, ascending, counted through all parts.
    pub rows: Vec<usize>,
    /// Their values `[rows, head_dim]`.
    pub values: Array2<f32>,
    /// What would have to be added to each key's score so that the mass is kept as well.
    pub log_mass: Vec<f32>,
}

/// Chooses `keep` keys of `parts` and fits their values so that `queries` `[n, head_dim]`
/// (unscaled, un-rotated) get nearly the attention output that they got from all of them:
/// `min |softmax(Q K_S) C - A|^2 + lambda |C - V_S|^2`.
///
/// Where there is nothing to fit by, the values stay as they are.
#[must_use]
pub fn matched(parts: &[Part<'_>], queries: ArrayView2<'_, f32>, keep: usize, fit: Fit) -> Matched {
    let d = queries.ncols();
    let (mut keys, mut values) = (Array2::zeros((0, d)), Array2::zeros((0, d)));
    let mut bias = Vec::new();
    for part in parts {
        // Widths are those of one model: appending does not fail.
        let _ = (keys.append(Axis(0), part.k), values.append(Axis(0), part.v));
        bias.extend_from_slice(part.log_mass);
    }
    let scores = queries.dot(&keys.t()) / (d.max(1) as f32).sqrt();
    let share = softmax(&scores + &Array1::from(bias));
    let target = output(parts, &scores, &share);

    let gram = wide(share.t().dot(&share));
    let mass: Vec<f64> = share.sum_axis(Axis(0)).iter().copied().map(f64::from).collect();
    let keep = keep.min(mass.len());
    let rows = match fit.choose {
        Choose::Mass => heaviest(&mass, keep),
        Choose::Pursuit => pursued(&gram, &mass, keep),
    };
    let log_mass = non_negative(&gram, &mass, &rows);
    let log_mass: Vec<f32> = log_mass.iter().map(|w| w.max(MASS_MIN).ln() as f32).collect();

    let kept = values.select(Axis(0), &rows);
    let mut seen = scores.select(Axis(1), &rows);
    if fit.biased {
        seen += &ArrayView1::from(&log_mass);
    }
    let values = refitted(&softmax(seen), &target, &kept, fit.ridge.into()).unwrap_or(kept);
    Matched { rows, values, log_mass }
}

/// The attention output that is to be kept, `[queries, head_dim]`: each part's own (without bias),
/// by the part's share of the mass.
fn output(parts: &[Part<'_>], scores: &Array2<f32>, share: &Array2<f32>) -> Array2<f32> {
    let mut sum = Array2::zeros((scores.nrows(), parts.first().map_or(0, |p| p.v.ncols())));
    let mut at = 0;
    for part in parts {
        let columns = ndarray::s![.., at..at + part.k.nrows()];
        at += part.k.nrows();
        let mut own = softmax(scores.slice(columns).to_owned()).dot(&part.v);
        own *= &share.slice(columns).sum_axis(Axis(1)).insert_axis(Axis(1));
        sum += &own;
    }
    sum
}

/// Softmax over each row.
fn softmax(mut scores: Array2<f32>) -> Array2<f32> {
    for mut row in scores.rows_mut() {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        row.mapv_inplace(|x| (x - most).exp());
        let sum = row.sum();
        row /= sum;
    }
    scores
}

fn wide(x: Array2<f32>) -> Array2<f64> {
    x.mapv(f64::from)
}

/// The `keep` largest, in order of place.
fn heaviest(mass: &[f64], keep: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..mass.len()).collect();
    order.sort_by(|&a, &b| mass[b].total_cmp(&mass[a]).then(a.cmp(&b)));
    order.truncate(keep);
    order.sort_unstable();
    order
}

/// Orthogonal matching pursuit for "the shares of the chosen keys, weighted, sum to one for every
/// query", in terms of the products of columns (`gram`) and their sums (`mass`).
fn pursued(gram: &Array2<f64>, mass: &[f64], keep: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::with_capacity(keep);
    let mut weights: Vec<f64> = Vec::new();
    while rows.len() < keep {
        // How much of the residual each column explains.
        let gain = |j: usize| {
            let explained = rows.iter().zip(&weights).map(|(&i, w)| w * gram[[j, i]]);
            mass[j] - explained.sum::<f64>()
        };
        let free = (0..mass.len()).filter(|j| !rows.contains(j));
        let best = free.max_by(|&a, &b| gain(a).total_cmp(&gain(b)).then(b.cmp(&a)));
        let Some(best) = best else { break };
        rows.push(best);
        weights = non_negative(gram, mass, &rows);
    }
    rows.sort_unstable();
    rows
}

/// Non-negative least squares by coordinate descent: the weights of `rows` with which their shares
/// come nearest to one for every query.
fn non_negative(gram: &Array2<f64>, mass: &[f64], rows: &[usize]) -> Vec<f64> {
    const SWEEPS: usize = 200;
    let mut w = vec![1.0; rows.len()];
    for _ in 0..SWEEPS {
        let mut change = 0.0f64;
        for (i, &r) in rows.iter().enumerate() {
            let own = gram[[r, r]];
            if own <= 0.0 {
                continue;
            }
            let sum: f64 = rows.iter().zip(&w).map(|(&c, w)| gram[[r, c]] * w).sum();
            let next = (w[i] + (mass[r] - sum) / own).max(0.0);
            change = change.max((next - w[i]).abs());
            w[i] = next;
        }
        if change < 1e-7 {
            break;
        }
    }
    w
}

/// Solves the ridge regression for the values; `None` when the equations are not positive definite
/// (a value was not finite, or there are no queries).
fn refitted(
    seen: &Array2<f32>,
    target: &Array2<f32>,
    kept: &Array2<f32>,
    ridge: f64,
) -> Option<Array2<f32>> {
    let mut left = wide(seen.t().dot(seen));
    let lambda = ridge * left.diag().mean()?;
    left.diag_mut().mapv_inplace(|x| x + lambda);
    let right = wide(seen.t().dot(target)) + wide(kept.clone()) * lambda;
    Some(solve(left, right)?.mapv(|x| x as f32))
}

/// Solves `a x = b` for a symmetric positive definite `a` by Cholesky's decomposition.
fn solve(mut a: Array2<f64>, mut b: Array2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    for j in 0..n {
        let square = a[[j, j]] - (0..j).map(|k| a[[j, k]] * a[[j, k]]).sum::<f64>();
        if !(square.is_finite() && square > 0.0) {
            return None;
        }
        a[[j, j]] = square.sqrt();
        for i in j + 1..n {
            let sum: f64 = (0..j).map(|k| a[[i, k]] * a[[j, k]]).sum();
            a[[i, j]] = (a[[i, j]] - sum) / a[[j, j]];
        }
    }
    for c in 0..b.ncols() {
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| a[[i, k]] * b[[k, c]]).sum();
            b[[i, c]] = (b[[i, c]] - sum) / a[[i, i]];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| a[[k, i]] * b[[k, c]]).sum();
            b[[i, c]] = (b[[i, c]] - sum) / a[[i, i]];
        }
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}
