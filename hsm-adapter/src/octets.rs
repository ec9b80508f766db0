//! Octets as one value of a message: what serde derives for a `Vec<u8>` handles every octet by itself.

use std::{fmt, marker::PhantomData};

use serde::{Deserializer, Serializer, de::Visitor};

pub(crate) fn serialize<T: AsRef<[u8]>, S: Serializer>(
    octets: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(octets.as_ref())
}

pub(crate) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_byte_buf(Octets(PhantomData))
}

struct Octets<T>(PhantomData<T>);

impl<T: From<Vec<u8>>> Visitor<'_> for Octets<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets")
    }

    fn visit_bytes<E>(self, octets: &[u8]) -> Result<T, E> {
        Ok(octets.to_vec().into())
    }
}
