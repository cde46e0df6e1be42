//! What the machine is, read from its files.

use std::path::Path;

/// A text that is the same on processors that behave alike: model and instruction sets.
#[must_use]
pub fn processor_text(root: &Path) -> String {
    let info = std::fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let wanted = ["vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part"];
    let mut lines: Vec<&str> = info
        .lines()
        .filter(|l| l.split(':').next().is_some_and(|k| wanted.contains(&k.trim())))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    format!("{} {}", std::env::consts::ARCH, lines.join("\n"))
}
