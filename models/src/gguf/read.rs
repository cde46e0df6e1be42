//! Reading the head of a GGUF file.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use super::{GgufError, GgufTensor, Value};
use crate::encoding::Encoding;
use crate::ranges::RangeFile;

/// Most entries of one metadata array: far above any vocabulary.
const ARRAY_ENTRIES_MAX: u64 = 1 << 24;
/// Most dimensions of a tensor.
const DIMENSIONS_MAX: u32 = 4;
/// Alignment of the data where the file does not state one, in bytes.
const ALIGNMENT_DEFAULT: u64 = 32;

type Metadata = BTreeMap<String, Value>;
type Tensors = BTreeMap<String, GgufTensor>;

/// Metadata and tensors of the file.
pub(super) fn head(file: &RangeFile) -> Result<(Metadata, Tensors), GgufError> {
    let io = |source| GgufError::Io { path: file.path().to_path_buf(), source };
    let handle = std::fs::File::open(file.path()).map_err(io)?;
    let mut reader = Reader { input: BufReader::new(handle), file, at: 0 };
    let magic = reader.array::<4>("the magic")?;
    let version = u32::from_le_bytes(reader.array("the version")?);
    if magic != *b"GGUF" || !(2..=3).contains(&version) {
        return Err(GgufError::NotGguf { magic, version });
    }
    let tensor_count = reader.u64("the count of tensors")?;
    let entry_count = reader.u64("the count of metadata entries")?;
    reader.need("the metadata", entry_count, 13)?;
    let mut metadata = Metadata::new();
    for _ in 0..entry_count {
        let key = reader.string("a metadata key")?;
        let value = reader.value()?;
        metadata.insert(key, value);
    }
    reader.need("the table of tensors", tensor_count, 32)?;
    let mut tensors = Tensors::new();
    for _ in 0..tensor_count {
        let at = reader.at;
        let (name, tensor) = reader.tensor()?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(malformed("the table of tensors", at, format!("{name:?} twice")));
        }
    }
    place(&reader, &metadata, &mut tensors)?;
    Ok((metadata, tensors))
}

/// Turns offsets from the data's start into offsets of the file and checks that each tensor fits.
fn place(reader: &Reader<'_>, metadata: &Metadata, tensors: &mut Tensors) -> Result<(), GgufError> {
    let stated = metadata.get("general.alignment").and_then(Value::integer);
    let alignment = match stated {
        None => ALIGNMENT_DEFAULT,
        Some(n) => u64::try_from(n)
            .ok()
            .filter(|n| n.is_power_of_two() && *n <= 1 << 20)
            .ok_or_else(|| malformed("general.alignment", 0, n.to_string()))?,
    };
    let start = reader.at.next_multiple_of(alignment);
    for (name, tensor) in tensors.iter_mut() {
        let offset = start.checked_add(tensor.offset);
        let offset = offset.ok_or_else(|| malformed("a tensor's offset", 0, name.clone()))?;
        tensor.offset = offset;
        let Ok(encoding) = tensor.encoding else { continue };
        let bytes = tensor_bytes(&tensor.shape, encoding).ok_or_else(|| {
            let found = format!("{name:?} of shape {:?} in {}", tensor.shape, encoding.name());
            malformed("a tensor's shape", offset, found)
        })?;
        let end = offset.checked_add(bytes);
        if end.is_none_or(|end| end > reader.file.len()) {
            let (at, end) = (offset, reader.file.len());
            return Err(GgufError::Truncated { what: "a tensor", needed: bytes, at, end });
        }
    }
    Ok(())
}

fn tensor_bytes(shape: &[usize], encoding: Encoding) -> Option<u64> {
    let (cols, rows) = shape.split_last()?;
    let rows = rows.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))?;
    let bytes = encoding.row_bytes(*cols)?.checked_mul(rows)?;
    u64::try_from(bytes).ok()
}

fn malformed(what: &'static str, at: u64, found: String) -> GgufError {
    GgufError::Malformed { what, at, found }
}

struct Reader<'a> {
    input: BufReader<std::fs::File>,
    file: &'a RangeFile,
    at: u64,
}

