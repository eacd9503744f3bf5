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

/// What a caught panic says.
pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// Where the last panic with this text happened.
pub(crate) fn place(text: &str) -> Option<String> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let at = places.iter().rposition(|(known, _)| known == text)?;
    places.remove(at).map(|(_, place)| place)
}
