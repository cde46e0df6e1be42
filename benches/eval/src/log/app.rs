//! A service in several components: requests with their numbers, a database, a cache, a queue.

use super::{Event, Source};
use crate::rng::Rng;

/// The log of an order service.
#[derive(Debug)]
pub(crate) struct App {
    request: u64,
    pool: u32,
    offset: u32,
}

impl App {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { request: rng.next_u64() >> 40, pool: 8, offset: rng.between(40_000, 900_000) }
    }

    fn gateway(&mut self, rng: &mut Rng) -> Event {
        self.request += u64::from(rng.between(1, 40));
        let id = format!("req={:07x}", self.request);
        let verb = rng.pick(&["GET", "GET", "GET", "POST", "PUT", "DELETE"]);
        let thing = rng.pick(&["orders", "customers", "invoices", "stock", "sessions", "quotes"]);
        let number = rng.between(1000, 99_999);
        let took = rng.between(2, 480);
        match rng.below(12) {
            0 => {
                let body = format!("{id} {verb} /v1/{thing}/{number} timed out after 5000 ms");
                Event::new("gateway", body).at("ERROR")
            }
            1 => {
                let body = format!("{id} slow request: {verb} /v1/{thing} took {} ms", took + 900);
                Event::new("gateway", body).at("WARN")
            }
            2 => Event::new("gateway", format!("{id} rejected: rate limit for client {number}"))
                .at("WARN"),
            _ => {
                let status = rng.pick(&[200, 200, 200, 201, 204, 400, 404, 422]);
                let body = format!("{id} {verb} /v1/{thing}/{number} {status} in {took} ms");
                Event::new("gateway", body)
            }
        }
    }

    fn database(&mut self, rng: &mut Rng) -> Event {
        let table = rng.pick(&["orders", "order_lines", "customers", "payments", "stock_moves"]);
        let rows = rng.between(1, 4000);
        let took = rng.between(1, 220);
        self.pool = (self.pool + rng.between(0, 4)).saturating_sub(2).clamp(1, 32);
        match rng.below(7) {
            0 => Event::new("db", format!("pool size {} of 32, {} waiting", self.pool, rows % 5)),
            1 => {
                Event::new("db", format!("vacuum of {table} removed {rows} dead rows in {took} ms"))
            }
            2 => {
                let body = format!("deadlock on {table}, transaction {} rolled back", rng.hex(8));
                Event::new("db", body).at("WARN")
            }
            3 => {
                Event::new("db", format!("checkpoint complete: wrote {rows} buffers in {took} ms"))
            }
            _ => Event::new("db", format!("select from {table} returned {rows} rows in {took} ms"))
                .at("DEBUG"),
        }
    }

    fn cache(rng: &mut Rng) -> Event {
        let hits = rng.between(71, 99);
        let keys = rng.between(200, 90_000);
        match rng.below(4) {
            0 => Event::new("cache", format!("evicted {} keys, {keys} left", rng.between(5, 400))),
            1 => Event::new("cache", format!("miss for customer:{keys}, loading")).at("DEBUG"),
            2 => Event::new("cache", format!("warmed {keys} keys from snapshot")),
            _ => Event::new("cache", format!("hit rate {hits}.{}% over 60 s", rng.between(0, 9))),
        }
    }

    fn queue(&mut self, rng: &mut Rng) -> Event {
        let topic = rng.pick(&["mail", "billing", "search-index", "webhooks", "exports"]);
        self.offset += rng.between(1, 60);
        let offset = self.offset;
        match rng.below(6) {
            0 => {
                let lag = rng.between(100, 9000);
                Event::new("worker", format!("topic {topic} lags by {lag} messages")).at("WARN")
            }
            1 => {
                let try_number = rng.between(2, 5);
                let body = format!("retry {try_number} of message {offset} on {topic}");
                Event::new("worker", body).at("WARN")
            }
            2 => Event::new("worker", format!("rebalanced {topic}: 4 partitions assigned")),
            _ => {
                let took = rng.between(1, 90);
                let body = format!("handled message {offset} of {topic} in {took} ms");
                Event::new("worker", body)
            }
        }
    }

    fn runtime(rng: &mut Rng) -> Event {
        let mib = rng.between(300, 1900);
        match rng.below(6) {
            0 => {
                Event::new("gc", format!("collected {} MiB, heap {mib} MiB", rng.between(20, 300)))
            }
            1 => Event::new("metrics", format!("flushed {} series", rng.between(300, 2400))),
            2 => Event::new("config", "reloaded, no change"),
            3 => Event::new("health", "all 6 checks passed"),
            4 => Event::new("health", format!("check search slow: {} ms", rng.between(500, 3000)))
                .at("WARN"),
            _ => {
                let body = format!("token refreshed, valid for {} s", rng.between(600, 3600));
                Event::new("auth", body)
            }
        }
    }
}

impl Source for App {
    fn event(&mut self, rng: &mut Rng) -> Event {
        match rng.below(20) {
            0..10 => self.gateway(rng),
            10..13 => self.database(rng),
            13..15 => Self::cache(rng),
            15..18 => self.queue(rng),
            _ => Self::runtime(rng),
        }
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        if rng.chance(80) { rng.between(1, 1400) } else { rng.between(1400, 20_000) }
    }
}
