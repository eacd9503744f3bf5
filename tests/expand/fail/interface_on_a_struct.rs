//! The attribute on something else.

use jumpstarter::interface;

/// Something that shines.
#[interface(name = "lamp", version = 1)]
pub struct Lamp;

fn main() {
    let _ = Lamp;
}
