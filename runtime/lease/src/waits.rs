//! Telling somebody that an answer takes its time.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use tokio::time::timeout;

/// What somebody is shown; dropped when the answer is there, or nobody waits for it any more.
pub type Shown = Box<dyn Send>;

/// What is done about an answer that takes its time.
#[derive(Clone)]
pub struct Waits(Option<Told>);

#[derive(Clone)]
struct Told {
    after: Duration,
    show: Arc<dyn Fn(&str) -> Shown + Send + Sync>,
}

impl Waits {
    /// Shows what is waited for, once it has taken so long.
    pub fn new(after: Duration, show: impl Fn(&str) -> Shown + Send + Sync + 'static) -> Self {
        Self(Some(Told { after, show: Arc::new(show) }))
    }

    /// Nobody wants to know.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Waits for something. `whom` says who is to answer: `the controller at lab.example:8082`.
    pub async fn over<T>(&self, whom: &str, what: impl Future<Output = T>) -> T {
        let Some(Told { after, show }) = &self.0 else { return what.await };
        let mut what = pin!(what);
        if let Ok(done) = timeout(*after, &mut what).await {
            return done;
        }
        let _shown = show(whom);
        what.await
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waits({:?})", self.0.as_ref().map(|told| told.after))
    }
}
