//! What recorded calls are, in words and in parts.

use crate::bindings::{Bindings, canonical, uuids};
use crate::compare::Seen;
use crate::message::{Direction, Tree};
use crate::recording::{Event, Stream, What};

/// The recorded instance that a call is for, as [`canonical`] spells it. `None` when its UUID is none.
pub fn addressed(stream: &Stream) -> Option<String> {
    let text = if let Some(request) = stream.request_header("request") {
        request.to_owned()
    } else {
        let request = Tree::decode(&stream.path, Direction::Request, &stream.request()?.content());
        request.get("uuid").and_then(Tree::as_text)?.to_owned()
    };
    uuids(&text).first().map(|(start, end)| canonical(&text[*start..*end]))
}

/// A call in words: which RPC, which method, which stream.
pub fn describe(connection: usize, stream: &Stream) -> String {
    let request =
        stream.request().map(|message| Tree::decode(&stream.path, Direction::Request, &message.content()));
    let method =
        request.as_ref().and_then(|tree| tree.get("method")).and_then(Tree::as_text).unwrap_or_default();
    let detail = stream.request_header("request").unwrap_or(method);
    format!("connection {connection}, stream {}, {} {detail}", stream.id, stream.rpc()).trim_end().to_owned()
}

/// Whether a server's event ends the data of a byte stream.
pub(super) fn is_goaway(seen: &Seen) -> bool {
    let kind = |tree: &Tree| tree.get("frame_type").and_then(Tree::as_text) == Some("FRAME_TYPE_GOAWAY");
    matches!(seen, Seen::Message(tree) if kind(tree))
}

/// Whether with this event the client ends the data of a byte stream.
pub(super) fn ends_data(stream: &Stream, event: &Event) -> bool {
    stream.path.ends_with("RouterService/Stream")
        && (matches!(event.what, What::EndStream { .. })
            || is_goaway(&Seen::recorded(&stream.path, Direction::Request, &event.what)))
}

/// Whether two log lines say the same, apart from the prefix that upstream adds when the logger changes and the UUID
/// that it leaves empty.
pub(super) fn same_line(recorded: &Tree, live: &Tree, bindings: &mut Bindings) -> bool {
    let text = |tree: &Tree, key: &str| tree.get(key).and_then(Tree::as_text).unwrap_or_default().to_owned();
    let message = text(recorded, "message");
    let bare = message
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .map_or(message.as_str(), |(_, rest)| rest);
    let live_message = text(live, "message");
    (bindings.same(&message, &live_message) || bindings.same(bare, &live_message))
        && ["severity", "source"].iter().all(|key| text(recorded, key) == text(live, key))
}
