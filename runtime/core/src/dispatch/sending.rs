//! Arguments on their way out.

use bytes::Bytes;
use prost::encoding;
use prost_types::Value;

use super::{Argument, Attached, Payload};
use crate::{
    Error, Result,
    describe::{Method, Type},
    resource::Handle,
    wire::{self, Wire},
};

/// Which wire language a peer understands for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The interface's own gRPC service.
    Native,
    /// Upstream's `DriverCall` and its relatives.
    Legacy,
}

/// Arguments on their way out.
#[derive(Debug)]
pub struct Sending {
    method: &'static Method,
    payload: Payload,
    /// Files, by position of their parameter.
    pub attached: Vec<(usize, Attached)>,
    failed: Option<Error>,
}

impl Sending {
    /// For a call of this method in this language.
    pub fn new(method: &'static Method, language: Language) -> Self {
        let payload = match language {
            Language::Native => Payload::Proto(Bytes::new()),
            Language::Legacy => Payload::Values(Vec::with_capacity(method.params.len())),
        };
        Self { method, payload, attached: Vec::new(), failed: None }
    }

    /// Adds the argument for the parameter at this position.
    pub fn push<A: Argument>(&mut self, index: usize, argument: A) {
        argument.put(self, index);
    }

    /// Adds every further argument.
    pub fn rest<T: Wire>(&mut self, index: usize, arguments: Vec<T>) {
        if let Payload::Values(_) = self.payload {
            for (i, argument) in arguments.into_iter().enumerate() {
                self.put_wire(&argument, index + i);
            }
        } else {
            self.put_wire(&arguments, index);
        }
    }

    pub(super) fn put_wire<T: Wire>(&mut self, argument: &T, index: usize) {
        let name = self.method.params.get(index).map_or("…", |param| param.name);
        match &mut self.payload {
            Payload::Proto(bytes) => {
                let Some(param) = self.method.params.get(index) else { return };
                let mut buffer = Vec::from(std::mem::take(bytes));
                // A parameter with a default has presence: its zero value must travel.
                if param.default.is_some() {
                    argument.encode(param.tag, &mut buffer);
                } else {
                    argument.encode_field(param.tag, &mut buffer);
                }
                *bytes = buffer.into();
            }
            Payload::Values(values) => match argument.to_value() {
                Ok(value) => set(values, index, value),
                Err(error) => {
                    self.failed = Some(Error::invalid_argument(format!(
                        "argument `{name}` of {}: {error}",
                        self.method.export
                    )));
                }
            },
        }
    }

    /// Puts the handle of an attached file where its parameter is.
    pub fn put_handle(&mut self, index: usize, handle: &Handle) {
        match &mut self.payload {
            Payload::Proto(bytes) => {
                let Some(param) = self.method.params.get(index) else { return };
                let mut buffer = Vec::from(std::mem::take(bytes));
                encoding::string::encode(param.tag, &handle.to_json(), &mut buffer);
                *bytes = buffer.into();
            }
            Payload::Values(values) => set(values, index, handle.to_value()),
        }
    }

    /// What to send. Trailing arguments that equal their defaults are left out of upstream's call, so that older
    /// drivers accept it.
    pub fn finish(mut self) -> Result<(Payload, Vec<(usize, Attached)>)> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Payload::Values(values) = &mut self.payload {
            while let Some(last) = values.last() {
                let Some(param) = self.method.params.get(values.len() - 1).filter(|param| !param.rest) else {
                    break;
                };
                let spare = match param.default {
                    Some(default) => *last == default(),
                    None => matches!(param.ty, Type::Opt(_)) && wire::value::is_null(last),
                };
                if !spare {
                    break;
                }
                values.pop();
            }
        }
        Ok((self.payload, self.attached))
    }
}

fn set(values: &mut Vec<Value>, index: usize, value: Value) {
    if values.len() <= index {
        values.resize_with(index + 1, wire::value::null);
    }
    values[index] = value;
}
