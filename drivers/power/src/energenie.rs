//! Sockets of the EnerGenie EG-PMS2-LAN, an outlet strip with a web page.

use jumpstarter::{Driver, Error, Open, Result, config, driver, log::Logger, sync::Mutex, time::Duration};
use jumpstarter_interfaces::Power;
use reqwest::{Client, Url};

use crate::{simulated::Simulated, web};

/// How long a request may take, as upstream has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the strip is, and which socket is meant.
#[config]
#[derive(Clone, Debug)]
pub struct EnerGeniePowerConfig {
    /// Name or address of the strip, with a port if it is not 80.
    #[schemars(length(min = 1), extend("examples" = ["192.0.2.10"]))]
    pub host: String,
    /// The password of its page.
    #[default = "1"]
    pub password: String,
    /// The socket: 1 to 4.
    #[default = 1]
    #[unit = "socket number"]
    #[schemars(range(min = 1, max = 4))]
    pub slot: u8,
}

impl EnerGeniePowerConfig {
    fn address(&self) -> Result<Url> {
        if !(1..=4).contains(&self.slot) {
            return Err(Error::configuration(format!(
                "`slot` is {}: the strip has sockets 1 to 4",
                self.slot
            )));
        }
        web::address("host", &format!("http://{}/", self.host))
    }
}

/// A socket of an EnerGenie EG-PMS2-LAN. The page that it answers with shows the states of its sockets, and is compared with
/// what was asked for. It cannot measure.
#[driver(
    type = "energenie-power",
    provides(Power),
    config = EnerGeniePowerConfig,
    aliases("jumpstarter_driver_energenie.driver.EnerGenie")
)]
#[derive(Debug)]
pub struct EnerGeniePower {
    config: EnerGeniePowerConfig,
    address: Url,
    client: Client,
    /// The strip knows one user at a time, so a login and what follows stay together.
    turn: Mutex<()>,
    logger: Logger,
}

impl Driver for EnerGeniePower {
    fn check(config: &EnerGeniePowerConfig) -> Vec<Error> {
        config.address().err().into_iter().collect()
    }

    async fn open(config: EnerGeniePowerConfig, cx: &mut Open) -> Result<Self> {
        let address = config.address()?;
        Ok(Self { config, address, client: web::client(TIMEOUT)?, turn: Mutex::new(()), logger: cx.logger() })
    }
}

impl EnerGeniePower {
    async fn switch(&self, on: bool) -> Result<()> {
        let _turn = self.turn.lock().await;
        let slot = self.config.slot;
        self.logger.info(format!("switching socket {slot} {}", if on { "on" } else { "off" }));
        let mut login = self.address.clone();
        login.set_path("login.html");
        let password = form("pw", &self.config.password);
        let page = web::ask(self.post(login, password)).await?;
        if asks_for_password(&page) {
            return Err(Error::device("the strip does not accept the password"));
        }
        let page = web::ask(
            self.post(self.address.clone(), form(&format!("cte{slot}"), if on { "1" } else { "0" })),
        )
        .await?;
        if asks_for_password(&page) {
            return Err(Error::device(
                "the strip asks for the password again: somebody else may be using it",
            ));
        }
        match states(&page).map(|states| states.get(usize::from(slot) - 1).copied()) {
            // Other models show another page.
            None => Ok(()),
            Some(Some(state)) if state == on => Ok(()),
            Some(_) => Err(Error::device(format!(
                "the strip did not switch socket {slot}: its page shows the old state"
            ))),
        }
    }

    fn post(&self, url: Url, body: String) -> reqwest::RequestBuilder {
        self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

/// One field of a form.
fn form(name: &str, value: &str) -> String {
    let mut url = Url::parse("http://form/").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// Whether this is the page that asks for the password: it has a field for it.
fn asks_for_password(page: &str) -> bool {
    ["name=\"pw\"", "name='pw'", "name=pw"].iter().any(|field| page.contains(field))
}

/// The states of the sockets that the page's script begins with: `var sockstates = [1,0,0,1];`.
fn states(page: &str) -> Option<Vec<bool>> {
    let (_, behind) = page.split_once("sockstates")?;
    let list = behind.trim_start().strip_prefix('=')?.trim_start().strip_prefix('[')?;
    let (list, _) = list.split_once(']')?;
    Some(list.split(',').map(|state| state.trim() == "1").collect())
}

impl Power for EnerGeniePower {
    async fn on(&self) -> Result<()> {
        self.switch(true).await
    }

    async fn off(&self) -> Result<()> {
        self.switch(false).await
    }
}

/// A socket with the configuration of `energenie-power` that exists in memory.
#[driver(type = "mock-energenie-power", provides(Power), config = EnerGeniePowerConfig)]
#[derive(Debug)]
pub struct MockEnerGeniePower {
    supply: Simulated,
}

impl Driver for MockEnerGeniePower {
    fn check(config: &EnerGeniePowerConfig) -> Vec<Error> {
        config.address().err().into_iter().collect()
    }

    async fn open(config: EnerGeniePowerConfig, cx: &mut Open) -> Result<Self> {
        config.address()?;
        Ok(Self { supply: Simulated::new(cx.logger()) })
    }
}

impl Power for MockEnerGeniePower {
    async fn on(&self) -> Result<()> {
        self.supply.switch(true);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.supply.switch(false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_the_states() {
        let page = "<script>var sockstates = [1,0, 0,1];var x = [5];</script>";
        assert_eq!(states(page), Some(vec![true, false, false, true]));
        assert_eq!(states("<html></html>"), None);
        assert_eq!(states("sockstates"), None);
    }

    #[test]
    fn the_password_travels_as_a_field_of_a_form() {
        assert_eq!(form("pw", "a b&c=ä"), "pw=a+b%26c%3D%C3%A4");
        assert!(asks_for_password("<input type=\"password\" name=\"pw\">"));
        assert!(!asks_for_password("<a href=\"login.html\">Log Out</a>"));
    }
}
