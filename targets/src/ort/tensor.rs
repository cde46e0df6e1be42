//! Tensors over memory that is ours, and the one call that runs a session over them.
//!
//! `ort`'s own values copy borrowed memory when it is bound, and take several allocations each. The
//! window must be bound twice (as past and as present) without a copy, so this file speaks to the C
//! interface. All of that is here; what it gives out is safe to use except where it says so.
//!
//! A tensor never owns its values. Releasing one does not touch them.
#![expect(unsafe_code, reason = "tensors over our own memory, which ort cannot express")]

use std::ffi::{CString, c_char};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};

use ort::AsPointer;
use ort::session::{RunOptions, Session};
use ort::sys;

use crate::buffer::{AlignedBuf, Number};

/// A number that tensors are made of.
pub(super) trait Element: Number {
    const KIND: sys::ONNXTensorElementDataType;
}

impl Element for f32 {
    const KIND: sys::ONNXTensorElementDataType =
        sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Element for i32 {
    const KIND: sys::ONNXTensorElementDataType =
        sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
}

impl Element for i64 {
    const KIND: sys::ONNXTensorElementDataType =
        sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

/// Says that memory is the host's. Can be made only once the library is loaded.
#[derive(Debug)]
pub(super) struct HostMemory(NonNull<sys::OrtMemoryInfo>);

// SAFETY: an `OrtMemoryInfo` is constant after it was made.
unsafe impl Send for HostMemory {}

impl HostMemory {
    /// `session` proves that the library is loaded.
    pub(super) fn of(_session: &Session) -> Result<Self, ort::Error> {
        let mut info = null_mut();
        let (kind, use_) =
            (sys::OrtAllocatorType::OrtDeviceAllocator, sys::OrtMemType::OrtMemTypeDefault);
        // SAFETY: `info` is a place for one pointer.
        let status = unsafe { (ort::api().CreateCpuMemoryInfo)(kind, use_, &raw mut info) };
        check(status)?;
        NonNull::new(info).map(Self).ok_or_else(|| ort::Error::new("no memory information"))
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        // SAFETY: made by `CreateCpuMemoryInfo`, released once.
        unsafe { (ort::api().ReleaseMemoryInfo)(self.0.as_ptr()) }
    }
}

/// Turns the library's status into a result, releasing it.
fn check(status: sys::OrtStatusPtr) -> Result<(), ort::Error> {
    // SAFETY: `status` comes from the library just now and is used nowhere else.
    unsafe { ort::Error::result_from_status(status) }
}

/// A tensor over memory that outlives `'a`.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    value: NonNull<sys::OrtValue>,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: the value is a handle that is used by one thread at a time; its memory is of numbers.
unsafe impl Send for Tensor<'_> {}

impl<'a> Tensor<'a> {
    /// A tensor over `values`, which a session may read and write while it runs.
    ///
    /// # Panics
    /// When `values` has another number of values than `shape`.
    pub(super) fn over<T: Element>(
        host: &HostMemory,
        values: &'a mut [T],
        shape: &[i64],
    ) -> Result<Self, ort::Error> {
        assert_eq!(values.len() as i64, shape.iter().product::<i64>(), "a tensor of {shape:?}");
        // SAFETY: `values` has exactly the values of `shape` and is borrowed for `'a`.
        unsafe { Self::from_raw(host, values.as_mut_ptr(), shape) }
    }

    /// A tensor over memory behind a pointer.
    ///
    /// # Safety
    /// `start` must be valid for reading and writing as many values as `shape` has, for `'a`, and
    /// no reference to them may be in use whenever a reference to this tensor is given out.
    pub(super) unsafe fn from_raw<T: Element>(
        host: &HostMemory,
        start: *mut T,
        shape: &[i64],
    ) -> Result<Self, ort::Error> {
        let values = shape.iter().product::<i64>() as usize;
        let mut value = null_mut();
        // SAFETY: the caller promises the memory; `shape` and `value` live through the call.
        let status = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                host.0.as_ptr(),
                start.cast(),
                values * size_of::<T>(),
                shape.as_ptr(),
                shape.len(),
                T::KIND,
                &raw mut value,
            )
        };
        check(status)?;
        let value = NonNull::new(value).ok_or_else(|| ort::Error::new("no tensor"))?;
        Ok(Self { value, memory: PhantomData })
    }
}

