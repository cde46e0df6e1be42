//! Finding the shared library of ONNX Runtime.
//!
//! The order is: a path given by flag, one given by environment, beside the executable, the data
//! folder that [`fetch`](super::fetch) unpacks into, an installed Python package, the system. A
//! path that the user gave must work: nothing else is tried in its place. Reading the environment
//! is left to the caller, through [`Search::from_environment`]'s parameter.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::dynamic;

/// The oldest version that runs any of our graphs; it has the C interface that is asked for (1.17).
pub const OLDEST: OrtVersion = super::abilities::ATTENTION.since;

/// A version of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrtVersion {
    /// 1.
    pub major: u32,
    /// Rises with each release of the interface.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
}

impl OrtVersion {
    /// Reads `1.31.0`, also with something behind it, as `1.20.0-rc1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(['.', '-', '+']);
        let mut number = || parts.next()?.parse().ok();
        let (major, minor) = (number()?, number()?);
        Some(Self { major, minor, patch: number().unwrap_or(0) })
    }
}

impl fmt::Display for OrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A library that was found and can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrtLibrary {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: OrtVersion,
    /// Why this one: the place it was found in.
    pub reason: String,
}

/// A place that was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The place, in words.
    pub place: String,
    /// The file or folder.
    pub path: PathBuf,
    /// Why it did not do.
    pub what: String,
}

/// Why no library was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// A path that the user gave does not hold a library that works.
    #[error("ONNX Runtime, {place}, {}: {what}", path.display())]
    Given {
        /// Which flag or variable.
        place: String,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// None of the usual places has one.
    #[error(
        "no ONNX Runtime {OLDEST} or newer was found; looked at:{}\nInstall one (`pip install \
         onnxruntime`), name one with --ort or LCEDGE_ORT, or let lcedge fetch it (without \
         --offline)",
        list(tried)
    )]
    NotFound {
        /// Everything that was looked at.
        tried: Vec<Tried>,
    },
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(|t| format!("\n  {}: {}: {}", t.place, t.path.display(), t.what)).collect()
}

/// Where to look. Fields are public so that a caller can leave places out.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Paths that the user gave and that must work, first to last: what gave it, and the path.
    pub given: Vec<(String, PathBuf)>,
    /// Places to look at, in order: what it is, and the folder.
    pub folders: Vec<(String, PathBuf)>,
}

impl Search {
    /// The usual places. `flag` is the path given on the command line; `data` is the per-user data
    /// folder; `variable` reads the environment (`std::env::var_os` in the program).
    #[must_use]
    pub fn from_environment(
        flag: Option<&Path>,
        data: Option<&Path>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let mut given = Vec::new();
        given.extend(flag.map(|p| ("given by --ort".to_owned(), p.to_path_buf())));
        for name in ["LCEDGE_ORT", "ORT_DYLIB_PATH"] {
            let path = variable(name).filter(|v| !v.is_empty());
            given.extend(path.map(|p| (format!("given by {name}"), PathBuf::from(p))));
        }
        let mut folders = Vec::new();
        let mut add = |what: &str, path: PathBuf| folders.push((what.to_owned(), path));
        if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
            add("beside the executable", folder.to_path_buf());
            add("beside the executable", folder.join("lib"));
        }
        if let Some(data) = data {
            add("fetched earlier", super::fetch::folder(data));
        }
        for packages in python_packages(variable) {
            for package in matching(&packages, |n| n.starts_with("onnxruntime")) {
                add("installed Python package", package.join("capi"));
            }
        }
        let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        for folder in ["/usr/local/lib", &triple, "/usr/lib64", "/usr/lib", "/opt/onnxruntime/lib"]
        {
            add("system", PathBuf::from(folder));
        }
        Self { given, folders }
    }

    /// The first library that works.
    ///
    /// # Errors
    /// [`LibraryError`] names everything that was tried.
    pub fn find(&self) -> Result<OrtLibrary, LibraryError> {
        if let Some((place, path)) = self.given.first() {
            let (place, path) = (place.clone(), path.clone());
            return examine(&place, &path).map_err(|mut tried| {
                let last = tried.pop();
                let (path, what) =
                    last.map_or((path, "nothing there".to_owned()), |t| (t.path, t.what));
                LibraryError::Given { place, path, what }
            });
        }
        let mut tried = Vec::new();
        for (place, path) in &self.folders {
            match examine(place, path) {
                Ok(library) => return Ok(library),
                Err(failures) => tried.extend(failures),
            }
        }
        Err(LibraryError::NotFound { tried })
    }
}

/// The library at `path`, a file or a folder that holds some.
fn examine(place: &str, path: &Path) -> Result<OrtLibrary, Vec<Tried>> {
    let failure = |path: &Path, what: String| Tried {
        place: place.to_owned(),
        path: path.to_path_buf(),
        what,
    };
    let files = if path.is_dir() { libraries_in(path) } else { vec![path.to_path_buf()] };
    if files.is_empty() || !files[0].exists() {
        let what = if path.exists() { "holds no libonnxruntime" } else { "does not exist" };
        return Err(vec![failure(path, what.to_owned())]);
    }
    let mut tried = Vec::new();
    for file in files {
        match usable(&file) {
            Ok(version) => {
                return Ok(OrtLibrary { path: file, version, reason: place.to_owned() });
            }
            Err(what) => tried.push(failure(&file, what)),
        }
    }
    Err(tried)
}

