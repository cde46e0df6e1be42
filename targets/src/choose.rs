//! Which device runs the model: what was asked for, against what is there.
//!
//! Nothing here looks at the machine: see [`Available`] for what the caller finds out first.

use std::fmt;
use std::str::FromStr;

/// Where a decoder can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The host's cores.
    Cpu,
    /// An NVIDIA GPU, through CUDA.
    Cuda,
    /// An NVIDIA GPU, through TensorRT.
    TensorRt,
}

impl Device {
    /// The name it is asked for by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceAsk {
    /// The best that is there.
    #[default]
    Auto,
    /// This one or an error.
    Only(Device),
}

/// A device's name that is not known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no device is called {0:?}; there are auto, cpu, cuda and tensorrt")]
pub struct UnknownDevice(pub String);

impl FromStr for DeviceAsk {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Only(Device::Cpu)),
            "cuda" | "gpu" => Ok(Self::Only(Device::Cuda)),
            "tensorrt" | "trt" => Ok(Self::Only(Device::TensorRt)),
            _ => Err(UnknownDevice(text.to_owned())),
        }
    }
}

/// What is there for one device other than the CPU. All three are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The library was built with the provider.
    pub built_in: bool,
    /// The provider's own shared library lies beside the main one.
    pub library: bool,
    /// The system has a GPU's device file.
    pub gpu: bool,
}

impl Found {
    /// The first thing that is missing, in words.
    #[must_use]
    pub const fn missing(&self) -> Option<&'static str> {
        if !self.gpu {
            Some("no NVIDIA GPU was found (no /dev/nvidia0, /dev/nvhost-gpu or /dev/nvgpu)")
        } else if !self.built_in {
            Some("this ONNX Runtime was built without it")
        } else if !self.library {
            Some("its provider library does not lie beside libonnxruntime")
        } else {
            None
        }
    }
}

/// What is there. The CPU always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// For [`Device::Cuda`].
    pub cuda: Found,
    /// For [`Device::TensorRt`].
    pub tensorrt: Found,
    /// Whether the engine can keep its window on a GPU. Without that each step copies the whole
    /// window there and back, so `auto` keeps to the CPU.
    pub window_on_device: bool,
}

/// The device and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The device.
    pub device: Device,
    /// Why this one, for the report.
    pub reason: String,
}

/// A device that was asked for is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{device} was asked for, but {missing}; {advice}")]
pub struct DeviceError {
    /// The device.
    pub device: Device,
    /// What is missing or failed.
    pub missing: String,
    /// What to do.
    pub advice: &'static str,
}

/// Decides. Nothing falls back: what was asked for and is not there is an error.
///
/// # Errors
/// [`DeviceError`] when a device was asked for by name and is not there.
pub fn choose(ask: DeviceAsk, there: &Available) -> Result<Choice, DeviceError> {
    let choice = |device, reason: String| Ok(Choice { device, reason });
    match ask {
        DeviceAsk::Only(Device::Cpu) => choice(Device::Cpu, "asked for".to_owned()),
        DeviceAsk::Only(device) => {
            let found = if device == Device::Cuda { there.cuda } else { there.tensorrt };
            match found.missing() {
                None => choice(device, "asked for".to_owned()),
                Some(missing) => {
                    Err(DeviceError { device, missing: missing.to_owned(), advice: advice(device) })
                }
            }
        }
        DeviceAsk::Auto => match there.cuda.missing() {
            Some(missing) => choice(Device::Cpu, format!("auto: cuda is not there: {missing}")),
            None if !there.window_on_device => choice(
                Device::Cpu,
                "auto: a GPU is there, but the window lives in host memory; ask with --device cuda"
                    .to_owned(),
            ),
            None => choice(Device::Cuda, "auto: a GPU and its provider are there".to_owned()),
        },
    }
}

/// What to do when a device is not there or does not start.
#[must_use]
pub const fn advice(device: Device) -> &'static str {
    match device {
        Device::Cpu => "use --device cpu with an unmodified ONNX Runtime",
        Device::Cuda => {
            "install an ONNX Runtime built for this machine's CUDA (onnxruntime-gpu, or on a \
             Jetson the wheel for its JetPack) and name it with --ort, or use --device cpu"
        }
        Device::TensorRt => {
            "install an ONNX Runtime built with TensorRT, with CUDA, cuDNN and libnvinfer of the \
             versions it was built for, and name it with --ort, or use --device cpu"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Found = Found { built_in: true, library: true, gpu: true };

    #[test]
    fn table() {
        let none = Available::default();
        let gpu = Available { cuda: ALL, tensorrt: ALL, window_on_device: true };
        let host_only = Available { window_on_device: false, ..gpu };
        let no_library =
            Available { cuda: Found { library: false, ..ALL }, window_on_device: true, ..none };
        let ask = |text: &str| text.parse::<DeviceAsk>().unwrap();
        for (asked, there, device, reason) in [
            ("auto", none, Device::Cpu, "no NVIDIA GPU"),
            ("auto", gpu, Device::Cuda, "are there"),
            ("auto", host_only, Device::Cpu, "host memory"),
            ("auto", no_library, Device::Cpu, "provider library"),
            ("cpu", gpu, Device::Cpu, "asked for"),
            ("cuda", host_only, Device::Cuda, "asked for"),
            ("TensorRT", gpu, Device::TensorRt, "asked for"),
        ] {
            let choice = choose(ask(asked), &there).unwrap();
            assert_eq!(choice.device, device, "{asked} {there:?}");
            assert!(choice.reason.contains(reason), "{}", choice.reason);
        }
    }

    #[test]
    fn what_was_asked_for_and_is_missing_is_an_error_with_advice() {
        let built = Found { built_in: false, ..ALL };
        let there = Available { cuda: built, tensorrt: Found::default(), window_on_device: true };
        let error = choose(DeviceAsk::Only(Device::Cuda), &there).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("built without it") && text.contains("--device cpu"), "{text}");
        let error = choose(DeviceAsk::Only(Device::TensorRt), &there).unwrap_err();
        assert!(error.to_string().contains("no NVIDIA GPU"), "{error}");
        assert_eq!("npu".parse::<DeviceAsk>(), Err(UnknownDevice("npu".to_owned())));
    }
}
