//! What the system says of this process.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Sizes of this process in bytes; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Largest resident size so far.
    pub(crate) peak: u64,
    /// Resident size.
    pub(crate) resident: u64,
    /// Its anonymous part.
    pub(crate) anonymous: u64,
}

/// The sizes now (Linux; zeros elsewhere).
pub(crate) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| kib(&status, name) * 1024;
    Memory { peak: field("VmHWM:"), resident: field("VmRSS:"), anonymous: field("RssAnon:") }
}

fn kib(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes that this process has written with system calls, where the system tells.
pub(crate) fn written_bytes() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar:"))?.trim().parse().ok()
}

/// Bytes that this process has had read from disk, where the system tells: what the page cache had
/// is not among them.
pub(crate) fn disk_read_bytes() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// Takes the files of a folder and below out of the page cache, as far as nobody has them mapped.
/// What was written is synced first: only clean pages go.
pub(crate) fn evict(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            evict(&path)?;
        } else {
            let file = fs::File::open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Reads the files of a folder and below, so that they are in the page cache, as far as it has
/// room.
pub(crate) fn warm(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            warm(&path)?;
        } else {
            std::io::copy(&mut fs::File::open(&path)?, &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// Processor time of this process so far, all threads, user and system; `None` where the system
/// does not tell.
pub(crate) fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = cpu_ticks(&stat)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(ticks.saturating_mul(1000) / per_second))
}

/// User and system time in ticks: the 14th and 15th field; the second may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// File descriptors that this process has open; 0 where the system does not tell.
pub(crate) fn open_files() -> usize {
    // The folder that is being read is one of them.
    fs::read_dir("/proc/self/fd").map_or(0, |d| d.count().saturating_sub(1))
}

/// Bytes of the files in a folder and below.
pub(crate) fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() => folder_bytes(&entry.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Free bytes on the disk of a folder, or of the nearest one above it that exists.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let absolute = std::path::absolute(dir).ok()?;
    let there = absolute.ancestors().find(|p| p.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 0 0 20 0 4 0 12 1 2";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a S 1"), None);
    }

    #[test]
    fn fields_are_read_by_name() {
        let status = "Name:\tx\nVmHWM:\t   12 kB\nRssAnon:\t  7 kB\n";
        assert_eq!((kib(status, "VmHWM:"), kib(status, "VmRSS:")), (12, 0));
    }

    #[test]
    fn a_folder_has_the_bytes_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/x"), "123").unwrap();
        fs::write(dir.path().join("y"), "45").unwrap();
        assert_eq!(folder_bytes(dir.path()), 5);
        assert!(free_bytes(&dir.path().join("not/there")).is_some_and(|b| b > 0));
    }
}
