//! The wires of the console: output for everybody who listens, input for whatever runs on the board.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use jumpstarter::{Io, task::spawn};
use tokio::sync::{broadcast, mpsc};

/// How much of the output since power-on a new listener still gets.
const SCROLLBACK: usize = 64 * 1024;

/// How many pieces a listener may fall behind before it loses some, as on a real line without flow control.
const BACKLOG: usize = 256;

/// How many pieces of input wait for the machine.
const INPUT: usize = 32;

/// Both directions of the console.
#[derive(Debug)]
pub(crate) struct Console {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    scrollback: VecDeque<u8>,
    output: broadcast::Sender<Bytes>,
    /// Present while something runs that reads.
    input: Option<mpsc::Sender<Bytes>>,
}

impl Default for Console {
    fn default() -> Self {
        let output = broadcast::Sender::new(BACKLOG);
        Self { state: Mutex::new(State { scrollback: VecDeque::new(), output, input: None }) }
    }
}

impl Console {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends text out.
    pub(crate) fn print(&self, text: impl Into<String>) {
        let piece = Bytes::from(text.into());
        let mut state = self.state();
        state.scrollback.extend(&piece[..]);
        let surplus = state.scrollback.len().saturating_sub(SCROLLBACK);
        state.scrollback.drain(..surplus);
        // Without a listener there is nobody to send to.
        let _ = state.output.send(piece);
    }

    /// What was printed since power-on, as far back as it is kept.
    pub(crate) fn printed(&self) -> Bytes {
        self.state().scrollback.iter().copied().collect()
    }

    /// The board starts: what was printed before is forgotten, and input is taken from now on.
    pub(crate) fn power_on(&self) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(INPUT);
        let mut state = self.state();
        state.scrollback.clear();
        state.input = Some(sender);
        receiver
    }

    /// The board stops: input is lost from now on.
    pub(crate) fn power_off(&self) {
        self.state().input = None;
    }

    /// Connects one more listener. It first gets what was printed since power-on.
    pub(crate) fn connect(self: &std::sync::Arc<Self>) -> Io {
        let (near, far) = Io::pair();
        let (mut reader, mut writer) = far.split();
        let (before, mut output) = {
            // Taken together, so that no line is missing or doubled between the two.
            let state = self.state();
            (state.scrollback.iter().copied().collect::<Bytes>(), state.output.subscribe())
        };
        // Told when the caller is gone; a caller that only finished its input keeps its output.
        let gone = std::sync::Arc::new(tokio::sync::Notify::new());
        let cut = gone.clone();
        spawn(async move {
            if !before.is_empty() && writer.send(before).await.is_err() {
                return;
            }
            loop {
                let piece = tokio::select! {
                    piece = output.recv() => piece,
                    () = gone.notified() => return,
                };
                let piece = match piece {
                    Ok(piece) => piece,
                    Err(broadcast::error::RecvError::Lagged(pieces)) => {
                        Bytes::from(format!("\r\n[console: {pieces} pieces of output lost]\r\n"))
                    }
                    Err(broadcast::error::RecvError::Closed) => break,
                };
                if writer.send(piece).await.is_err() {
                    return;
                }
            }
            let _ = writer.finish().await;
        });
        let console = self.clone();
        spawn(async move {
            loop {
                match reader.recv().await {
                    Ok(Some(piece)) => {
                        let input = console.state().input.clone();
                        if let Some(input) = input {
                            // A machine that stops while we wait loses the input, as a real one does.
                            let _ = input.send(piece).await;
                        }
                    }
                    Ok(None) => return,
                    Err(_) => return cut.notify_one(),
                }
            }
        });
        near
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Lets every task that can go on do so; on the single thread of a test, that is all there is to wait for.
    async fn settle() {
        for _ in 0..20 {
            jumpstarter::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn input_is_lost_while_the_board_is_off() {
        let console = Arc::new(Console::default());
        let mut caller = console.connect();
        caller.send("too early").await.unwrap();
        settle().await;
        let mut input = console.power_on();
        caller.send("in time").await.unwrap();
        assert_eq!(input.recv().await.unwrap(), "in time");
        console.power_off();
        caller.send("too late").await.unwrap();
        settle().await;
        assert_eq!(input.recv().await, None);
    }

    #[tokio::test]
    async fn a_caller_that_finished_its_input_keeps_its_output() {
        let console = Arc::new(Console::default());
        let mut caller = console.connect();
        caller.finish().await.unwrap();
        settle().await;
        console.print("still here");
        assert_eq!(caller.recv().await.unwrap().unwrap(), "still here");
    }

    #[test]
    fn the_scrollback_is_bounded_and_keeps_the_end() {
        let console = Console::default();
        for _ in 0..3 {
            console.print("x".repeat(SCROLLBACK));
        }
        console.print("end");
        let state = console.state();
        assert_eq!(state.scrollback.len(), SCROLLBACK);
        assert!(state.scrollback.iter().rev().take(3).eq(b"dne"));
    }
}
