use super::*;
use lcedge_memory::KvBuf;

/// Numbers in -1..1 that look random.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

const ONE: Geometry = Geometry { layers: 1, kv_heads: 1, head_dim: 2, block_tokens: 8 };

fn block(geometry: Geometry, k: &[f32], v: &[f32]) -> KvBuf {
    let tokens = k.len() / geometry.values_per_token();
    let mut b = KvBuf::with_capacity(geometry, tokens);
    let (keys, values) = b.fill(tokens);
    keys.copy_from_slice(k);
    values.copy_from_slice(v);
    b
}

fn absorb(c: &mut Camelot, b: &KvBuf, state: &mut Condensed) {
    c.absorb(b.view(), &vec![0.0; b.tokens()], state).unwrap();
}

#[test]
fn computed_by_hand() {
    let mut c = Camelot::new(0.9);
    let mut s = Condensed::with_capacity(ONE, 2);
    // The third joins the first: (1 + 2) / 2. The fourth is like none and takes the slot, of two
    // used in the same block, that stands for fewer tokens.
    let k = [1.0, 0.0, 0.0, 1.0, 2.0, 0.0, -1.0, 0.0];
    let v = [1.0, 0.0, 0.0, 1.0, 3.0, 0.0, 5.0, 5.0];
    absorb(&mut c, &block(ONE, &k, &v), &mut s);
    assert_eq!(s.kv.view().k(), [1.5, 0.0, -1.0, 0.0]);
    assert_eq!(s.kv.view().v(), [2.0, 0.0, 5.0, 5.0]);
    assert_eq!((&s.covers, &s.weight), (&vec![2, 1], &vec![2.0, 1.0]));
    // The running mean of three: (1.5 * 2 + 3) / 3; it is the youngest now and stands last.
    absorb(&mut c, &block(ONE, &[3.0, 0.0], &[5.0, 3.0]), &mut s);
    assert_eq!(s.kv.view().k(), [-1.0, 0.0, 2.0, 0.0]);
    assert_eq!(s.kv.view().v(), [5.0, 5.0, 3.0, 1.0]);
    assert_eq!(s.covers, [1, 3]);
    // Something new takes the stalest slot, whatever the counts: -1, 0 was last used a block ago.
    absorb(&mut c, &block(ONE, &[-1.0, 0.0, -1.0, 0.0], &[5.0; 4]), &mut s);
    assert_eq!(s.covers, [3, 3]);
    absorb(&mut c, &block(ONE, &[0.0, 7.0], &[1.0, 1.0]), &mut s);
    assert_eq!(s.kv.view().k(), [-1.0, 0.0, 0.0, 7.0]);
    assert_eq!(s.covers, [3, 1]);
}

#[test]
fn a_head_with_fewer_slots_shows_its_most_used_ones_again() {
    let two = Geometry { kv_heads: 2, ..ONE };
    let mut c = Camelot::new(0.9);
    let mut s = Condensed::with_capacity(two, 8);
    // Head 0: four different tokens. Head 1: three of one kind, then another.
    let k = [[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0], [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 1.0]];
    absorb(&mut c, &block(two, k.as_flattened(), &[1.0; 16]), &mut s);
    assert_eq!(s.kv.view().k_head(0, 0), k[0]);
    assert_eq!(s.kv.view().k_head(0, 1), [2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 1.0]);
    assert_eq!(s.covers, [1, 1, 1, 1]);
    assert_eq!(s.weight, [1.0; 4]);
}

#[test]
fn an_empty_state_begins_anew_and_wrong_scores_are_refused() {
    let mut c = Camelot::new(0.9);
    let mut s = Condensed::with_capacity(ONE, 3);
    absorb(&mut c, &block(ONE, &[1.0, 0.0, 0.0, 1.0], &[1.0; 4]), &mut s);
    s.clear();
    absorb(&mut c, &block(ONE, &[4.0, 0.0], &[2.0; 2]), &mut s);
    assert_eq!((s.kv.view().k(), &s.covers), (&[4.0, 0.0][..], &vec![1]));
    let b = block(ONE, &[1.0, 0.0], &[1.0; 2]);
    let refused = c.absorb(b.view(), &[], &mut s);
    assert_eq!(refused, Err(CondenseError::Scores { scores: 0, tokens: 1 }));
    assert_eq!(s.len(), 1);
    let mut none = Condensed::with_capacity(ONE, 0);
    absorb(&mut Camelot::new(0.9), &b, &mut none);
    assert!(none.is_empty());
}

/// One mode of the plain reference: sums instead of running means.
struct Mode {
    k: Vec<f64>,
    v: Vec<f64>,
    count: f64,
    age: u64,
    last: usize,
}

