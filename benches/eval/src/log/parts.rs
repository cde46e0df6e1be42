//! The small parts that log lines are made of: addresses, users, numbers of processes.

use crate::rng::Rng;

/// Ordinary users.
pub(super) const USERS: &[&str] = &[
    "alice", "bruno", "carla", "dmitri", "elena", "farid", "greta", "hugo", "ines", "jonas",
    "keiko", "lars", "marta", "nadia", "oleg", "petra", "quentin", "rosa", "sven", "tomas",
    "deploy", "backup", "jenkins", "postgres", "monitor", "gitlab",
];

/// Names that password guessers try.
pub(super) const GUESSED: &[&str] = &[
    "admin",
    "test",
    "oracle",
    "ubuntu",
    "guest",
    "ftpuser",
    "pi",
    "user",
    "support",
    "mysql",
    "nagios",
    "hadoop",
    "steam",
    "minecraft",
    "www",
    "demo",
    "tomcat",
    "redis",
    "ec2-user",
    "vagrant",
    "operator",
    "sales",
    "info",
    "student",
    "dev",
    "teamspeak",
    "git",
    "zabbix",
    "elastic",
    "kafka",
];

/// Machines.
pub(super) fn host(rng: &mut Rng) -> String {
    let word = rng.pick(&["edge", "web", "node", "gw", "app", "build", "store"]);
    format!("{word}-{:02}", rng.between(1, 24))
}

/// An address inside.
pub(super) fn inside(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => format!("10.{}.{}.{}", rng.between(0, 40), rng.between(0, 255), rng.between(1, 254)),
        1 => format!("192.168.{}.{}", rng.between(0, 20), rng.between(1, 254)),
        _ => format!("172.{}.{}.{}", rng.between(16, 31), rng.between(0, 255), rng.between(1, 254)),
    }
}

/// An address outside, from the ranges for benchmarks and shared networks: nobody's.
pub(super) fn outside(rng: &mut Rng) -> String {
    let last = rng.between(1, 254);
    match rng.below(3) {
        0 => format!("198.18.{}.{last}", rng.between(0, 255)),
        1 => format!("198.19.{}.{last}", rng.between(0, 255)),
        _ => format!("100.{}.{}.{last}", rng.between(64, 127), rng.between(0, 255)),
    }
}

/// The client's side of a connection.
pub(super) fn port(rng: &mut Rng) -> u32 {
    rng.between(32_768, 60_999)
}

/// A hardware address, locally administered.
pub(super) fn mac(rng: &mut Rng) -> String {
    let mut text = String::from("02");
    for _ in 0..5 {
        text.push(':');
        text.push_str(&rng.hex(2));
    }
    text
}

/// A count of process numbers that rises like a kernel's.
#[derive(Debug)]
pub(super) struct Pids {
    next: u32,
}

impl Pids {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { next: rng.between(800, 9000) }
    }

    pub(super) fn take(&mut self, rng: &mut Rng) -> u32 {
        self.next += rng.between(1, 9);
        if self.next > 32_000 {
            self.next = rng.between(800, 2000);
        }
        self.next
    }
}
