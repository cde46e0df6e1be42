//! What the machine is, read from its files.
//!
//! Every function takes the root of the file tree, `/` in the program, so that any machine can be
//! described by a folder of files.

use std::fs;
use std::path::Path;

/// A machine's processor, memory and board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Cores that this process may use: those online, within a limit of the control group.
    pub cores: usize,
    /// Memory in all, within a limit of the control group; 0 where it is not known.
    pub memory_bytes_total: u64,
    /// Memory that can be taken now without swapping; 0 where it is not known.
    pub memory_bytes_available: u64,
    /// The limit of the control group that this process runs in, where there is one below the
    /// machine's memory.
    pub memory_bytes_limit: Option<u64>,
    /// The processor, as it names itself.
    pub processor: String,
    /// Architecture that this program was built for (`x86_64`, `aarch64`).
    pub architecture: &'static str,
    /// The board, where the machine is one that says so.
    pub board: Option<Board>,
}

/// A board with a device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The model, e.g. `NVIDIA Jetson Orin Nano Developer Kit`.
    pub model: String,
    /// Names of board and chip, most exact first, e.g. `nvidia,p3768-0000+p3767-0005`.
    pub compatible: Vec<String>,
    /// Release of the board's Linux, e.g. `R36.4.3`, where it is a Jetson.
    pub jetson_linux: Option<String>,
}

impl Machine {
    /// Reads the machine under `root`. What cannot be read is left empty.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let meminfo = text(root, "proc/meminfo");
        let total = meminfo_bytes(&meminfo, "MemTotal");
        let available = meminfo_bytes(&meminfo, "MemAvailable");
        let group = Group::read(root);
        let limit = group.memory_bytes_limit.filter(|&l| total == 0 || l < total);
        let left = limit.map(|l| l.saturating_sub(group.memory_bytes_used));
        let online = online_cores(root);
        Self {
            cores: group.cores.map_or(online, |c| c.min(online)).max(1),
            memory_bytes_total: limit.unwrap_or(total),
            memory_bytes_available: left
                .map_or(available, |l| if available == 0 { l } else { l.min(available) }),
            memory_bytes_limit: limit,
            processor: processor_name(root),
            architecture: std::env::consts::ARCH,
            board: Board::read(root),
        }
    }
}

impl Board {
    fn read(root: &Path) -> Option<Self> {
        let model = ["proc/device-tree/model", "sys/firmware/devicetree/base/model"]
            .iter()
            .map(|f| text(root, f))
            .find(|t| !t.is_empty())?;
        let compatible = text(root, "proc/device-tree/compatible");
        Some(Self {
            model: model.trim_matches(['\0', '\n', ' ']).to_owned(),
            compatible: compatible
                .split('\0')
                .map(|c| c.trim().to_owned())
                .filter(|c| !c.is_empty())
                .collect(),
            jetson_linux: jetson_linux(&text(root, "etc/nv_tegra_release")),
        })
    }
}

/// `# R36 (release), REVISION: 4.3, GCID: ...` as `R36.4.3`.
fn jetson_linux(release: &str) -> Option<String> {
    let major = release.trim_start_matches(['#', ' ']).split([' ', ',']).next()?;
    let revision = release.split("REVISION:").nth(1)?.split(',').next()?.trim();
    major.starts_with('R').then(|| format!("{major}.{revision}"))
}

/// Limits of the control group, version 2 or 1, whose files lie under `sys/fs/cgroup`.
#[derive(Debug, Default)]
struct Group {
    memory_bytes_limit: Option<u64>,
    memory_bytes_used: u64,
    cores: Option<usize>,
}

impl Group {
    fn read(root: &Path) -> Self {
        let mut group = Self::default();
        for folder in group_folders(root) {
            let file = |name: &str| text(root, &format!("{folder}/{name}"));
            let number = |name: &str| file(name).trim().parse::<u64>().ok();
            let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"));
            if let Some(limit) = limit
                && group.memory_bytes_limit.is_none_or(|l| limit < l)
            {
                let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"));
                group.memory_bytes_limit = Some(limit);
                group.memory_bytes_used = used.unwrap_or(0);
            }
            let cores = cores_of(&file("cpu.max"))
                .or_else(|| quota(&file("cpu.cfs_quota_us"), &file("cpu.cfs_period_us")));
            if let Some(cores) = cores {
                group.cores = Some(group.cores.map_or(cores, |c| c.min(cores)));
            }
        }
        group
    }
}

/// Folders whose limits hold for this process: its own group and every group above it.
fn group_folders(root: &Path) -> Vec<String> {
    let mut folders: Vec<String> =
        ["", "/memory", "/cpu"].map(|c| format!("sys/fs/cgroup{c}")).to_vec();
    for line in text(root, "proc/self/cgroup").lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let base = if controllers.is_empty() { String::new() } else { format!("/{controllers}") };
        let mut folder = format!("sys/fs/cgroup{base}");
        for part in path.split('/').filter(|p| !p.is_empty() && *p != "..") {
            folder = format!("{folder}/{part}");
            folders.push(folder.clone());
        }
    }
    folders
}

