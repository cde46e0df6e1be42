//! A batch scheduler: jobs are submitted, wait, start on a node, finish or fail and are retried.

use super::parts::USERS;
use super::{Event, Source};
use crate::rng::Rng;

/// Jobs that are known to the scheduler.
#[derive(Debug)]
pub(super) struct Jobs {
    next: u32,
    waiting: Vec<Job>,
    running: Vec<Job>,
}

#[derive(Debug)]
struct Job {
    number: u32,
    name: &'static str,
    user: &'static str,
    node: String,
    tries: u32,
}

impl Jobs {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { next: rng.between(10_000, 90_000), waiting: Vec::new(), running: Vec::new() }
    }

    fn submit(&mut self, rng: &mut Rng) -> Event {
        self.next += rng.between(1, 3);
        let name = rng.pick(&[
            "nightly-report",
            "train-small",
            "index-rebuild",
            "export-csv",
            "render",
            "fold-proteins",
            "backup-check",
            "etl-orders",
            "resize-images",
            "lint-corpus",
            "simulate-grid",
            "compact",
        ]);
        let user = rng.pick(USERS);
        let (cores, memory) = (rng.pick(&[1, 2, 4, 8, 16, 32]), rng.between(1, 64));
        let number = self.next;
        self.waiting.push(Job { number, name, user, node: String::new(), tries: 1 });
        let what = format!("job {number} ({name}) submitted by {user}");
        Event::new("scheduler", format!("{what}: {cores} cores, {memory} GiB"))
    }

    fn start(&mut self, rng: &mut Rng) -> Event {
        if self.waiting.is_empty() {
            return self.submit(rng);
        }
        let mut job = self.waiting.swap_remove(rng.below(self.waiting.len()));
        job.node = format!("c{:03}", rng.between(1, 96));
        let waited = rng.between(1, 90);
        let body = format!("job {} started on {} after {waited} s", job.number, job.node);
        self.running.push(job);
        Event::new("scheduler", body)
    }

    fn finish(&mut self, rng: &mut Rng) -> Event {
        if self.running.is_empty() {
            return self.start(rng);
        }
        let mut job = self.running.swap_remove(rng.below(self.running.len()));
        let took = rng.between(3, 600);
        let worker = format!("worker-{}", job.node);
        if rng.chance(80) {
            let used = format!("{took} s, peak {} MiB", rng.between(40, 60_000));
            return Event::new(worker, format!("job {} finished, exit 0, {used}", job.number));
        }
        let code = rng.pick(&[1, 2, 9, 134, 137, 139]);
        let body = format!("job {} ({}) failed, exit {code}, {took} s", job.number, job.name);
        if job.tries < 3 && rng.chance(60) {
            job.tries += 1;
            self.waiting.push(job);
        }
        Event::new(worker, body).at("ERROR")
    }

    fn chatter(&mut self, rng: &mut Rng) -> Event {
        let node = format!("c{:03}", rng.between(1, 96));
        let (waiting, running) = (self.waiting.len(), self.running.len());
        match rng.below(8) {
            0 => Event::new("scheduler", format!("{waiting} waiting, {running} running")),
            1 => Event::new("scheduler", format!("node {node} drained: fan speed low")).at("WARN"),
            2 => Event::new("scheduler", format!("node {node} back in service")),
            3 => Event::new("scheduler", format!("node {node} missed {} beats", rng.between(2, 9)))
                .at("WARN"),
            4 => Event::new("quota", format!("{} at {}%", rng.pick(USERS), rng.between(10, 99))),
            5 => Event::new("cron", format!("tick, {} entries due", rng.between(0, 9))).at("DEBUG"),
            6 => {
                let user = self.waiting.first().map_or("nobody", |job| job.user);
                Event::new("scheduler", format!("fair share recomputed, first in line: {user}"))
            }
            _ => {
                Event::new(format!("worker-{node}"), format!("scratch at {}%", rng.between(3, 97)))
            }
        }
    }
}

impl Source for Jobs {
    fn event(&mut self, rng: &mut Rng) -> Event {
        match rng.below(20) {
            0..6 => self.submit(rng),
            6..11 => self.start(rng),
            11..16 => self.finish(rng),
            _ => self.chatter(rng),
        }
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        rng.between(50, 25_000)
    }
}
