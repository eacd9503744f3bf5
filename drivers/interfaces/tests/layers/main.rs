//! Every interface of this crate, layer by layer, each readable on its own. `tests/expand/README.md` says how to read them.
//!
//! | Module | Layer |
//! |---|---|
//! | `description` | what an interface is, as sorted YAML: this is what people review |
//! | `golden` | bytes of one request and one answer of each method in both wire languages |
//! | `proto` | the committed `.proto` files compile to the descriptions |
//! | `probe` | an interface with the types that no interface of the crate has at every place |
//! | `random` | random values → our bytes → prost-reflect → bytes → ours |

mod description;
mod golden;
mod hosting;
mod probe;
mod proto;
mod random;
mod values;
