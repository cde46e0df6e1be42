use super::*;
use fit::Matched;

mod figures;
mod reference;

/// Numbers in -1..1 that look random.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(super) fn rows(&mut self, n: usize, d: usize, size: f32) -> Array2<f32> {
        Array2::from_shape_fn((n, d), |_| size * self.next())
    }
}

const G: Geometry = Geometry { layers: 2, kv_heads: 2, head_dim: 4, block_tokens: 16 };

fn block(noise: &mut Noise, tokens: usize) -> KvBuf {
    let mut b = KvBuf::with_capacity(G, tokens);
    let (k, v) = b.fill(tokens);
    k.iter_mut().chain(v).for_each(|x| *x = 2.0 * noise.next());
    b
}

fn absorb(m: &mut Matching, b: &KvBuf, state: &mut Condensed) {
    m.absorb(b.view(), &vec![0.0; b.tokens()], state).unwrap();
}

#[test]
fn a_full_tier_matches_the_oldest_equals_again_and_loses_no_token() {
    let group = |states, blocks| Group { states, blocks, tokens: 10 * blocks };
    let mut groups: VecDeque<Group> = [group(2, 1); 4].into();
    groups.push_back(group(2, 1));
    let merges = make_room(&mut groups, 8);
    assert_eq!(groups, [group(2, 2), group(2, 1), group(2, 1), group(2, 1)]);
    assert_eq!((merges.len(), merges[0].at, merges[0].states), (1, 0, (2, 2, 2)));
    groups.push_back(group(2, 1));
    assert_eq!(make_room(&mut groups, 8)[0].at, 2, "the oldest that stand for as many");
    assert_eq!(groups, [group(2, 2), group(2, 2), group(2, 1), group(2, 1)]);
    // Several at once, and what does not pair up.
    let mut groups: VecDeque<Group> = [group(4, 4), group(4, 2), group(3, 1)].into();
    assert_eq!(make_room(&mut groups, 5).len(), 2);
    assert_eq!(groups, [group(4, 7)]);
}

#[test]
fn the_state_is_bounded_over_many_blocks() {
    for (capacity, ratio) in [(13, 4), (8, 1), (2, 8), (1, 8)] {
        for choose in [Choose::Mass, Choose::Pursuit] {
            let mut m = Matching::new(MatchingOptions { ratio, choose, ridge: 0.01 });
            let mut s = Condensed::with_capacity(G, capacity);
            let mut noise = Noise(3);
            let mut tokens = 0;
            for n in (0..60).map(|i| 1 + i * 7 % 16) {
                absorb(&mut m, &block(&mut noise, n), &mut s);
                tokens += n;
                assert!((1..=capacity).contains(&s.len()));
                assert_eq!((s.kv.tokens(), s.covers.len()), (s.len(), s.len()));
                assert_eq!(s.covers.iter().sum::<u32>() as usize, tokens);
                assert!(s.weight.iter().all(|w| w.is_finite() && *w > 0.0), "{:?}", s.weight);
                let view = s.kv.view();
                assert!(view.k().iter().chain(view.v()).all(|x| x.abs() < 20.0));
            }
            assert!(s.len() * 2 > capacity, "the slots are used: {} of {capacity}", s.len());
        }
    }
}

#[test]
fn while_there_is_room_states_stay_as_they_are() {
    let mut m = Matching::new(MatchingOptions::default());
    let mut s = Condensed::with_capacity(G, 20);
    let mut noise = Noise(5);
    let (a, b) = (block(&mut noise, 16), block(&mut noise, 13));
    absorb(&mut m, &a, &mut s);
    let first = s.clone();
    absorb(&mut m, &b, &mut s);
    assert_eq!((first.len(), s.len()), (2, 4));
    assert_eq!(s.covers, [8, 8, 6, 7]);
    for (l, h) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (was, is) = (first.kv.view(), s.kv.view());
        assert_eq!(was.k_head(l, h), &is.k_head(l, h)[..8]);
        assert_eq!(was.v_head(l, h), &is.v_head(l, h)[..8]);
        // Keys are never changed, and they stand in order of time.
        let keys: Vec<&[f32]> = b.view().k_head(l, h).chunks(4).collect();
        let at = |k: &[f32]| keys.iter().position(|x| *x == k).unwrap();
        let new = &is.k_head(l, h)[8..];
        assert!(at(&new[..4]) < at(&new[4..]));
    }
}

#[test]
fn real_queries_are_taken_where_there_are_some() {
    let mut noise = Noise(11);
    let b = block(&mut noise, 16);
    let scores = [0.0; 16];
    let mut by_keys = Condensed::with_capacity(G, 8);
    absorb(&mut Matching::new(MatchingOptions::default()), &b, &mut by_keys);
    let queries = noise.rows(24, 4, 3.0);
    let mut mixed = Condensed::with_capacity(G, 8);
    let real = |layer, head| ((layer, head) == (1, 0)).then(|| queries.view());
    let mut m = Matching::new(MatchingOptions::default());
    m.absorb_with(b.view(), &scores, &real, &mut mixed).unwrap();
    for (l, h) in [(0, 0), (0, 1), (1, 1)] {
        assert_eq!(by_keys.kv.view().v_head(l, h), mixed.kv.view().v_head(l, h));
    }
    assert_ne!(by_keys.kv.view().v_head(1, 0), mixed.kv.view().v_head(1, 0));
    let rows = |x| ArrayView2::from_shape((16, 4), x).unwrap();
    let (k, v) = (rows(b.view().k_head(1, 0)), rows(b.view().v_head(1, 0)));
    let part = Part { k, v, log_mass: &[0.0; 16] };
    let fit = Fit { choose: Choose::Mass, ridge: 0.01, biased: false };
    let m: Matched = matched(&[part], queries.view(), 2, fit);
    assert_eq!(mixed.kv.view().v_head(1, 0), m.values.as_slice().unwrap());
    assert_eq!(
        mixed.kv.view().k_head(1, 0),
        k.select(ndarray::Axis(0), &m.rows).as_slice().unwrap()
    );
}

#[test]
fn an_empty_state_begins_anew_and_wrong_scores_are_refused() {
    let mut noise = Noise(2);
    let (a, b) = (block(&mut noise, 16), block(&mut noise, 16));
    let mut m = Matching::new(MatchingOptions::default());
    let mut s = Condensed::with_capacity(G, 4);
    absorb(&mut m, &a, &mut s);
    s.clear();
    absorb(&mut m, &b, &mut s);
    let mut alone = Condensed::with_capacity(G, 4);
    absorb(&mut Matching::new(MatchingOptions::default()), &b, &mut alone);
    assert_eq!(s.kv.view().v(), alone.kv.view().v());
    assert_eq!((s.covers.iter().sum::<u32>(), s.len()), (16, 2));
    let refused = m.absorb(a.view(), &[0.0], &mut s);
    assert_eq!(refused, Err(CondenseError::Scores { scores: 1, tokens: 16 }));
    assert_eq!(s.len(), 2);
    let mut none = Condensed::with_capacity(G, 0);
    absorb(&mut m, &a, &mut none);
    assert!(none.is_empty());
}

#[test]
fn values_that_are_not_finite_do_not_stop_it() {
    let mut b = block(&mut Noise(4), 16);
    b.fill(16).0[5] = f32::NAN;
    let mut s = Condensed::with_capacity(G, 4);
    for choose in [Choose::Mass, Choose::Pursuit] {
        let mut m = Matching::new(MatchingOptions { choose, ..MatchingOptions::default() });
        absorb(&mut m, &b, &mut s);
        assert_eq!(s.len(), 2);
        s.clear();
    }
}
