//! Values that go into and come out of both databases: integers, text, octets. No booleans, no floating point, no dates.

use super::StoreError;

/// One value of a statement or a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL, with the type of the column that takes it (PostgreSQL asks).
    Null(Kind),
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BLOB, BYTEA.
    Octets(Vec<u8>),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// BIGINT.
    Int,
    /// TEXT.
    Text,
    /// BLOB, BYTEA.
    Octets,
}

/// A Rust type that a column can hold.
pub trait Column: Sized {
    /// Its column type.
    const KIND: Kind;
    /// From a value that came out; `None` when it is of another type.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! column {
    ($type:ty, $kind:ident, $variant:ident, $into:expr) => {
        impl Column for $type {
            const KIND: Kind = Kind::$kind;
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(inner) => inner.try_into().ok(),
                    _ => None,
                }
            }
        }
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant($into(value))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Self::Null(Kind::$kind), Self::from)
            }
        }
    };
}

column!(i64, Int, Int, |value| value);
column!(u32, Int, Int, i64::from);
column!(String, Text, Text, |value| value);
column!(Vec<u8>, Octets, Octets, |value| value);
column!([u8; 32], Octets, Octets, |value: [u8; 32]| value.to_vec());

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Octets(value.to_vec())
    }
}

/// One row, its columns in the order of the SELECT.
#[derive(Clone, Debug)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// Its values, as they came; NULL with whatever type.
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The value of a column that is never NULL.
    ///
    /// # Errors
    /// [`StoreError::Column`] when it is NULL or of another type: schema and code disagree.
    pub fn get<T: Column>(&mut self, column: usize) -> Result<T, StoreError> {
        self.optional(column)?.ok_or(StoreError::Column(column))
    }

    /// The value of a column that may be NULL.
    ///
    /// # Errors
    /// [`StoreError::Column`] when it is of another type.
    pub fn optional<T: Column>(&mut self, column: usize) -> Result<Option<T>, StoreError> {
        let slot = self.0.get_mut(column).ok_or(StoreError::Column(column))?;
        match std::mem::replace(slot, Value::Null(T::KIND)) {
            Value::Null(_) => Ok(None),
            value => T::from_value(value)
                .map(Some)
                .ok_or(StoreError::Column(column)),
        }
    }
}

/// The parameters of a statement: `params![id, now, digest]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::Value::from($value)),*][..] };
}
