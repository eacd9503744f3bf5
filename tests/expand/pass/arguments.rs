//! Everything that parameters can be.

use jumpstarter::{Call, Delay, Result, Sink, Source, interface};

/// Takes many arguments.
#[interface(name = "taker", version = 1, package = "example")]
pub trait Taker {
    /// Limit a channel.
    async fn set_limit(
        &self,
        channel: String,
        /// At most so many.
        #[default = 1.5]
        amps: f64,
        #[default = "2s"] after: Delay,
        steps: Option<i64>,
    ) -> Result<f64>;
    /// Call something.
    #[export(name = "call_method")]
    async fn call(&self, name: String, #[rest] args: Vec<String>) -> Result<()>;
    /// Write an image.
    #[exclusive]
    async fn flash(&self, source: Source, target: Option<String>, #[inject] call: Call) -> Result<()>;
    /// Read an image.
    #[export(params = ["target", "partition"])]
    #[renamed_from = "read_image"]
    async fn dump(&self, sink: Sink, #[tag = 5] partition: Option<String>) -> Result<()>;
}
