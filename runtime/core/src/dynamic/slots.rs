//! Function pointers to things that are only known at run time.
//!
//! Descriptions are constants: they refer to types and defaults by `fn() -> …`, which a compiler can make and a running
//! program cannot. So the compiler makes some hundreds of functions, each of which returns what is in its own slot, and
//! a slot is filled once. The number of slots is a bound that has to exist anyway.

use std::sync::OnceLock;

use prost_types::Value;

use crate::describe::{EnumSpec, MessageSpec};

/// How many of each there are.
pub(super) const MESSAGES: usize = 512;
pub(super) const ENUMS: usize = 256;
pub(super) const DEFAULTS: usize = 256;

static MESSAGE_SLOTS: [OnceLock<MessageSpec>; MESSAGES] = [const { OnceLock::new() }; MESSAGES];
static ENUM_SLOTS: [OnceLock<EnumSpec>; ENUMS] = [const { OnceLock::new() }; ENUMS];
static DEFAULT_SLOTS: [OnceLock<Value>; DEFAULTS] = [const { OnceLock::new() }; DEFAULTS];

// What a slot answers before it is filled; nobody sees a description before it is complete.
static NO_MESSAGE: MessageSpec =
    MessageSpec { name: "", fields: &[], reserved: (&[], &[]), list: false, doc: "" };
static NO_ENUM: EnumSpec = EnumSpec { name: "", values: &[], doc: "" };

fn message<const SLOT: usize>() -> &'static MessageSpec {
    MESSAGE_SLOTS[SLOT].get().unwrap_or(&NO_MESSAGE)
}

fn enumeration<const SLOT: usize>() -> &'static EnumSpec {
    ENUM_SLOTS[SLOT].get().unwrap_or(&NO_ENUM)
}

fn default<const SLOT: usize>() -> Value {
    DEFAULT_SLOTS[SLOT].get().cloned().unwrap_or_default()
}

/// `[[f::<0>, …, f::<15>], [f::<16>, …], …]`
macro_rules! table {
    ($function:ident: $($row:literal)*) => {
        [$(table!(@ $function $row: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)),*]
    };
    (@ $function:ident $row:literal: $($column:literal)*) => {
        [$($function::<{ $row * 16 + $column }>),*]
    };
}

type Table<F, const ROWS: usize> = [[F; 16]; ROWS];

static MESSAGE_FUNCTIONS: Table<fn() -> &'static MessageSpec, { MESSAGES / 16 }> =
    table!(message: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
static ENUM_FUNCTIONS: Table<fn() -> &'static EnumSpec, { ENUMS / 16 }> =
    table!(enumeration: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
static DEFAULT_FUNCTIONS: Table<fn() -> Value, { DEFAULTS / 16 }> =
    table!(default: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// Which slots are free.
#[derive(Debug, Default)]
pub(super) struct Free {
    messages: usize,
    enums: usize,
    /// The defaults that have a slot: most defaults of the world are a few small numbers.
    defaults: Vec<Value>,
}

/// A message's slot that waits for its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageSlot(usize);

impl MessageSlot {
    /// The function that returns the content.
    pub(super) fn function(self) -> fn() -> &'static MessageSpec {
        MESSAGE_FUNCTIONS[self.0 / 16][self.0 % 16]
    }

    /// Fills it.
    pub(super) fn fill(self, spec: MessageSpec) {
        // A slot is handed out once, so this cannot find it filled.
        let _ = MESSAGE_SLOTS[self.0].set(spec);
    }
}

impl Free {
    /// Takes a slot for a message. It has to be taken before the fields are known, because a message may contain itself.
    pub(super) fn message(&mut self) -> Result<MessageSlot, String> {
        let slot = self.messages;
        if slot >= MESSAGES {
            return Err(format!("together, the descriptors have more than {MESSAGES} messages"));
        }
        self.messages += 1;
        Ok(MessageSlot(slot))
    }

    /// A function that returns this enum.
    pub(super) fn enumeration(&mut self, spec: EnumSpec) -> Result<fn() -> &'static EnumSpec, String> {
        let slot = self.enums;
        if slot >= ENUMS {
            return Err(format!("together, the descriptors have more than {ENUMS} enums"));
        }
        self.enums += 1;
        let _ = ENUM_SLOTS[slot].set(spec);
        Ok(ENUM_FUNCTIONS[slot / 16][slot % 16])
    }

    /// A function that returns this value; none when there are too many different ones.
    pub(super) fn default_value(&mut self, value: Value) -> Option<fn() -> Value> {
        let slot = match self.defaults.iter().position(|known| *known == value) {
            Some(slot) => slot,
            None if self.defaults.len() >= DEFAULTS => return None,
            None => {
                let slot = self.defaults.len();
                let _ = DEFAULT_SLOTS[slot].set(value.clone());
                self.defaults.push(value);
                slot
            }
        };
        Some(DEFAULT_FUNCTIONS[slot / 16][slot % 16])
    }
}
