//! Ctrl-C and SIGTERM: the first asks to stop, the second ends at once. In a conversation one
//! Ctrl-C more comes first, which stops the answer alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// How long a phase that cannot be stopped may go on after the first signal.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Shared {
    /// The first signal; 0 before.
    signal: AtomicI32,
    /// The same for code that takes a flag.
    flag: Arc<AtomicBool>,
    /// Whoever runs looks at the flag and ends well by itself.
    looks: AtomicBool,
    /// One Ctrl-C stops an answer, the second one the program.
    talks: AtomicBool,
    /// How often Ctrl-C came in a conversation since it was last dealt with.
    interrupts: AtomicU32,
    /// Folder to be removed when the program ends at once.
    temporary: Mutex<Option<PathBuf>>,
}

/// Whether the user asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<Shared>);

impl Stop {
    /// Takes over both signals.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn install() -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let failed = |e| Failure::new("signals", format!("signals cannot be handled: {e}"));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let theirs = Arc::clone(&shared);
        let wait = move || {
            for signal in signals.forever() {
                on_signal(&theirs, signal);
            }
        };
        std::thread::Builder::new()
            .name("lcedge-signals".to_owned())
            .spawn(wait)
            .map_err(failed)?;
        Ok(Self(shared))
    }

    /// Whether to stop.
    pub(crate) fn requested(&self) -> bool {
        self.0.signal.load(Ordering::Relaxed) != 0
    }

    /// Exit code of a run that was stopped: 130 or 143.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.0.signal.load(Ordering::Relaxed);
        (signal != 0).then(|| code(signal))
    }

    /// The same as a flag, for code that knows nothing of signals.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.flag)
    }

    /// From now on the caller looks at [`Stop::requested`] and ends well, or does not any more.
    pub(crate) fn looks(&self, on: bool) {
        self.0.looks.store(on, Ordering::Relaxed);
    }

    /// From now on the first Ctrl-C only interrupts: see [`Stop::interrupted`].
    pub(crate) fn talks(&self) {
        self.0.talks.store(true, Ordering::Relaxed);
    }

    /// Whether Ctrl-C came and has not been dealt with.
    pub(crate) fn interrupted(&self) -> bool {
        self.0.interrupts.load(Ordering::Relaxed) > 0
    }

    /// Ctrl-C was dealt with: the next one is a first one again.
    pub(crate) fn calm(&self) {
        self.0.interrupts.store(0, Ordering::Relaxed);
    }

    /// A folder that is removed when the program ends at once; `None` when it is gone already.
    pub(crate) fn temporary(&self, dir: Option<PathBuf>) {
        if let Ok(mut held) = self.0.temporary.lock() {
            *held = dir;
        }
    }
}

fn code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(130)
}

fn on_signal(shared: &Arc<Shared>, signal: i32) {
    let talks = shared.talks.load(Ordering::Relaxed);
    if signal == SIGINT && talks && shared.interrupts.fetch_add(1, Ordering::Relaxed) == 0 {
        return;
    }
    let first = shared.signal.swap(signal, Ordering::Relaxed) == 0;
    shared.flag.store(true, Ordering::Relaxed);
    if !first {
        end(shared, signal);
    }
    if !shared.looks.load(Ordering::Relaxed) {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            std::thread::sleep(PATIENCE);
            if !shared.looks.load(Ordering::Relaxed) {
                end(&shared, signal);
            }
        });
    }
}

/// Ends at once, without the destructors of a library that may be at work.
fn end(shared: &Shared, signal: i32) {
    if let Ok(Some(dir)) = shared.temporary.lock().map(|mut t| t.take()) {
        let _ = std::fs::remove_dir_all(dir);
    }
    signal_hook::low_level::exit(i32::from(code(signal)));
}
