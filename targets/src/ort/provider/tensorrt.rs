//! An NVIDIA GPU through TensorRT, with CUDA for what TensorRT does not take.

use std::path::PathBuf;

use ort::ep::{ExecutionProviderDispatch, TensorRT};

use super::{Cuda, Provider};
use crate::choose::Device;

/// The TensorRT provider.
#[derive(Clone, Debug)]
pub struct TensorRt {
    /// The GPU, and CUDA's options for the rest of the graph.
    pub cuda: Cuda,
    /// Where built engines and timings are kept; building takes minutes on a board.
    pub cache: PathBuf,
    /// Whether layers may run in 16-bit floats.
    pub f16: bool,
    /// Shapes of the dynamic inputs, `name:1x512,name:...`: least, usual, most. An engine is built
    /// for this range once; a shape outside it would build another in the middle of a run.
    pub shapes: [String; 3],
}

impl Provider for TensorRt {
    fn device(&self) -> Device {
        Device::TensorRt
    }

    fn register(&self) -> Vec<ExecutionProviderDispatch> {
        let cache = self.cache.display().to_string();
        let [least, usual, most] = &self.shapes;
        let tensorrt = TensorRT::default()
            .with_device_id(self.cuda.index)
            .with_fp16(self.f16)
            .with_engine_cache(true)
            .with_engine_cache_path(&cache)
            .with_timing_cache(true)
            .with_timing_cache_path(&cache)
            .with_profile_min_shapes(least)
            .with_profile_opt_shapes(usual)
            .with_profile_max_shapes(most)
            .build()
            .error_on_failure();
        let mut all = vec![tensorrt];
        all.extend(self.cuda.register());
        all
    }

    fn options(&self) -> Vec<String> {
        let [least, usual, most] = &self.shapes;
        let mut options = vec![
            format!("trt_fp16_enable={}", u8::from(self.f16)),
            format!("trt_engine_cache_path={}", self.cache.display()),
            format!("trt_profile_min_shapes={least}"),
            format!("trt_profile_opt_shapes={usual}"),
            format!("trt_profile_max_shapes={most}"),
        ];
        options.extend(self.cuda.options());
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensorrt_comes_before_cuda() {
        let provider = TensorRt {
            cuda: Cuda { index: 0, memory_bytes_max: None },
            cache: PathBuf::from("/cache"),
            f16: true,
            shapes: ["a:1x1", "a:1x256", "a:1x512"].map(str::to_owned),
        };
        let names: Vec<_> = provider.register().iter().map(|r| r.name()).collect();
        assert_eq!(names, ["TensorrtExecutionProvider", "CUDAExecutionProvider"]);
        let options = provider.options().join(" ");
        assert!(options.contains("trt_profile_max_shapes=a:1x512"), "{options}");
    }
}
