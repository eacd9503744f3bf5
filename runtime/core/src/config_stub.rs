#![allow(missing_docs)]
pub struct Node;
pub struct Subject;
#[derive(Debug)]
pub struct Problems;
pub fn decode<T: serde::de::DeserializeOwned>(_: &Node, _: &Subject) -> Result<T, Problems> { Err(Problems) }
