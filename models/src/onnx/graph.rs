//! A small builder of ONNX graphs: values are names, nodes are appended in order.

use super::data::Place;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto, tensor_shape_proto, type_proto,
};

/// The domain of ONNX Runtime's own operators.
pub const MICROSOFT: &str = "com.microsoft";
/// The domain of standard operators.
pub const STANDARD: &str = "";
/// Version of the standard operators: reductions take their axes as inputs from here on.
pub const OPSET: i64 = 18;
/// Version of the file format: old enough for every ONNX Runtime that is supported.
const IR_VERSION: i64 = 8;

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 8-bit unsigned integer.
    U8,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
}

impl Type {
    /// ONNX's number of the type.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::F32 => tensor_proto::DataType::Float as i32,
            Self::F16 => tensor_proto::DataType::Float16 as i32,
            Self::U8 => tensor_proto::DataType::Uint8 as i32,
            Self::I32 => tensor_proto::DataType::Int32 as i32,
            Self::I64 => tensor_proto::DataType::Int64 as i32,
        }
    }
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dim<'a> {
    /// A fixed size.
    Fixed(usize),
    /// A size that differs from call to call, by name.
    Named(&'a str),
}

/// The value of a node's attribute.
#[derive(Clone, Copy, Debug)]
pub enum Attr<'a> {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// Several integers.
    Ints(&'a [i64]),
}

/// A graph under construction.
#[derive(Debug)]
pub struct Graph {
    graph: GraphProto,
    data_name: String,
}

impl Graph {
    /// An empty graph whose external tensors lie in the file `data_name` beside it.
    #[must_use]
    pub fn new(name: &str, data_name: &str) -> Self {
        let graph = GraphProto { name: Some(name.into()), ..GraphProto::default() };
        Self { graph, data_name: data_name.into() }
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, kind: Type, dims: &[Dim<'_>]) {
        self.graph.input.push(value_info(name, kind, dims));
    }

    /// Declares a value as an output.
    pub fn output(&mut self, name: &str, kind: Type, dims: &[Dim<'_>]) {
        self.graph.output.push(value_info(name, kind, dims));
    }

    /// Appends a node; empty names stand for inputs and outputs that are left out.
    pub fn node(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attr<'_>)],
    ) {
        let names = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect();
        let name = outputs.iter().find(|s| !s.is_empty()).map(|s| format!("{s}/{op}"));
        self.graph.node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            name,
            op_type: Some(op.into()),
            domain: (!domain.is_empty()).then(|| domain.into()),
            attribute: attributes.iter().map(|(name, value)| attribute(name, *value)).collect(),
            ..NodeProto::default()
        });
    }

    /// Appends a standard operator with one output, whose name is given back.
    pub fn op(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attr<'_>)],
    ) -> String {
        self.node(STANDARD, op, inputs, &[output], attributes);
        output.to_owned()
    }

    /// How many nodes there are so far.
    pub(crate) fn nodes(&self) -> usize {
        self.graph.node.len()
    }

    /// Takes the nodes from number `first` on out of the graph, for a branch of [`Graph::choose`].
    /// Constants stay: a branch sees those of the graph around it.
    pub(crate) fn take_nodes(&mut self, first: usize) -> Vec<NodeProto> {
        self.graph.node.split_off(first)
    }

    /// Appends an `If`: `outputs` are the values `then.1` that the nodes `then.0` make where the
    /// value `condition` is true, and those of `otherwise` where it is not; all of 32-bit floats.
    pub(crate) fn choose(
        &mut self,
        condition: &str,
        then: (Vec<NodeProto>, &[&str]),
        otherwise: (Vec<NodeProto>, &[&str]),
        outputs: &[&str],
    ) {
        let branch = |name: &str, (node, values): (Vec<NodeProto>, &[&str])| AttributeProto {
            name: Some(name.into()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(GraphProto {
                name: Some(format!("{}/{name}", outputs[0])),
                node,
                output: values.iter().map(|value| shapeless(value, Type::F32)).collect(),
                ..GraphProto::default()
            }),
            ..AttributeProto::default()
        };
        self.graph.node.push(NodeProto {
            input: vec![condition.to_owned()],
            output: outputs.iter().map(|s| (*s).to_owned()).collect(),
            name: Some(format!("{}/If", outputs[0])),
            op_type: Some("If".into()),
            attribute: vec![branch("then_branch", then), branch("else_branch", otherwise)],
            ..NodeProto::default()
        });
    }

    /// A constant of integers within the graph itself.
    pub fn ints(&mut self, name: &str, values: &[i64], dims: &[usize]) -> String {
        if !self.has(name) {
            let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.inline(name, Type::I64, dims, raw);
        }
        name.to_owned()
    }

    /// A constant of floats within the graph itself.
    pub fn floats(&mut self, name: &str, values: &[f32], dims: &[usize]) -> String {
        if !self.has(name) {
            let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.inline(name, Type::F32, dims, raw);
        }
        name.to_owned()
    }

    /// A constant in the external file.
    pub(crate) fn external(&mut self, name: &str, kind: Type, dims: &[usize], place: Place) {
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: Some(key.into()),
            value: Some(value),
        };
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            data_type: Some(kind.number()),
            dims: dims.iter().map(|d| *d as i64).collect(),
            data_location: Some(tensor_proto::DataLocation::External as i32),
            external_data: vec![
                entry("location", self.data_name.clone()),
                entry("offset", place.offset.to_string()),
                entry("length", place.length.to_string()),
            ],
            ..TensorProto::default()
        });
    }

    /// Whether a constant of this name exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.graph.initializer.iter().any(|t| t.name.as_deref() == Some(name))
    }

    /// Whether a node makes this value.
    #[must_use]
    pub fn made(&self, value: &str) -> bool {
        self.graph.node.iter().any(|n| n.output.iter().any(|o| o == value))
    }

    /// The finished model, with `metadata` as its properties.
    #[must_use]
    pub fn finish(self, metadata: &[(&str, String)]) -> ModelProto {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.into()),
            version: Some(version),
        };
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some("lcedge".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            opset_import: vec![opset(STANDARD, OPSET), opset(MICROSOFT, 1)],
            graph: Some(self.graph),
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto {
                    key: Some((*key).into()),
                    value: Some(value.clone()),
                })
                .collect(),
            ..ModelProto::default()
        }
    }

    fn inline(&mut self, name: &str, kind: Type, dims: &[usize], raw: Vec<u8>) {
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            data_type: Some(kind.number()),
            dims: dims.iter().map(|d| *d as i64).collect(),
            raw_data: Some(raw),
            ..TensorProto::default()
        });
    }
}

fn attribute(name: &str, value: Attr<'_>) -> AttributeProto {
    let mut out = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
    match value {
        Attr::Int(i) => {
            out.i = Some(i);
            out.r#type = Some(AttributeType::Int as i32);
        }
        Attr::Float(f) => {
            out.f = Some(f);
            out.r#type = Some(AttributeType::Float as i32);
        }
        Attr::Ints(all) => {
            out.ints = all.to_vec();
            out.r#type = Some(AttributeType::Ints as i32);
        }
    }
    out
}

/// A value of any shape.
fn shapeless(name: &str, kind: Type) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(kind.number()), shape: None };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn value_info(name: &str, kind: Type, dims: &[Dim<'_>]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension};
    let dim = dims
        .iter()
        .map(|d| Dimension {
            value: Some(match d {
                Dim::Fixed(n) => dimension::Value::DimValue(*n as i64),
                Dim::Named(s) => dimension::Value::DimParam((*s).into()),
            }),
            ..Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: Some(kind.number()),
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