impl Tensor<'_> {
    /// As an input of a run.
    pub(super) const fn input(&self) -> Input<'_> {
        Input { value: self.value, memory: PhantomData }
    }
}

/// What one run reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'t> {
    value: NonNull<sys::OrtValue>,
    memory: PhantomData<&'t ()>,
}

/// A tensor over memory that is only read: it can be an input and nothing else.
#[derive(Debug)]
pub(super) struct Given<'a> {
    tensor: Tensor<'static>,
    memory: PhantomData<&'a [f32]>,
}

impl<'a> Given<'a> {
    /// A tensor over `values`, which a session may read while it runs.
    ///
    /// # Panics
    /// When `values` has another number of values than `shape`.
    pub(super) fn over<T: Element>(
        host: &HostMemory,
        values: &'a [T],
        shape: &[i64],
    ) -> Result<Self, ort::Error> {
        assert_eq!(values.len() as i64, shape.iter().product::<i64>(), "a tensor of {shape:?}");
        // SAFETY: `values` has exactly the values of `shape`. The tensor is kept in here for no
        // longer than `'a` and given out as an `Input` alone, whose values a run never writes: the
        // library writes only to outputs, and to inputs that an operator's node names as outputs
        // too, which takes an output bound to the same memory.
        let tensor = unsafe { Tensor::from_raw(host, values.as_ptr().cast_mut(), shape) }?;
        Ok(Self { tensor, memory: PhantomData })
    }

    /// As an input of a run.
    pub(super) const fn input(&self) -> Input<'_> {
        self.tensor.input()
    }
}

impl Drop for Tensor<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `CreateTensorWithDataAsOrtValue`, released once.
        unsafe { (ort::api().ReleaseValue)(self.value.as_ptr()) }
    }
}

/// A tensor together with its memory. Shapes may change; memory is taken only where a shape has
/// more values than all before it.
#[derive(Debug)]
pub(super) struct Lent<T: Element> {
    buf: AlignedBuf<T>,
    shape: Vec<i64>,
    /// Over the first values of `buf`. Declared `'static` because `buf` is never moved or freed
    /// while it exists: see [`Lent::reshape`].
    tensor: Option<Tensor<'static>>,
}

impl<T: Element> Lent<T> {
    pub(super) fn new() -> Self {
        Self { buf: AlignedBuf::zeroed(0), shape: Vec::new(), tensor: None }
    }

    /// Makes this a tensor of `shape`; its values are then whatever they were.
    pub(super) fn reshape(&mut self, host: &HostMemory, shape: &[i64]) -> Result<(), ort::Error> {
        if self.tensor.is_some() && self.shape == shape {
            return Ok(());
        }
        let values = shape.iter().product::<i64>() as usize;
        self.tensor = None;
        if values > self.buf.len() {
            self.buf = AlignedBuf::zeroed(values);
        }
        // SAFETY: `buf` holds at least `values` values; the tensor is dropped above before `buf` is
        // ever replaced, and a run holds `&mut self` through `lend`, so no slice is alive then.
        self.tensor = Some(unsafe { Tensor::from_raw(host, self.buf.as_ptr(), shape) }?);
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        Ok(())
    }

    /// Values of the current shape.
    fn len(&self) -> usize {
        if self.tensor.is_some() { self.shape.iter().product::<i64>() as usize } else { 0 }
    }

    /// The values, row-major.
    pub(super) fn values(&self) -> &[T] {
        &self.buf.as_slice()[..self.len()]
    }