fn usable(file: &Path) -> Result<OrtVersion, String> {
    let text = dynamic::version_text(file)?;
    let version =
        OrtVersion::parse(&text).ok_or_else(|| format!("its version is {text:?}, not a number"))?;
    if version < OLDEST {
        return Err(format!("it is version {version}; {OLDEST} or newer is needed"));
    }
    Ok(version)
}

/// Files of a folder that are called as the library is, newest name first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = matching(folder, is_library_name);
    // The highest version in the name first; a name without one counts as version zero.
    files.sort_by_cached_key(|f| Reverse(version_in_name(f)));
    files
}

fn is_library_name(name: &str) -> bool {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let Some(rest) = name.strip_prefix(prefix).and_then(|n| n.strip_prefix("onnxruntime")) else {
        return false;
    };
    let version_only = |s: &str| s.chars().all(|c| c.is_ascii_digit() || c == '.');
    // libonnxruntime.so.1.31.0, or libonnxruntime.1.31.0.dylib.
    rest.strip_prefix(suffix).is_some_and(version_only)
        || rest.strip_suffix(suffix).is_some_and(version_only)
}

fn version_in_name(file: &Path) -> Vec<u32> {
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// Folders that Python installs packages into: of the active environment, of every `python3` on the
/// path, of the user, of the system.
fn python_packages(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    prefixes.extend(variable("VIRTUAL_ENV").map(PathBuf::from));
    prefixes.extend(variable("CONDA_PREFIX").map(PathBuf::from));
    let path = variable("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path).filter(|f| f.join("python3").exists()) {
        prefixes.extend(folder.parent().map(Path::to_path_buf));
    }
    prefixes.extend(variable("HOME").map(|h| Path::new(&h).join(".local")));
    prefixes.extend([PathBuf::from("/usr/local"), PathBuf::from("/usr")]);
    let mut found: Vec<PathBuf> = Vec::new();
    for prefix in prefixes {
        let mut versions = matching(&prefix.join("lib"), |n| n.starts_with("python3"));
        versions.sort_by_cached_key(|v| Reverse(version_in_name(v)));
        for version in versions {
            found.extend(["site-packages", "dist-packages"].map(|p| version.join(p)));
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|f| f.is_dir() && seen.insert(f.clone()));
    found
}

/// Entries of a folder whose name is wanted, sorted; none where the folder cannot be read.
fn matching(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = |e: &std::fs::DirEntry| e.file_name().to_str().is_some_and(&wanted);
    let mut found: Vec<PathBuf> = entries.flatten().filter(named).map(|e| e.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"not a library").unwrap();
        path
    }

    #[test]
    fn versions_are_read_and_ordered() {
        let v = |t| OrtVersion::parse(t).unwrap();
        assert_eq!(v("1.31.0").to_string(), "1.31.0");
        assert_eq!(v("1.20.0-rc1"), v("1.20.0"));
        assert!(v("1.9.1") < v("1.17.0") && v("1.17.0") < v("1.31.0"));
        assert_eq!(OrtVersion::parse("nightly"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn libraries_are_told_by_name_and_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.0",
            "libonnxruntime.so",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.bak",
            "onnxruntime_pybind11_state.so",
        ] {
            file(folder.path(), name);
        }
        let names: Vec<_> = libraries_in(folder.path())
            .iter()
            .map(|f| f.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            ["libonnxruntime.so.1.31.0", "libonnxruntime.so.1.9.0", "libonnxruntime.so"]
        );
    }

    #[test]
    fn a_given_path_must_work_and_nothing_else_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let bad = file(folder.path(), "libonnxruntime.so");
        let var = |name: &str| (name == "LCEDGE_ORT").then(|| bad.clone().into_os_string());
        let error = Search::from_environment(None, None, &var).find().unwrap_err();
        assert!(matches!(error, LibraryError::Given { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("given by LCEDGE_ORT") && text.contains("libonnxruntime"), "{text}");
        // The flag comes before the environment.
        let nowhere = folder.path().join("nowhere.so");
        let error = Search::from_environment(Some(&nowhere), None, &var).find().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("--ort") && text.contains("does not exist"), "{text}");
    }

    #[test]
    fn everything_tried_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = file(folder.path(), "libonnxruntime.so");
        let search = Search {
            given: Vec::new(),
            folders: vec![
                ("here".to_owned(), folder.path().to_path_buf()),
                ("there".to_owned(), folder.path().join("gone")),
            ],
        };
        let text = search.find().unwrap_err().to_string();
        for part in [bad.to_str().unwrap(), "here", "there", "does not exist", "LCEDGE_ORT"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn python_packages_of_an_environment_are_looked_at_in_order() {
        let root = tempfile::tempdir().unwrap();
        for version in ["python3.9", "python3.12"] {
            let name =
                format!("lib/{version}/site-packages/onnxruntime/capi/libonnxruntime.so.1.31.0");
            file(root.path(), &name);
        }
        let var = |n: &str| (n == "VIRTUAL_ENV").then(|| root.path().as_os_str().to_owned());
        let search = Search::from_environment(None, Some(Path::new("/data")), &var);
        let places: Vec<_> = search.folders.iter().map(|(_, p)| p.clone()).collect();
        let at = |p: PathBuf| places.iter().position(|x| *x == p).unwrap();
        let newer = at(root.path().join("lib/python3.12/site-packages/onnxruntime/capi"));
        let older = at(root.path().join("lib/python3.9/site-packages/onnxruntime/capi"));
        let fetched = search.folders.iter().position(|(w, _)| w == "fetched earlier").unwrap();
        let system = search.folders.iter().position(|(w, _)| w == "system").unwrap();
        assert!(fetched < newer && newer < older && older < system);
    }
}