/// `200000 100000` (quota and period, microseconds) as whole cores, at least one.
fn cores_of(cpu_max: &str) -> Option<usize> {
    let (limit, period) = cpu_max.trim().split_once(' ')?;
    quota(limit, period)
}

fn quota(limit: &str, period: &str) -> Option<usize> {
    let (limit, period) = (limit.trim().parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
    let cores = limit.checked_div(period)?;
    usize::try_from(cores.max(1)).ok()
}

/// Cores online: `0-3,6` in `sys/devices/system/cpu/online`, else what the system tells a process.
fn online_cores(root: &Path) -> usize {
    let range = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) =
            (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    let online = text(root, "sys/devices/system/cpu/online");
    let listed: usize = online.split(',').filter_map(range).sum();
    if root != Path::new("/") {
        return listed;
    }
    // Also takes the process's affinity into account.
    std::thread::available_parallelism().map_or(listed, usize::from)
}

fn meminfo_bytes(meminfo: &str, name: &str) -> u64 {
    let line = meminfo.lines().find(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(':')));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn processor_name(root: &Path) -> String {
    let info = text(root, "proc/cpuinfo");
    let value = |key: &str| {
        let line = info.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
        line.split_once(':').map(|(_, v)| v.trim().to_owned())
    };
    let named = value("model name").or_else(|| value("Model"));
    let part = || value("CPU part").map(|p| format!("part {p}"));
    named.or_else(part).unwrap_or_else(|| "unknown".to_owned())
}

/// A text that is the same on processors that behave alike: model and instruction sets.
#[must_use]
pub fn processor_text(root: &Path) -> String {
    let info = text(root, "proc/cpuinfo");
    let wanted = ["vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part"];
    let mut lines: Vec<&str> = info
        .lines()
        .filter(|l| l.split(':').next().is_some_and(|k| wanted.contains(&k.trim())))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    format!("{} {}", std::env::consts::ARCH, lines.join("\n"))
}

/// A file's text; empty where it cannot be read.
fn text(root: &Path, file: &str) -> String {
    fs::read(root.join(file)).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_jetson_is_told_by_its_files() {
        let root = tree(&[
            (
                "proc/meminfo",
                "MemTotal:        7802344 kB\nMemFree: 1 kB\nMemAvailable: 6000000 kB\n",
            ),
            ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0"),
            (
                "proc/device-tree/compatible",
                "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
            ),
            (
                "etc/nv_tegra_release",
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
            ),
            ("sys/devices/system/cpu/online", "0-5\n"),
            ("proc/cpuinfo", "processor: 0\nFeatures : fp asimd\nCPU part\t: 0xd42\n"),
        ]);
        let machine = Machine::read(root.path());
        assert_eq!(machine.cores, 6);
        assert_eq!(machine.memory_bytes_total, 7_802_344 * 1024);
        assert_eq!(machine.memory_bytes_available, 6_000_000 * 1024);
        assert_eq!(machine.memory_bytes_limit, None);
        assert_eq!(machine.processor, "part 0xd42");
        let board = machine.board.unwrap();
        assert_eq!(board.model, "NVIDIA Jetson Orin Nano Developer Kit");
        assert_eq!(board.compatible[2], "nvidia,tegra234");
        assert_eq!(board.jetson_linux.as_deref(), Some("R36.4.3"));
    }

    #[test]
    fn limits_of_the_control_group_hold() {
        let files = [
            ("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8000000 kB\n"),
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("proc/self/cgroup", "0::/app/inner\n"),
            ("sys/fs/cgroup/app/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/app/memory.current", "1073741824\n"),
            ("sys/fs/cgroup/app/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/app/inner/cpu.max", "350000 100000\n"),
        ];
        let machine = Machine::read(tree(&files).path());
        assert_eq!(machine.cores, 3);
        assert_eq!(machine.memory_bytes_total, 2 << 30);
        assert_eq!(machine.memory_bytes_limit, Some(2 << 30));
        assert_eq!(machine.memory_bytes_available, 1 << 30);

        let old = [
            ("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 8000000 kB\n"),
            ("sys/devices/system/cpu/online", "0-1,4\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        let machine = Machine::read(tree(&old).path());
        assert_eq!((machine.cores, machine.memory_bytes_limit), (3, None));
        assert_eq!(machine.memory_bytes_available, 8_000_000 * 1024);
    }

    #[test]
    fn an_empty_tree_gives_an_unknown_machine() {
        let machine = Machine::read(tempfile::tempdir().unwrap().path());
        assert_eq!((machine.cores, machine.memory_bytes_total, machine.board), (1, 0, None));
        assert_eq!(machine.processor, "unknown");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_is_known() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.cores >= 1 && machine.memory_bytes_total > 1 << 26);
        assert!(machine.memory_bytes_available > 0);
    }
}
