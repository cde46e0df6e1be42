//! A web server's access log: visitors that walk from page to page, robots, scanners, health
//! checks.

use super::parts::outside;
use super::{Event, Source};
use crate::rng::Rng;

const PAGES: &[&str] = &[
    "/",
    "/index.html",
    "/about",
    "/pricing",
    "/docs/install",
    "/docs/config",
    "/docs/faq",
    "/blog/2026/02/release",
    "/blog/2026/01/roadmap",
    "/login",
    "/account",
    "/cart",
    "/search?q=cable",
    "/search?q=sensor",
    "/products/1042",
    "/products/1177",
    "/products/2210",
    "/static/app.js",
    "/static/site.css",
    "/static/logo.svg",
    "/favicon.ico",
    "/robots.txt",
];
const SCANNED: &[&str] = &[
    "/wp-login.php",
    "/.env",
    "/phpmyadmin/",
    "/admin.php",
    "/cgi-bin/luci",
    "/.git/config",
    "/server-status",
    "/boaform/admin/formLogin",
    "/solr/admin/info/system",
    "/actuator/health",
];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/122.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.2 Safari/605.1.15",
];

/// Visitors of one site.
#[derive(Debug)]
pub(super) struct Web {
    visitors: Vec<Visitor>,
}

#[derive(Clone, Debug)]
struct Visitor {
    address: String,
    agent: &'static str,
    page: &'static str,
}

impl Web {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { visitors: (0..12).map(|_| visitor(rng)).collect() }
    }
}

fn visitor(rng: &mut Rng) -> Visitor {
    Visitor { address: outside(rng), agent: rng.pick(AGENTS), page: "-" }
}

/// `"GET /x HTTP/1.1" 200 512 "-" "agent"`
fn request(rng: &mut Rng, what: &str, status: u32, referrer: &str, agent: &str) -> String {
    let bytes = if status == 304 { 0 } else { rng.between(180, 48_000) };
    let took = rng.between(1, 900);
    format!("\"{what} HTTP/1.1\" {status} {bytes} \"{referrer}\" \"{agent}\" {took}ms")
}

impl Source for Web {
    fn event(&mut self, rng: &mut Rng) -> Event {
        let at = rng.below(self.visitors.len());
        if rng.chance(8) {
            self.visitors[at] = visitor(rng);
        }
        let who = self.visitors[at].clone();
        match rng.below(20) {
            0 => {
                let body = request(rng, "GET /health", 200, "-", "probe/2.1");
                Event::new("10.0.0.5", body)
            }
            1 => {
                let what = format!("GET {}", rng.pick(SCANNED));
                let body = request(rng, &what, 404, "-", "python-requests/2.31.0");
                Event::new(outside(rng), body)
            }
            2 => {
                let what = format!("POST /api/v2/orders/{}", rng.between(10_000, 99_999));
                let status = rng.pick(&[200, 201, 201, 400, 409, 500]);
                let body = request(rng, &what, status, "/cart", who.agent);
                Event::new(who.address, body)
            }
            3 => {
                let what = format!("GET /feed.xml?since={}", rng.between(1000, 9999));
                Event::new(outside(rng), request(rng, &what, 200, "-", "FeedReader/4.7"))
            }
            _ => {
                let page = rng.pick(PAGES);
                let status = rng.pick(&[200, 200, 200, 200, 200, 304, 304, 302, 404]);
                let body = request(rng, &format!("GET {page}"), status, who.page, who.agent);
                self.visitors[at].page = page;
                Event::new(who.address, body)
            }
        }
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        if rng.chance(70) { rng.between(3, 900) } else { rng.between(900, 9000) }
    }
}
