//! What matching keeps of real heads, printed:
//! `cargo test -p lcedge-compress figures -- --nocapture`.

use super::reference::{attention, mix};
use super::{Choose, Fit, Part, matched};
use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::{Array2, ArrayView2, Axis};

const D: usize = 64;
const BLOCK: usize = 64;
const KEEP: usize = 8;

/// One kv head of SmolLM2-135M while it read a book (tests/data/README.md): un-rotated keys,
/// values, and the queries of the three heads that read it.
struct Head {
    sinks: (Array2<f32>, Array2<f32>),
    before: Array2<f32>,
    block: (Array2<f32>, Array2<f32>),
    window: (Array2<f32>, Array2<f32>),
    reference: Array2<f32>,
    held_out: Array2<f32>,
}

fn heads() -> Vec<Head> {
    let bytes = include_bytes!("../../../tests/data/heads.f16");
    let values: Vec<f16> = bytes.chunks(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
    let mut values = values.to_f32_vec().into_iter();
    let mut rows =
        |n: usize| Array2::from_shape_vec((n, D), values.by_ref().take(n * D).collect()).unwrap();
    let heads = (0..4).map(|_| Head {
        sinks: (rows(4), rows(4)),
        before: rows(64),
        block: (rows(BLOCK), rows(BLOCK)),
        window: (rows(128), rows(128)),
        reference: rows(96),
        held_out: rows(48),
    });
    heads.collect()
}

/// Rotates the rows to positions, as the decoder does (theta 100,000, halves).
fn rotated(x: ArrayView2<'_, f32>, position: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
    let turn = |row: usize, x: ndarray::ArrayView1<'_, f32>| {
        let half = D / 2;
        let at = |i: usize| f64::from(x[i]);
        let angle = |i: usize| position(row) as f64 / 1e5f64.powf(2.0 * i as f64 / D as f64);
        let low = (0..half).map(|i| at(i) * angle(i).cos() - at(i + half) * angle(i).sin());
        let high = (0..half).map(|i| at(i + half) * angle(i).cos() + at(i) * angle(i).sin());
        low.chain(high).collect()
    };
    x.outer_iter().enumerate().map(|(row, x)| turn(row, x)).collect()
}

fn wide(x: ArrayView2<'_, f32>) -> Vec<Vec<f64>> {
    x.outer_iter().map(|r| r.iter().map(|&x| f64::from(x)).collect()).collect()
}

/// States that stand for the block, and what their scores are raised by.
struct States {
    k: Array2<f32>,
    v: Array2<f32>,
    bias: Vec<f64>,
}

impl Head {
    /// What the held-out queries read from sinks, states and window, laid as the runtime lays them.
    fn outputs(&self, states: &States) -> Vec<Vec<f64>> {
        let n = states.k.nrows();
        let mut k = rotated(self.sinks.0.view(), |i| i);
        k.extend(rotated(states.k.view(), |i| 4 + i));
        k.extend(rotated(self.window.0.view(), |i| 4 + n + i));
        let v = [wide(self.sinks.1.view()), wide(states.v.view()), wide(self.window.1.view())];
        let bias = [&[0.0; 4][..], &states.bias, &[0.0; 128]].concat();
        let queries = rotated(self.held_out.view(), |i| 4 + n + 128 + i / 3);
        queries.iter().map(|q| mix(&attention(q, &k, &bias), &v.concat())).collect()
    }

    /// What they read from the states alone, un-rotated.
    fn alone(&self, states: &States) -> Vec<Vec<f64>> {
        let (k, v) = (wide(states.k.view()), wide(states.v.view()));
        let queries = wide(self.held_out.view());
        queries.iter().map(|q| mix(&attention(q, &k, &states.bias), &v)).collect()
    }

    fn subset(&self, rows: &[usize], v: Option<Array2<f32>>, log_mass: Option<&[f32]>) -> States {
        let k = self.block.0.select(Axis(0), rows);
        let v = v.unwrap_or_else(|| self.block.1.select(Axis(0), rows));
        let bias = log_mass.map(|m| m.iter().map(|&x| f64::from(x)).collect());
        States { k, v, bias: bias.unwrap_or_else(|| vec![0.0; rows.len()]) }
    }