impl Reader<'_> {
    /// Refuses when `count` items of at least `bytes_each` cannot be left in the file.
    fn need(&self, what: &'static str, count: u64, bytes_each: u64) -> Result<(), GgufError> {
        let needed = count.saturating_mul(bytes_each);
        if needed > self.file.len().saturating_sub(self.at) {
            let (at, end) = (self.at, self.file.len());
            return Err(GgufError::Truncated { what, needed, at, end });
        }
        Ok(())
    }

    fn fill(&mut self, what: &'static str, out: &mut [u8]) -> Result<(), GgufError> {
        self.need(what, out.len() as u64, 1)?;
        let path = self.file.path();
        let io = |source| GgufError::Io { path: path.to_path_buf(), source };
        self.input.read_exact(out).map_err(io)?;
        self.at += out.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        self.fill(what, &mut out)?;
        Ok(out)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn string(&mut self, what: &'static str) -> Result<String, GgufError> {
        let len = self.u64(what)?;
        self.need(what, len, 1)?;
        let at = self.at;
        let len = usize::try_from(len).map_err(|e| malformed(what, at, e.to_string()))?;
        let mut bytes = vec![0; len];
        self.fill(what, &mut bytes)?;
        String::from_utf8(bytes).map_err(|e| malformed(what, at, e.to_string()))
    }

    fn value(&mut self) -> Result<Value, GgufError> {
        let kind = self.u32("the type of a metadata value")?;
        if kind == 9 { self.values() } else { self.scalar(kind) }
    }

    fn scalar(&mut self, kind: u32) -> Result<Value, GgufError> {
        let what = "a metadata value";
        let at = self.at;
        Ok(match kind {
            0 => Value::Integer(i64::from(u8::from_le_bytes(self.array(what)?))),
            1 => Value::Integer(i64::from(i8::from_le_bytes(self.array(what)?))),
            2 => Value::Integer(i64::from(u16::from_le_bytes(self.array(what)?))),
            3 => Value::Integer(i64::from(i16::from_le_bytes(self.array(what)?))),
            4 => Value::Integer(i64::from(self.u32(what)?)),
            5 => Value::Integer(i64::from(i32::from_le_bytes(self.array(what)?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array(what)?))),
            7 => Value::Flag(self.array::<1>(what)? != [0]),
            8 => Value::Text(self.string(what)?),
            10 => {
                let n = self.u64(what)?;
                let n = i64::try_from(n).map_err(|e| malformed(what, at, format!("{n}: {e}")))?;
                Value::Integer(n)
            }
            11 => Value::Integer(i64::from_le_bytes(self.array(what)?)),
            12 => Value::Float(f64::from_le_bytes(self.array(what)?)),
            other => return Err(malformed("the type of a metadata value", at, other.to_string())),
        })
    }

    fn values(&mut self) -> Result<Value, GgufError> {
        let what = "a metadata array";
        let at = self.at;
        let kind = self.u32(what)?;
        let count = self.u64(what)?;
        let bytes_each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            other => return Err(malformed(what, at, format!("of values of type {other}"))),
        };
        self.need(what, count, bytes_each)?;
        if count > ARRAY_ENTRIES_MAX {
            return Err(malformed(what, at, format!("{count} entries")));
        }
        let scalars = (0..count).map(|_| self.scalar(kind));
        Ok(match kind {
            8 => Value::Texts(collect(scalars, |v| match v {
                Value::Text(s) => Some(s),
                _ => None,
            })?),
            6 | 12 => Value::Floats(collect(scalars, |v| v.float())?),
            _ => Value::Integers(collect(scalars, |v| match v {
                Value::Flag(b) => Some(i64::from(b)),
                other => other.integer(),
            })?),
        })
    }

    fn tensor(&mut self) -> Result<(String, GgufTensor), GgufError> {
        let name = self.string("a tensor's name")?;
        let at = self.at;
        let dimensions = self.u32("a tensor's dimensions")?;
        if dimensions == 0 || dimensions > DIMENSIONS_MAX {
            return Err(malformed("a tensor's dimensions", at, dimensions.to_string()));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let d = self.u64("a tensor's dimensions")?;
            let d = usize::try_from(d)
                .map_err(|e| malformed("a tensor's dimensions", at, e.to_string()))?;
            shape.push(d);
        }
        shape.reverse();
        let encoding = encoding(self.u32("a tensor's type")?);
        let offset = self.u64("a tensor's offset")?;
        Ok((name, GgufTensor { shape, encoding, offset }))
    }
}

fn collect<T>(
    scalars: impl Iterator<Item = Result<Value, GgufError>>,
    get: impl Fn(Value) -> Option<T>,
) -> Result<Vec<T>, GgufError> {
    // Each value's type was chosen by the array's type, so `get` never refuses one.
    scalars.filter_map(|v| v.map(&get).transpose()).collect()
}

/// GGUF's number of a type, as one that is read here or its name.
fn encoding(kind: u32) -> Result<Encoding, String> {
    Err(match kind {
        0 => return Ok(Encoding::F32),
        1 => return Ok(Encoding::F16),
        2 => return Ok(Encoding::Q4_0),
        3 => return Ok(Encoding::Q4_1),
        8 => return Ok(Encoding::Q8_0),
        30 => return Ok(Encoding::Bf16),
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        other => return Err(format!("GGUF type {other}")),
    }
    .to_owned())
}
