//! The loaded library. There is one in a process, and it stays loaded.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::library::{OrtLibrary, OrtVersion};

/// ONNX Runtime, loaded, with telemetry off.
#[derive(Clone, Debug)]
pub struct Runtime {
    library: OrtLibrary,
    environment: Environment,
}

/// Why the library could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Another library is loaded already: a process can hold only one.
    #[error("{} cannot be loaded: this process runs {}", asked.display(), loaded.display())]
    Loaded {
        /// The library asked for.
        asked: PathBuf,
        /// The library that is loaded.
        loaded: PathBuf,
    },
    /// The library does not load or does not start.
    #[error("ONNX Runtime {}: {message}", path.display())]
    Backend {
        /// The library.
        path: PathBuf,
        /// What it or the system says.
        message: String,
    },
}

/// Holding it here keeps the environment alive to the end of the process: a second one cannot be
/// made after the first has gone.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads `library`; loading the same one again gives the same runtime. Its telemetry is turned
    /// off first, through the process's environment (`ORT_DISABLE_TELEMETRY=1`), because that is
    /// the only way that holds: call this before other threads of the program read the
    /// environment through C.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn load(library: &OrtLibrary) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            if runtime.library.path == library.path {
                return Ok(runtime.clone());
            }
            return Err(RuntimeError::Loaded {
                asked: library.path.clone(),
                loaded: runtime.library.path.clone(),
            });
        }
        let failed =
            |message: String| RuntimeError::Backend { path: library.path.clone(), message };
        super::dynamic::refuse_telemetry();
        let builder = ort::init_from(&library.path).map_err(|e| failed(e.to_string()))?;
        let environment = builder
            .with_name("lcedge")
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        // Failures come back as errors with the same text; printing them as well would disturb what
        // the program prints.
        environment.set_log_level(LogLevel::Fatal);
        let runtime = Self { library: library.clone(), environment };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library that is loaded.
    #[must_use]
    pub const fn library(&self) -> &OrtLibrary {
        &self.library
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> OrtVersion {
        self.library.version
    }

    /// How the library was built, as it says itself.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    pub(super) const fn environment(&self) -> &Environment {
        &self.environment
    }
}
