//! Keeps a client's token good while a command goes on for longer than that token does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jumpstarter_core::config::source::{Secret, Span, Spanned};
use jumpstarter_lease::{Choice, Chosen, Controller};
use jumpstarter_login::Claims;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::{client, report::Stop, table, tokens};

/// Where messages of this module come from, as existing clients have it.
const SOURCE: &str = "jumpstarter_cli.shell";

/// Seconds before its end at which is said that a token ends, and at which it is renewed: those of existing clients.
const TOLD: i64 = 300;
const RENEWED: i64 = 120;

/// How long to wait after an attempt that came to nothing.
const AGAIN: Duration = Duration::from_secs(5);

/// The longest sleep: the clock of the machine may be set, or stand while it is suspended, and tokens go by it.
const NAP: Duration = Duration::from_mins(5);

/// Renews the token of a controller's client until it is dropped.
pub(crate) struct Renewal {
    /// The second at which the token ends that is in use.
    ends: Arc<AtomicI64>,
    _task: AbortOnDropHandle<()>,
}

impl Renewal {
    /// Begins with the token that is in use.
    pub(crate) fn start(controller: &Controller, chosen: Chosen) -> Self {
        let ends = Arc::new(AtomicI64::new(i64::MAX));
        let task = tokio::spawn(keep(controller.clone(), chosen, ends.clone()));
        Self { ends, _task: AbortOnDropHandle::new(task) }
    }

    /// Whether the token has expired, and there was no other.
    pub(crate) fn is_over(&self) -> bool {
        self.ends.load(Ordering::Relaxed) <= now()
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Returns at this second.
async fn until(second: i64) {
    loop {
        let left = u64::try_from(second - now()).unwrap_or_default();
        if left == 0 {
            return;
        }
        sleep(Duration::from_secs(left).min(NAP)).await;
    }
}

/// The second at which a token ends, if it says so.
fn end(token: &Secret) -> Option<i64> {
    Claims::of(token.expose())?.moment("exp")
}

async fn keep(controller: Controller, mut chosen: Chosen, in_use: Arc<AtomicI64>) {
    while let Some(ends) = chosen.config.token.as_ref().and_then(|token| end(&token.value)) {
        in_use.store(ends, Ordering::Relaxed);
        // One that was short from the beginning is not renewed all the time.
        let life = ends - now();
        if life > TOLD {
            until(ends - TOLD).await;
            let left = Duration::from_secs(u64::try_from(ends - now()).unwrap_or_default());
            tracing::info!(
                source = SOURCE,
                "the token of client {} expires in {}",
                chosen.alias,
                table::span(left)
            );
        }
        until(ends - RENEWED.min(life / 2)).await;
        let mut told = false;
        loop {
            match another(&mut chosen, ends).await {
                Ok(how) => {
                    let Some(token) = &chosen.config.token else { return };
                    if let Err(error) = controller.use_token(&token.value) {
                        tracing::warn!(source = SOURCE, "{error}");
                        return;
                    }
                    // One that does not say when it ends is good until somebody says otherwise.
                    in_use.store(end(&token.value).unwrap_or(i64::MAX), Ordering::Relaxed);
                    tracing::info!(source = SOURCE, "{how}");
                    break;
                }
                Err(why) if !told => {
                    told = true;
                    tracing::warn!(
                        source = SOURCE,
                        "the token of client {} expires at {} and there is no other yet: {why}",
                        chosen.alias,
                        jiff::Timestamp::from_second(ends).map(table::local).unwrap_or_default(),
                    );
                }
                Err(_) => {}
            }
            sleep(AGAIN).await;
        }
    }
}

/// Finds another token that is good for longer, and puts it into what was chosen. Answers what to say of it.
async fn another(chosen: &mut Chosen, ends: i64) -> Result<&'static str, String> {
    let Some(file) = chosen.file.clone().filter(|_| !tokens::from_environment()) else {
        return Err("it is in the environment, where it cannot be renewed".to_owned());
    };
    // Somebody may have logged in meanwhile, and another program may have renewed it; a refresh token may be good only once,
    // and is theirs then.
    if let Ok(found) = client::chosen(&Choice::File(file))
        && let Some(token) = &found.config.token
        && end(&token.value).is_some_and(|new| new > ends)
    {
        chosen.config.token = found.config.token;
        chosen.config.refresh_token = found.config.refresh_token;
        return Ok("Token reloaded from login.");
    }
    let renewed = tokens::refresh(chosen).await.map_err(Stop::into_words)?;
    if end(&renewed.access).is_some_and(|new| new <= ends) {
        return Err("the provider's new one ends no later".to_owned());
    }
    chosen.config.token = Some(Spanned { value: renewed.access, span: Span::START });
    if let Some(refresh) = renewed.refresh {
        chosen.config.refresh_token = Some(Spanned { value: refresh, span: Span::START });
    }
    Ok("Token refreshed automatically.")
}
