//! From parsed flags to what the library takes, and setting up with progress shown.

use std::ffi::OsString;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lcedge::beacons::Ratio;
use lcedge::config::Control;
use lcedge::limits::RATIO_DEFAULT;
use lcedge::models::MemoryChoice;
use lcedge::setup::{self, Ready, SetupError, SetupEvent, SetupOptions};

use crate::args::{Common, OnOff};
use crate::failure::Failure;
use crate::output::Out;
use crate::size::{self, WriteRate};
use crate::stop::Stop;

/// What every command has.
pub(crate) struct Context {
    pub(crate) out: Out,
    pub(crate) stop: Stop,
    pub(crate) options: SetupOptions,
}

/// What `--ratio` names: the index among the ratios that beacons are trained for.
fn ratio(word: &str) -> Result<Ratio, Failure> {
    const RATIOS: [&str; 4] = ["4", "8", "16", "32"];
    if word == "adaptive" {
        return Ok(Ratio::Adaptive(RATIO_DEFAULT));
    }
    let at = RATIOS.iter().position(|r| *r == word).and_then(|i| u8::try_from(i).ok());
    at.map(Ratio::Fixed).ok_or_else(|| {
        Failure::bad_argument(format!("--ratio {word}: 4, 8, 16, 32 or adaptive is taken"))
    })
}

/// What `--trained-memory` names.
fn trained_memory(word: &str) -> MemoryChoice {
    match word {
        "auto" => MemoryChoice::Zoo,
        "off" => MemoryChoice::None,
        folder => MemoryChoice::Folder(PathBuf::from(folder)),
    }
}

/// Reads the environment.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Context {
    /// Checks the common flags.
    ///
    /// # Errors
    /// [`Failure`] of kind `bad_argument` with flag and value.
    pub(crate) fn new(common: &Common, out: Out, stop: Stop) -> Result<Self, Failure> {
        let least = |flag: &str, value: Option<usize>| match value {
            Some(0) => Err(Failure::bad_argument(format!("{flag} 0: at least 1 is needed"))),
            _ => Ok(()),
        };
        least("--threads", common.threads)?;
        least("--window", common.window)?;
        least("--chunk", common.chunk)?;
        if let Some(p) = common.confidence_min.filter(|p| !(0.0..=1.0).contains(p)) {
            return Err(Failure::bad_argument(format!("--confidence-min {p}: 0 to 1 is taken")));
        }
        // A variable is left to the library's own search, which says where it looked.
        let ort =
            common.ort.clone().filter(|p| variable("LCEDGE_ORT").as_deref() != Some(p.as_os_str()));
        let options = SetupOptions {
            model: common.model.clone(),
            trained_memory: trained_memory(&common.trained_memory),
            store: common.store.clone(),
            capacity_tokens: None,
            condensed_tokens: common.condensed,
            condense: common.condense,
            ratio: common.ratio.as_deref().map(ratio).transpose()?,
            control: Control::None,
            read_only: false,
            device: common.device.clone(),
            weights: common.weights.kind(),
            threads: common.threads,
            window: common.window,
            chunk: common.chunk,
            ram_bytes: common.ram,
            disk_bytes: common.disk,
            sync: common.sync.policy(),
            write_bytes_per_day: match common.write_rate {
                None => SetupOptions::default().write_bytes_per_day,
                Some(WriteRate(rate)) => rate,
            },
            offline: common.offline,
            memory: common.memory,
            recall: common.recall,
            gist: common.gist == OnOff::On,
            surprise: common.surprise == OnOff::On,
            kv: common.kv.dtype(),
            stale_blocks: common.stale_blocks,
            cache: common.cache.clone(),
            ort,
            variable,
            cancel: Some(stop.flag()),
            confidence_min: common.confidence_min,
        };
        Ok(Self { out, stop, options })
    }

    /// The folder of the memory: as asked for, else the user's own.
    ///
    /// # Errors
    /// When the system knows no folder for this user.
    pub(crate) fn store_dir(&self) -> Result<PathBuf, Failure> {
        let store = self.options.store.clone().or_else(|| setup::default_store_dir(variable));
        store.ok_or_else(|| {
            Failure::bad_argument("no folder for the memory: HOME is not set")
                .hint("name one with --store DIR".to_owned())
        })
    }

    /// Runs `work` of the library's setup with its events shown.
    pub(crate) fn setting_up<T>(
        &mut self,
        work: impl FnOnce(&SetupOptions, &mut dyn FnMut(SetupEvent)) -> Result<T, SetupError>,
    ) -> Result<T, Failure> {
        let (out, options) = (&mut self.out, &self.options);
        let done = work(options, &mut |event| show(out, event));
        out.draw(None);
        if let Some(code) = self.stop.exit_code() {
            return Err(stopped(code));
        }
        Ok(done?)
    }

    /// Opens a session and says what it runs on.
    ///
    /// # Errors
    /// As the library's setup says.
    pub(crate) fn open(&mut self) -> Result<Ready, Failure> {
        let ready = self.setting_up(setup::open)?;
        let r = &ready.report;
        let kind = weights_name(r.weights);
        let plan = ready.session.plan();
        self.out.note(format!(
            "{}, {kind} weights, on {} ({} threads), window {} tokens",
            self.out.paint_err.bold(&r.model),
            r.device,
            plan.threads,
            size::count(plan.window_tokens as u64),
        ));
        self.out.detail(format!("device: {}", r.device_reason));
        self.out.detail(format!(
            "ONNX Runtime {} ({}): {}",
            r.ort_version,
            r.ort_reason,
            r.ort_path.display()
        ));
        self.out.detail(format!("planned RAM: {}", size::text(plan.ram.total())));
        for note in &r.notes {
            self.out.detail(note);
        }
        Ok(ready)
    }
}

/// The failure of a run that was stopped before it began.
pub(crate) fn stopped(code: u8) -> Failure {
    Failure::new("stopped", "stopped before it was done").with_code(code)
}

/// The name of a kind of weights, as `--weights` takes it.
pub(crate) fn weights_name(kind: lcedge::models::WeightKind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn show(out: &mut Out, event: SetupEvent) {
    let (what, done, total, bytes) = match event {
        SetupEvent::Note(text) => return end_bar(out, |out| out.note(text)),
        SetupEvent::Done(text) => return end_bar(out, |out| out.detail(text)),
        SetupEvent::Download { what, bytes, total } => (what, bytes, total, true),
        SetupEvent::Prepare { what, done, total } => (what, done, total, total > 100_000),
        _ => return,
    };
    if !out.live {
        return;
    }
    let same = out.bar().is_some_and(|bar| bar.prefix() == what && bar.length() == Some(total));
    if !same {
        let bar =
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        let figures = if bytes {
            "{binary_bytes:>10} of {binary_total_bytes} {binary_bytes_per_sec} {eta} left"
        } else {
            "{pos} of {len} {eta} left"
        };
        let style = ProgressStyle::with_template(&format!("  {{prefix}} {{bar:24}} {figures}"));
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        out.draw(Some(bar));
    }
    if let Some(bar) = out.bar() {
        bar.set_position(done);
    }
}

fn end_bar(out: &mut Out, then: impl FnOnce(&Out)) {
    out.draw(None);
    then(out);
}
