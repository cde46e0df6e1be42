//! Kernel and network of a small board: links, firewall, disks, temperatures, USB.

use super::parts::{inside, mac, outside, port};
use super::{Event, Source};
use crate::rng::Rng;

/// A kernel's messages, with its own clock in brackets.
#[derive(Debug)]
pub(super) struct Kernel {
    uptime_us: u64,
    mac: String,
    conntrack: u32,
}

impl Kernel {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let uptime_us = u64::from(rng.between(900, 90_000)) * 1_000_000;
        Self { uptime_us, mac: mac(rng), conntrack: 4000 }
    }

    fn firewall(&self, rng: &mut Rng) -> String {
        let target = rng.pick(&[22, 23, 80, 443, 445, 3389, 5060, 6379, 8080, 9200]);
        let verdict = rng.pick(&["UFW BLOCK", "UFW BLOCK", "UFW BLOCK", "UFW AUDIT"]);
        let protocol = rng.pick(&["TCP", "TCP", "UDP"]);
        let (from, to) = (outside(rng), "10.0.0.14");
        let (ttl, id, length) =
            (rng.between(40, 250), rng.between(1, 65_000), rng.between(40, 120));
        let head = format!("[{verdict}] IN=eth0 OUT= MAC={} SRC={from} DST={to}", self.mac);
        let tail = format!("PROTO={protocol} SPT={} DPT={target}", port(rng));
        format!("{head} LEN={length} TTL={ttl} ID={id} {tail}")
    }

    fn network(&mut self, rng: &mut Rng) -> String {
        let card = rng.pick(&["eth0", "eth1", "wlan0", "br0", "veth3f2a"]);
        self.conntrack = (self.conntrack + rng.between(0, 400)).saturating_sub(180);
        match rng.below(6) {
            0 => format!("{card}: link is down"),
            1 => format!("{card}: link is up, 1000 Mbps, full duplex, flow control rx/tx"),
            2 => format!("IPv6: ADDRCONF(NETDEV_CHANGE): {card}: link becomes ready"),
            3 => format!("{card}: dropped {} frames, ring full", rng.between(1, 90)),
            4 => format!("nf_conntrack: {} of 65536 entries in use", self.conntrack),
            _ => format!("martian source 255.255.255.255 from {}, on dev {card}", inside(rng)),
        }
    }

    fn disk(rng: &mut Rng) -> String {
        let disk = rng.pick(&["mmcblk0p1", "nvme0n1p2", "sda1", "dm-0"]);
        match rng.below(5) {
            0 => format!("EXT4-fs ({disk}): mounted filesystem with ordered data mode"),
            1 => format!("EXT4-fs ({disk}): re-mounted. Quota mode: none"),
            2 => format!("nvme nvme0: I/O {} QID {} timeout", rng.between(1, 900), rng.below(8)),
            3 => {
                let sector = rng.between(100_000, 9_000_000);
                format!("blk_update_request: I/O error, dev {disk}, sector {sector}")
            }
            _ => format!("{disk}: write cache flushed in {} us", rng.between(80, 9000)),
        }
    }

    fn board(rng: &mut Rng) -> String {
        let core = rng.below(6);
        match rng.below(7) {
            0 => format!("thermal thermal_zone{core}: trip point reached, {} mC", milli(rng)),
            1 => format!("cpu cpu{core}: throttled to {} MHz", rng.between(700, 1900)),
            2 => format!("usb 1-{core}: new high-speed USB device number {}", rng.between(2, 90)),
            3 => format!("usb 1-{core}: USB disconnect, device number {}", rng.between(2, 90)),
            4 => format!("tegra-i2c c240000.i2c: transfer of {} bytes retried", rng.between(1, 64)),
            5 => {
                let name = rng.pick(&["python3", "ffmpeg", "node", "java", "recorder"]);
                let killed =
                    format!("Out of memory: Killed process {} ({name})", rng.between(900, 30_000));
                format!("{killed} anon-rss:{}kB", rng.between(90_000, 900_000))
            }
            _ => format!("audit: type=1400 apparmor=\"ALLOWED\" pid={}", rng.between(900, 30_000)),
        }
    }
}

fn milli(rng: &mut Rng) -> u32 {
    rng.between(61_000, 97_500)
}

impl Source for Kernel {
    fn event(&mut self, rng: &mut Rng) -> Event {
        self.uptime_us += u64::from(rng.between(900, 9_000_000));
        let body = match rng.below(20) {
            0..9 => self.firewall(rng),
            9..13 => self.network(rng),
            13..16 => Self::disk(rng),
            _ => Self::board(rng),
        };
        let (seconds, rest) = (self.uptime_us / 1_000_000, self.uptime_us % 1_000_000);
        Event::new("kernel", format!("[{seconds:>6}.{rest:06}] {body}"))
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        rng.between(10, 14_000)
    }
}