    /// The values, row-major.
    pub(super) fn values_mut(&mut self) -> &mut [T] {
        let len = self.len();
        &mut self.buf.as_mut_slice()[..len]
    }

    /// The tensor, for one run; `None` before the first [`Lent::reshape`]. Nobody else can use the
    /// values while it is lent.
    pub(super) const fn lend(&mut self) -> Option<&Tensor<'_>> {
        self.tensor.as_ref()
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        self.buf.len() * size_of::<T>()
    }
}

/// Names and values of one run. The names are fixed; values are put in their order before each run.
#[derive(Debug)]
pub(super) struct Call {
    input_names: Names,
    output_names: Names,
    inputs: Vec<*const sys::OrtValue>,
    outputs: Vec<*mut sys::OrtValue>,
    /// Names of the outputs that this run gives.
    wanted: Vec<*const c_char>,
}

// SAFETY: the pointers are used only inside `run`, which takes the values they point at.
unsafe impl Send for Call {}

impl Call {
    pub(super) fn new(inputs: &[String], outputs: &[String]) -> Result<Self, ort::Error> {
        Ok(Self {
            input_names: Names::new(inputs)?,
            output_names: Names::new(outputs)?,
            inputs: Vec::with_capacity(inputs.len()),
            outputs: Vec::with_capacity(outputs.len()),
            wanted: Vec::with_capacity(outputs.len()),
        })
    }

    /// Runs the session over tensors in the order of the names. Outputs may be left out.
    ///
    /// A tensor may be both an input and an output where the graph's operators allow it.
    pub(super) fn run<'t>(
        &mut self,
        session: &mut Session,
        options: &RunOptions,
        inputs: impl Iterator<Item = Option<Input<'t>>>,
        outputs: impl Iterator<Item = Option<&'t Tensor<'t>>>,
    ) -> Result<(), ort::Error> {
        self.inputs.clear();
        self.inputs.extend(inputs.map(|t| t.map_or(null(), |t| t.value.as_ptr().cast_const())));
        self.outputs.clear();
        self.wanted.clear();
        let mut given = 0;
        for tensor in outputs {
            if let (Some(tensor), Some(&name)) = (tensor, self.output_names.pointers.get(given)) {
                self.outputs.push(tensor.value.as_ptr());
                self.wanted.push(name);
            }
            given += 1;
        }
        let complete = self.inputs.len() == self.input_names.pointers.len()
            && given == self.output_names.pointers.len()
            && !self.inputs.contains(&null());
        if !complete {
            return Err(ort::Error::new("a tensor of the graph was not bound"));
        }
        // SAFETY: names are C strings that `self` holds; values are live tensors, as many as there
        // are names. Whoever makes a tensor borrows its memory exclusively for as long as the
        // tensor can be passed here (`over`, `lend`), or promises so (`from_raw`).
        let status = unsafe {
            (ort::api().Run)(
                session.ptr().cast_mut(),
                options.ptr(),
                self.input_names.pointers.as_ptr(),
                self.inputs.as_ptr(),
                self.inputs.len(),
                self.wanted.as_ptr(),
                self.outputs.len(),
                self.outputs.as_mut_ptr(),
            )
        };
        check(status)
    }
}

/// C strings and pointers to them.
#[derive(Debug)]
struct Names {
    pointers: Vec<*const c_char>,
    /// What `pointers` point into; never changed.
    _strings: Vec<CString>,
}

impl Names {
    fn new(names: &[String]) -> Result<Self, ort::Error> {
        let strings = names.iter().map(|n| CString::new(n.as_str())).collect::<Result<Vec<_>, _>>();
        let strings = strings.map_err(|e| ort::Error::new(format!("a name of the graph: {e}")))?;
        Ok(Self { pointers: strings.iter().map(|s| s.as_ptr()).collect(), _strings: strings })
    }
}