/// One head, written as the paper tells it: for each token the nearest mode, else the oldest.
fn reference(blocks: &[(Vec<f64>, Vec<f64>)], d: usize, most: usize, threshold: f64) -> Vec<Mode> {
    let mut modes: Vec<Mode> = Vec::new();
    let mut token = 0;
    for (keys, values) in blocks {
        for mode in &mut modes {
            mode.age += 1;
        }
        for (k, v) in keys.chunks(d).zip(values.chunks(d)) {
            let cosine = |m: &Mode| {
                let (mut dot, mut a, mut b) = (0.0, 0.0, 0.0);
                for (sum, x) in m.k.iter().zip(k) {
                    let mean = sum / m.count;
                    dot += mean * x;
                    a += mean * mean;
                    b += x * x;
                }
                dot / (a * b).sqrt()
            };
            let mut near: Vec<(f64, usize)> = modes.iter().map(&cosine).zip(0..).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            token += 1;
            if let Some(&(c, i)) = near.first()
                && c > threshold
            {
                let m = &mut modes[i];
                m.k.iter_mut().zip(k).for_each(|(s, x)| *s += x);
                m.v.iter_mut().zip(v).for_each(|(s, x)| *s += x);
                (m.count, m.age, m.last) = (m.count + 1.0, 0, token);
                continue;
            }
            if modes.len() == most {
                let worst = (0..most).min_by(|&a, &b| {
                    let (a, b) = (&modes[a], &modes[b]);
                    b.age.cmp(&a.age).then(a.count.total_cmp(&b.count)).then(a.last.cmp(&b.last))
                });
                modes.remove(worst.unwrap());
            }
            modes.push(Mode { k: k.to_vec(), v: v.to_vec(), count: 1.0, age: 0, last: token });
        }
    }
    modes.sort_by_key(|m| m.last);
    modes
}

#[test]
fn equals_a_plain_loop_in_f64_over_random_blocks() {
    const G: Geometry = Geometry { layers: 2, kv_heads: 3, head_dim: 6, block_tokens: 16 };
    const CAPACITY: usize = 20;
    let mut noise = Noise(7);
    let centres: Vec<f32> = (0..30 * 6).map(|_| noise.next()).collect();
    let mut c = Camelot::new(0.9);
    let mut s = Condensed::with_capacity(G, CAPACITY);
    let mut heads = vec![Vec::new(); 6];
    let mut joined = false;
    for n in (0..40).map(|i| 1 + (i * 7) % 16) {
        // Tokens near one of thirty centres, so that some join and some do not.
        let mut b = KvBuf::with_capacity(G, n);
        let (k, v) = b.fill(n);
        for (k, v) in k.chunks_mut(6).zip(v.chunks_mut(6)) {
            let at = ((noise.next() + 1.0) * 15.0) as usize % 30 * 6;
            let near = &centres[at..at + 6];
            k.iter_mut().zip(near).for_each(|(k, x)| *k = x + 0.25 * noise.next());
            v.iter_mut().for_each(|v| *v = noise.next());
        }
        absorb(&mut c, &b, &mut s);
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let mut most = 0;
        let modes: Vec<Vec<Mode>> = (0..6)
            .map(|h| {
                let view = b.view();
                heads[h].push((wide(view.k_head(h / 3, h % 3)), wide(view.v_head(h / 3, h % 3))));
                let modes = reference(&heads[h], 6, CAPACITY, 0.9f32.into());
                most = most.max(modes.len());
                modes
            })
            .collect();
        assert_eq!(s.len(), most);
        assert_eq!(s.kv.tokens(), most);
        let mut represented = 0.0;
        for (h, modes) in modes.iter().enumerate() {
            let view = s.kv.view();
            let (k, v) = (view.k_head(h / 3, h % 3), view.v_head(h / 3, h % 3));
            represented += modes.iter().map(|m| m.count).sum::<f64>();
            joined |= modes.iter().any(|m| m.count > 2.0);
            // Copies of a mode stand beside it.
            let mut rows: Vec<(&[f32], &[f32])> = k.chunks(6).zip(v.chunks(6)).collect();
            rows.dedup();
            assert_eq!(rows.len(), modes.len());
            for ((k, v), m) in rows.iter().zip(modes) {
                for i in 0..6 {
                    assert!((f64::from(k[i]) - m.k[i] / m.count).abs() < 1e-5);
                    assert!((f64::from(v[i]) - m.v[i] / m.count).abs() < 1e-5);
                }
            }
        }
        let covers: u32 = s.covers.iter().sum();
        assert_eq!(covers, (represented / 6.0).floor() as u32);
        let weight: f32 = s.weight.iter().sum();
        assert!((f64::from(weight) - represented / 6.0).abs() < 1e-3);
    }
    assert!(joined && s.len() == CAPACITY, "both cases were met");
}
