//! Asking a shared library which ONNX Runtime it is, before it is used.
#![expect(
    unsafe_code,
    reason = "loading a shared library runs its initialisers and reads the environment"
)]

use std::ffi::CStr;
use std::path::Path;

use ort::sys::OrtApiBase;

/// What turns ONNX Runtime's telemetry off before it starts: the switch that 1.31 reads, and the
/// other name that its sources have used.
pub(super) const NO_TELEMETRY: [&str; 2] = ["ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"];

/// Says in this process's environment that nothing may be collected or sent.
///
/// Official builds for Linux upload an event and keep an identifier as soon as their environment
/// is made, whatever is asked through the interface afterwards; only these variables prevent it.
pub(super) fn refuse_telemetry() {
    for name in NO_TELEMETRY {
        if std::env::var_os(name).is_none_or(|v| v != "1") {
            // SAFETY: Rust's own reads and writes of the environment take a lock. Loading happens
            // once, at a program's start, before this project starts any thread that calls C.
            unsafe { std::env::set_var(name, "1") };
        }
    }
}

/// The version text of the ONNX Runtime at `path`, or why it cannot be loaded.
///
/// The library is unloaded again when nothing else has it loaded.
pub(super) fn version_text(path: &Path) -> Result<String, String> {
    // SAFETY: the library's initialisers run. The file was named by the user, or is called as ONNX
    // Runtime's library is and lies where one is installed: loading it is what was asked for.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| e.to_string())?;
    // SAFETY: the symbol, where it exists, has this type in every version of ONNX Runtime.
    let base = unsafe {
        library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0")
    };
    let base = base.map_err(|_| "it does not export OrtGetApiBase".to_owned())?;
    // SAFETY: takes nothing and returns a table that lives as long as the library.
    let base = unsafe { base() };
    // SAFETY: checked for null by `as_ref`; the table is constant.
    let base = unsafe { base.as_ref() }.ok_or_else(|| "OrtGetApiBase gave nothing".to_owned())?;
    // SAFETY: takes nothing and returns a constant string.
    let text = unsafe { (base.GetVersionString)() };
    if text.is_null() {
        return Err("it gives no version".to_owned());
    }
    // SAFETY: not null, terminated, and alive while `library` is.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(text.to_string_lossy().into_owned())
}
