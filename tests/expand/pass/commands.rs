//! Commands of a client.

use jumpstarter::{Delay, Result, commands, interface, time::sleep};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self) -> Result<()>;
}

#[commands]
impl SwitchClient {
    /// Wait, then switch on.
    pub async fn later(
        &self,
        /// How long.
        #[arg(short, long, default_value = "2s")]
        wait: Delay,
        #[arg(long = "say", value_name = "WORDS")] words: Option<String>,
        #[arg(short = 'q')] quiet: bool,
        count: u32,
    ) -> Result<String> {
        sleep(wait.get()).await;
        self.on().await?;
        Ok(helper(&format!("{words:?} {quiet} {count}")))
    }
}

fn helper(text: &str) -> String {
    text.to_owned()
}
