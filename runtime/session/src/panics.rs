//! Where a driver panicked.
//!
//! A panic that is caught brings its text along, but not its place; only the process-wide hook sees that. Ours asks the
//! hook that was there before to do its work, and remembers the last places by the text.

use std::{
    any::Any,
    collections::VecDeque,
    panic,
    sync::{Mutex, Once, PoisonError},
};

use jumpstarter_core::{Error, log::Severity};

use crate::tree::Node;

/// How many places are remembered: several drivers can panic before the first of them is asked about.
const REMEMBERED: usize = 32;

static PLACES: Mutex<VecDeque<(String, String)>> = Mutex::new(VecDeque::new());
static HOOK: Once = Once::new();

/// Installs the hook, once per process.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(location) = info.location() {
                let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
                if places.len() == REMEMBERED {
                    places.pop_front();
                }
                places.push_back((text(info.payload()), location.to_string()));
            }
            before(info);
        }));
    });
}

/// Turns a caught panic into an error of whatever was going on, and says so in the logs. The driver's state is in doubt
/// until it is reset.
pub(crate) fn report(node: &Node, operation: &str, panic: &(dyn Any + Send)) -> Error {
    let text = text(panic);
    let place = place(&text).unwrap_or_else(|| "an unknown place".to_owned());
    let instance = &node.instance;
    instance.set_suspect(true);
    tracing::error!(
        operation,
        driver_type = instance.type_name,
        uuid = %instance.uuid,
        place,
        text,
        "a driver panicked; its state is in doubt until it is reset"
    );
    instance.logger.during(operation).log(
        Severity::Error,
        format!("{} panicked in {operation} at {place}: {text}", node.name()),
        Vec::new(),
    );
    Error::internal(format!("the driver panicked in {operation} at {place}: {text}"))
}

/// What a caught panic says.
fn text(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// Where the last panic with this text happened.
fn place(text: &str) -> Option<String> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let at = places.iter().rposition(|(known, _)| known == text)?;
    places.remove(at).map(|(_, place)| place)
}
