//! A connection that leads back to the caller.

use jumpstarter::{Io, Result, driver, task::spawn};
use jumpstarter_interfaces::Network;

/// Sends back what it is sent, message by message.
#[driver(
    type = "echo-network",
    provides(Network),
    open = Default::default,
    aliases("jumpstarter_driver_network.driver.EchoNetwork")
)]
#[derive(Debug, Default)]
pub struct EchoNetwork {}

impl Network for EchoNetwork {
    async fn connect(&self) -> Result<Io> {
        let (near, mut far) = Io::pair();
        spawn(async move {
            // An error means that the caller is gone, and nobody is left to hear about it.
            while let Ok(Some(message)) = far.recv().await {
                if far.send(message).await.is_err() {
                    return;
                }
            }
            let _ = far.finish().await;
        });
        Ok(near)
    }
}
