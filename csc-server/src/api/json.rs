//! JSON within bounds: how deep it nests and how many values it has is checked while it is read, so that nothing is built that is refused later.
//! An object that names a member twice is refused wherever it stands: no two readers of a request may disagree.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep a request may nest; signDoc, the deepest, has four levels.
const DEPTH: usize = 8;
/// How many values a request may have, names not counted.
const VALUES: usize = 10_000;

/// The object that these octets are, or nothing.
pub(super) fn object(octets: &[u8]) -> Option<Map<String, Value>> {
    let left = Cell::new(VALUES);
    let mut reader = serde_json::Deserializer::from_slice(octets);
    let value = Bounded {
        depth: DEPTH,
        left: &left,
    };
    let value = value.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// A value that may still nest this deep and have this many values.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Bounded<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut array = Vec::new();
        while let Some(value) = values.next_element_seed(below)? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(below)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is given twice"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_nests_eight_deep_and_no_deeper() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            object(format!("{{\"a\":{open}{close}}}").as_bytes())
        };
        assert!(nested(DEPTH).is_some());
        assert!(nested(DEPTH + 1).is_none());
    }

    #[test]
    fn a_request_has_ten_thousand_values_and_no_more() {
        let many = |count: usize| {
            let values = vec!["0"; count - 2].join(",");
            object(format!("{{\"a\":[{values}]}}").as_bytes())
        };
        assert!(many(VALUES).is_some());
        assert!(many(VALUES + 1).is_none());
    }

    #[test]
    fn no_object_names_a_member_twice() {
        assert!(object(br#"{"a":1,"b":{"a":1}}"#).is_some());
        assert!(object(br#"{"a":1,"a":1}"#).is_none());
        assert!(object(br#"{"a":{"b":1,"b":2}}"#).is_none());
    }

    #[test]
    fn what_is_no_object_or_more_than_one_is_nothing() {
        for text in ["", "[]", "5", "null", "{} {}", "{", "{\"a\":1e999}"] {
            assert!(object(text.as_bytes()).is_none(), "{text}");
        }
        let read = object(br#"{"a":[null,true,-1,1.5,"\u00e8"]}"#).map(Value::Object);
        assert_eq!(
            read,
            Some(serde_json::json!({"a": [null, true, -1, 1.5, "è"]}))
        );
    }
}
