//! WebSocket messages to a stream, and back.

use futures::{SinkExt as _, StreamExt as _};
use jumpstarter_core::{Error, Io, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::duplex::MAX_MESSAGE;

/// Most bytes of a reason for closing: control frames hold 125, two are the code's (RFC 6455, 5.5).
const REASON: usize = 123;

/// Copies both ways until both sides have ended, or one has failed.
pub(super) async fn relay(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    stream: Io,
) -> Result<()> {
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(socket, Role::Server, Some(limits)).await;
    let (mut to_browser, mut from_browser) = socket.split();
    let (mut from_device, mut to_device) = stream.split();
    let up = async {
        loop {
            match from_browser.next().await {
                Some(Ok(Message::Binary(data))) => to_device.send(data).await?,
                Some(Ok(Message::Text(text))) => to_device.send(text.into()).await?,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                // A tab that was closed says no good-bye; that is no failure of the device.
                Some(
                    Ok(Message::Close(_)) | Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)),
                )
                | None => break,
                Some(Err(error)) => return Err(Error::device(format!("the browser: {error}"))),
            }
        }
        to_device.finish().await?;
        Ok(())
    };
    let down = async {
        let frame = loop {
            match from_device.recv().await {
                Ok(Some(data)) => {
                    if to_browser.send(Message::Binary(data)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break Ok(CloseFrame { code: CloseCode::Normal, reason: "".into() }),
                Err(error) => break Err(Error::from(error)),
            }
        };
        let (frame, result) = match frame {
            Ok(frame) => (frame, Ok(())),
            Err(error) => {
                let reason = shortened(error.message()).into();
                (CloseFrame { code: CloseCode::Error, reason }, Err(error))
            }
        };
        let _ = to_browser.send(Message::Close(Some(frame))).await;
        result
    };
    // WebSockets have no half close: whichever side ends, ends the connection.
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

/// As much of a text as fits.
fn shortened(text: &str) -> &str {
    let end = (0..=REASON.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"x".repeat(200)).len(), REASON);
        assert_eq!(shortened(&"ü".repeat(100)).len(), REASON - 1);
    }
}
