//! Values of GGUF metadata.

/// One metadata value. All integers are widened to `i64` (of `u64`, those that fit), all floats
/// to `f64`; arrays hold one kind and are never nested.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A truth value.
    Flag(bool),
    /// Text.
    Text(String),
    /// An array of integers or truth values.
    Integers(Vec<i64>),
    /// An array of floats.
    Floats(Vec<f64>),
    /// An array of texts.
    Texts(Vec<String>),
}

impl Value {
    /// The integer, if it is one.
    #[must_use]
    pub const fn integer(&self) -> Option<i64> {
        if let Self::Integer(n) = self { Some(*n) } else { None }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn float(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Integer(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn flag(&self) -> Option<bool> {
        if let Self::Flag(b) = self { Some(*b) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(s) = self { Some(s) } else { None }
    }

    /// The texts, if it is an array of them.
    #[must_use]
    pub fn texts(&self) -> Option<&[String]> {
        if let Self::Texts(v) = self { Some(v) } else { None }
    }

    /// The integers, if it is an array of them.
    #[must_use]
    pub fn integers(&self) -> Option<&[i64]> {
        if let Self::Integers(v) = self { Some(v) } else { None }
    }

    /// The floats, if it is an array of them.
    #[must_use]
    pub fn floats(&self) -> Option<&[f64]> {
        if let Self::Floats(v) = self { Some(v) } else { None }
    }

    /// What kind of value it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Flag(_) => "true or false",
            Self::Text(_) => "text",
            Self::Integers(_) => "an array of integers",
            Self::Floats(_) => "an array of floats",
            Self::Texts(_) => "an array of texts",
        }
    }
}
