//! `sshd`, `sudo`, `cron`: sessions of ordinary users among endless guesses of passwords.

use super::parts::{GUESSED, Pids, USERS, inside, outside, port};
use super::{Event, Source};
use crate::rng::Rng;
use std::collections::VecDeque;

/// The log of a machine that can be reached from outside.
#[derive(Debug)]
pub(crate) struct Auth {
    pids: Pids,
    sessions: Vec<Login>,
    homes: Vec<(&'static str, String)>,
    pending: VecDeque<Event>,
    /// Whether the superuser may occur (cron, sudo, guesses).
    superuser: bool,
}

#[derive(Debug)]
struct Login {
    user: &'static str,
    address: String,
    port: u32,
    pid: u32,
}

impl Auth {
    /// With `superuser` false no line speaks of root.
    pub(crate) fn new(rng: &mut Rng, superuser: bool) -> Self {
        let homes = USERS.iter().map(|user| (*user, inside(rng))).collect();
        let pids = Pids::new(rng);
        Self { pids, sessions: Vec::new(), homes, pending: VecDeque::new(), superuser }
    }

    pub(crate) fn pid(&mut self, rng: &mut Rng) -> u32 {
        self.pids.take(rng)
    }

    fn say(&mut self, process: &str, body: String) {
        self.pending.push_back(Event::new(process, body));
    }

    /// One machine outside tries names and passwords.
    fn guesses(&mut self, rng: &mut Rng) {
        let address = outside(rng);
        for _ in 0..rng.between(2, 7) {
            let sshd = format!("sshd[{}]", self.pid(rng));
            let (port, valid) = (port(rng), rng.chance(15));
            let user = if valid { rng.pick(USERS) } else { rng.pick(GUESSED) };
            if valid {
                self.say(
                    &sshd,
                    format!("Failed password for {user} from {address} port {port} ssh2"),
                );
            } else {
                if rng.chance(35) {
                    self.say(&sshd, format!("Invalid user {user} from {address} port {port}"));
                }
                let line = format!("invalid user {user} from {address} port {port} ssh2");
                self.say(&sshd, format!("Failed password for {line}"));
            }
            self.goodbye(rng, &sshd, user, valid, &format!("{address} port {port}"));
        }
    }

    fn goodbye(&mut self, rng: &mut Rng, sshd: &str, user: &str, valid: bool, from: &str) {
        let kind = if valid { "authenticating" } else { "invalid" };
        match rng.below(6) {
            0 => {
                self.say(sshd, format!("Connection closed by {kind} user {user} {from} [preauth]"))
            }
            1 => self.say(sshd, format!("Received disconnect from {from}:11: Bye Bye [preauth]")),
            2 => self.say(sshd, format!("Disconnected from {kind} user {user} {from} [preauth]")),
            _ => {}
        }
    }

    fn login(&mut self, rng: &mut Rng) {
        let (user, home) = self.homes[rng.below(self.homes.len())].clone();
        let address = if rng.chance(80) { home } else { inside(rng) };
        let login = Login { user, address, port: port(rng), pid: self.pid(rng) };
        let sshd = format!("sshd[{}]", login.pid);
        let how = if rng.chance(75) { "publickey" } else { "password" };
        let from = format!("{} port {} ssh2", login.address, login.port);
        self.say(&sshd, format!("Accepted {how} for {user} from {from}"));
        let uid = 1000 + USERS.iter().position(|name| *name == user).unwrap_or(0);
        let opened = format!("session opened for user {user}(uid={uid}) by (uid=0)");
        self.say(&sshd, format!("pam_unix(sshd:session): {opened}"));
        self.sessions.push(login);
    }

    fn logout(&mut self, rng: &mut Rng) {
        if self.sessions.is_empty() {
            return self.login(rng);
        }
        let login = self.sessions.swap_remove(rng.below(self.sessions.len()));
        let (user, from) = (login.user, format!("{} port {}", login.address, login.port));
        let sshd = format!("sshd[{}]", login.pid);
        self.say(&sshd, format!("Received disconnect from {from}:11: disconnected by user"));
        self.say(&sshd, format!("Disconnected from user {user} {from}"));
        self.say(&sshd, format!("pam_unix(sshd:session): session closed for user {user}"));
    }

    fn sudo(&mut self, rng: &mut Rng) {
        let user = rng.pick(USERS);
        let place = rng.pick(&["/srv/app", "/var/log", "/opt/tools", "/srv/ledger", "/etc/nginx"]);
        let target = if self.superuser { "root" } else { "www-data" };
        let command = rng.pick(&[
            "/usr/bin/systemctl status nginx",
            "/usr/bin/journalctl -u app",
            "/usr/bin/tail -n 200 error.log",
            "/usr/bin/ls -l releases",
            "/usr/sbin/nginx -t",
            "/usr/bin/du -sh cache",
        ]);
        let terminal = rng.between(0, 6);
        let body = format!("TTY=pts/{terminal} ; PWD={place} ; USER={target} ; COMMAND={command}");
        self.say("sudo", format!("{user:>8} : {body}"));
    }

    fn cron(&mut self, rng: &mut Rng) {
        let user = if self.superuser { "root" } else { "backup" };
        let cron = format!("CRON[{}]", self.pid(rng));
        let uid = if self.superuser { 0 } else { 34 };
        let opened = format!("session opened for user {user}(uid={uid}) by (uid=0)");
        self.say(&cron, format!("pam_unix(cron:session): {opened}"));
        self.say(&cron, format!("pam_unix(cron:session): session closed for user {user}"));
    }

    fn oddity(&mut self, rng: &mut Rng) {
        let sshd = format!("sshd[{}]", self.pid(rng));
        let from = format!("{} port {}", outside(rng), port(rng));
        let guessed = rng.pick(GUESSED);
        match rng.below(8) {
            0 => self.say(&sshd, format!("Did not receive identification string from {from}")),
            1 => self.say(&sshd, format!("error: kex_exchange_identification: from {from}")),
            2 => self.say(&sshd, format!("Connection reset by {from} [preauth]")),
            3 => {
                self.say(&sshd, format!("banner exchange: Connection from {from}: invalid format"))
            }
            4 => {
                let what = "maximum authentication attempts exceeded for invalid user";
                self.say(&sshd, format!("error: {what} {guessed} from {from} ssh2 [preauth]"));
            }
            5 => {
                let what = "Unable to negotiate with";
                let why = "no matching host key type found. Their offer: ssh-rsa";
                self.say(&sshd, format!("{what} {from}: {why} [preauth]"));
            }
            6 => {
                let number = rng.between(20, 900);
                let body = format!("New session {number} of user {}.", rng.pick(USERS));
                self.say("systemd-logind[611]", body);
            }
            _ => {
                let number = rng.between(20, 900);
                self.say("systemd-logind[611]", format!("Removed session {number}."));
            }
        }
    }
}

impl Source for Auth {
    fn event(&mut self, rng: &mut Rng) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            match rng.below(100) {
                0..55 => self.guesses(rng),
                55..69 => self.login(rng),
                69..81 => self.logout(rng),
                81..86 => self.sudo(rng),
                86..92 => self.cron(rng),
                _ => self.oddity(rng),
            }
        }
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        if self.pending.is_empty() { rng.between(400, 40_000) } else { rng.between(0, 2500) }
    }
}