    /// Keys as queries: those before and those of the block, mirrored at their mean or not.
    fn proxies(&self, mirrored: bool) -> Array2<f32> {
        let keys = ndarray::concatenate![Axis(0), self.before, self.block.0];
        let mean = keys.mean_axis(Axis(0)).unwrap();
        if mirrored { keys - 2.0 * mean } else { keys }
    }
}

fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Squared error over all heads as a share of what the block does: beside sinks and window (1: as
/// bad as without the block), and alone (of the output's own square).
fn errors(make: impl Fn(&Head) -> States) -> (f64, f64) {
    let (mut beside, mut all, mut alone, mut own) = (0.0, 0.0, 0.0, 0.0);
    for head in heads() {
        let states = make(&head);
        let whole = head.subset(&(0..BLOCK).collect::<Vec<_>>(), None, None);
        let nothing = head.subset(&[], None, None);
        let exact = head.outputs(&whole);
        beside += distance(&head.outputs(&states), &exact);
        all += distance(&head.outputs(&nothing), &exact);
        let exact = head.alone(&whole);
        alone += distance(&head.alone(&states), &exact);
        own += exact.iter().flatten().map(|x| x * x).sum::<f64>();
    }
    (beside / all, alone / own)
}

/// Keys of the block, reference queries: as they are taken for matching.
type Given = fn(&Head) -> (Array2<f32>, Array2<f32>);

fn placed(h: &Head) -> (Array2<f32>, Array2<f32>) {
    let back = |x: Vec<Vec<f64>>| Array2::from_shape_fn((x.len(), D), |(i, j)| x[i][j] as f32);
    let k = rotated(h.block.0.view(), |i| 4 + i);
    (back(k), back(rotated(h.reference.view(), |i| 4 + BLOCK + 96 + i / 3)))
}

#[test]
fn figures_of_matching_on_real_heads() {
    let even: Vec<usize> = (0..KEEP).map(|i| (2 * i + 1) * BLOCK / (2 * KEEP)).collect();
    let spaced = errors(|h| h.subset(&even, None, None));
    println!("{KEEP} of {BLOCK} keys, error beside sinks and window / alone");
    println!("evenly spaced: {:.3} / {:.3}", spaced.0, spaced.1);
    let given: [(&str, Given); 4] = [
        ("keys mirrored", |h| (h.block.0.clone(), h.proxies(true))),
        ("keys as they are", |h| (h.block.0.clone(), h.proxies(false))),
        ("real queries", |h| (h.block.0.clone(), h.reference.clone())),
        ("real queries, rotated", placed),
    ];
    for (i, (name, given)) in given.into_iter().enumerate() {
        for choose in [Choose::Mass, Choose::Pursuit] {
            let fit = |h: &Head, biased| {
                let (k, queries) = given(h);
                let part = Part { k: k.view(), v: h.block.1.view(), log_mass: &[0.0; BLOCK] };
                matched(&[part], queries.view(), KEEP, Fit { choose, ridge: 0.01, biased })
            };
            let raw = errors(|h| h.subset(&fit(h, false).rows, None, None));
            let fitted =
                errors(|h| h.subset(&fit(h, false).rows, Some(fit(h, false).values), None));
            let biased = errors(|h| {
                let m = fit(h, true);
                h.subset(&m.rows, Some(m.values), Some(&m.log_mass))
            });
            println!(
                "{name}, {choose:?}: values as they were {:.3} / {:.3}, fitted {:.3} / {:.3}, \
                 fitted with the bias {:.3} / {:.3}",
                raw.0, raw.1, fitted.0, fitted.1, biased.0, biased.1
            );
            let better = |of: fn(&(f64, f64)) -> f64| of(&fitted) < of(&raw);
            assert!(better(|e| e.0), "{name}, {choose:?}: beside the rest");
            assert!(i == 3 || better(|e| e.1), "{name}, {choose:?}: alone");
            // What is used without queries, and what is better where there are some.
            assert!(i == 1 || fitted.0 < spaced.0, "{name}, {choose:?}");
            assert!(i != 2 || fitted.1 < spaced.1, "{name}, {choose:?}");
        }
    }
}
