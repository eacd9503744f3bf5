//! Supplies that are switched by HTTP requests.

use jumpstarter::{Delay, Driver, Error, Open, Result, Stream, config, driver, log::Logger};
use jumpstarter_interfaces::{Power, PowerReading};
use reqwest::{Client, Method, Url};
use serde_json::Value;

use crate::{simulated::Simulated, web};

/// Which requests switch the supply, and which one measures it.
#[config]
#[derive(Clone, Debug)]
pub struct HttpPowerConfig {
    /// What the log calls it.
    #[default = "device"]
    pub name: String,
    /// The request that switches on.
    #[schemars(extend("examples" = [{ "url": "http://192.0.2.7/on" }]))]
    pub power_on: Endpoint,
    /// The request that switches off.
    #[schemars(extend("examples" = [{ "url": "http://192.0.2.7/outlet", "method": "POST", "data": "{\"on\": false}" }]))]
    pub power_off: Endpoint,
    /// The request that measures; its answer is JSON. Without it, the supply cannot be measured.
    #[schemars(extend("examples" = [{ "url": "http://192.0.2.7/status", "voltage_path": "meters.0.voltage", "current_path": "meters.0.current" }]))]
    pub power_read: Option<Endpoint>,
    /// Who asks.
    #[schemars(extend("examples" = [{ "basic": { "user": "admin", "password": "a long password" } }]))]
    pub auth: Option<Auth>,
    /// How long a request may take.
    #[default = "10s"]
    pub timeout: Delay,
}

/// A request.
#[config]
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it goes.
    #[schemars(extend("pattern" = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:", "title" = "a URL, such as http://192.0.2.7/on", "examples" = ["http://192.0.2.7/on"]))]
    pub url: String,
    /// Its method.
    #[default = "GET"]
    pub method: String,
    /// What it carries; only sent with POST, PUT and PATCH.
    #[schemars(extend("examples" = ["{\"outlet\": 1}"]))]
    pub data: Option<String>,
    /// Where the answer of `power_read` has the voltage in volts: keys and positions with dots between them, such as
    /// `meters.0.voltage`. Without it, `voltage`, or 0 if there is none.
    #[schemars(extend("examples" = ["meters.0.voltage"]))]
    pub voltage_path: Option<String>,
    /// Where the answer of `power_read` has the current in amperes. Without it, `current`, or 0 if there is none.
    #[schemars(extend("examples" = ["meters.0.current"]))]
    pub current_path: Option<String>,
}

/// How requests say who asks.
#[config]
#[derive(Clone, Debug)]
pub struct Auth {
    /// With a name and a password.
    #[schemars(extend("examples" = [{ "user": "admin", "password": "a long password" }]))]
    pub basic: Option<BasicAuth>,
}

/// A name and a password.
#[config]
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// The name.
    #[default = ""]
    #[schemars(extend("examples" = ["admin"]))]
    pub user: String,
    /// The password.
    #[default = ""]
    #[schemars(extend("examples" = ["a long password"]))]
    pub password: String,
}

/// An endpoint that was understood.
#[derive(Debug)]
struct Prepared {
    url: Url,
    method: Method,
    data: Option<String>,
}

impl Prepared {
    fn new(key: &str, endpoint: &Endpoint) -> Result<Self> {
        let url = web::address(&format!("{key}.url"), &endpoint.url)?;
        let method = endpoint.method.to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| {
            Error::configuration(format!(
                "`{key}.method`: {:?} is no HTTP method: use GET or POST",
                endpoint.method
            ))
        })?;
        let carries = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let data = endpoint.data.clone().filter(|data| carries && !data.is_empty());
        Ok(Self { url, method, data })
    }
}

/// What the configuration says, understood.
#[derive(Debug)]
struct Requests {
    on: Prepared,
    off: Prepared,
    read: Option<(Prepared, Place, Place)>,
}

impl Requests {
    /// What is wrong with each of them.
    fn refused(config: &HttpPowerConfig) -> Vec<Error> {
        let read = config.power_read.as_ref();
        let on = Prepared::new("power_on", &config.power_on).err();
        let off = Prepared::new("power_off", &config.power_off).err();
        let read = read.and_then(|endpoint| Prepared::new("power_read", endpoint).err());
        on.into_iter().chain(off).chain(read).collect()
    }

    fn new(config: &HttpPowerConfig) -> Result<Self> {
        let read = config.power_read.as_ref().map(|endpoint| {
            let prepared = Prepared::new("power_read", endpoint)?;
            let voltage = Place { configured: endpoint.voltage_path.clone(), usual: "voltage" };
            let current = Place { configured: endpoint.current_path.clone(), usual: "current" };
            Ok::<_, Error>((prepared, voltage, current))
        });
        Ok(Self {
            on: Prepared::new("power_on", &config.power_on)?,
            off: Prepared::new("power_off", &config.power_off)?,
            read: read.transpose()?,
        })
    }
}

/// A supply that is switched by HTTP requests. It says nothing about its state: a request that is answered with success
/// has done what it says.
#[driver(
    type = "http-power",
    provides(Power),
    config = HttpPowerConfig,
    aliases("jumpstarter_driver_http_power.driver.HttpPower")
)]
#[derive(Debug)]
pub struct HttpPower {
    name: String,
    requests: Requests,
    auth: Option<BasicAuth>,
    client: Client,
    logger: Logger,
}

impl Driver for HttpPower {
    fn check(config: &HttpPowerConfig) -> Vec<Error> {
        Requests::refused(config)
    }

    async fn open(config: HttpPowerConfig, cx: &mut Open) -> Result<Self> {
        let requests = Requests::new(&config)?;
        let client = web::client(config.timeout.get())?;
        let auth = config.auth.and_then(|auth| auth.basic);
        Ok(Self { name: config.name, requests, auth, client, logger: cx.logger() })
    }
}

impl HttpPower {
    async fn ask(&self, endpoint: &Prepared) -> Result<String> {
        let mut request = self.client.request(endpoint.method.clone(), endpoint.url.clone());
        if let Some(BasicAuth { user, password }) = &self.auth {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(data) = &endpoint.data {
            request = request.body(data.clone());
        }
        web::ask(request).await
    }
}

impl Power for HttpPower {
    async fn on(&self) -> Result<()> {
        self.logger.info(format!("switching {} on", self.name));
        self.ask(&self.requests.on).await.map(drop)
    }

    async fn off(&self) -> Result<()> {
        self.logger.info(format!("switching {} off", self.name));
        self.ask(&self.requests.off).await.map(drop)
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        let Some((endpoint, voltage, current)) = &self.requests.read else { return Err(unreadable()) };
        let answer = self.ask(endpoint).await?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| {
            Error::invalid_argument(format!("the answer of `power_read` is not JSON: {error}"))
        })?;
        let reading = PowerReading { voltage: voltage.number(&answer)?, current: current.number(&answer)? };
        Ok(Stream::from_values([reading]))
    }
}

fn unreadable() -> Error {
    // Upstream's clients know this as an invalid argument.
    Error::invalid_argument("this supply cannot measure: `power_read` is not configured")
}

/// Where an answer has a number.
#[derive(Debug)]
struct Place {
    configured: Option<String>,
    usual: &'static str,
}

impl Place {
    fn number(&self, answer: &Value) -> Result<f64> {
        let path = self.configured.as_deref().unwrap_or(self.usual);
        let Some(value) = find(answer, path) else {
            return match self.configured {
                Some(_) => Err(Error::invalid_argument(format!(
                    "the answer of `power_read` has nothing at `{path}`"
                ))),
                // It does not measure that.
                None => Ok(0.0),
            };
        };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| {
            Error::invalid_argument(format!("the answer of `power_read` has no number at `{path}`: {value}"))
        })
    }
}

/// Follows keys of mappings and positions of lists; negative ones count from the end.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => {
            let position: isize = part.parse().ok()?;
            let from_end = || items.len().checked_sub(position.unsigned_abs());
            items.get(usize::try_from(position).ok().or_else(from_end)?)
        }
        value => value.get(part),
    })
}

/// A supply with the configuration of `http-power` that exists in memory.
#[driver(type = "mock-http-power", provides(Power), config = HttpPowerConfig)]
#[derive(Debug)]
pub struct MockHttpPower {
    supply: Simulated,
    measures: bool,
}

impl Driver for MockHttpPower {
    fn check(config: &HttpPowerConfig) -> Vec<Error> {
        Requests::refused(config)
    }

    async fn open(config: HttpPowerConfig, cx: &mut Open) -> Result<Self> {
        let measures = Requests::new(&config)?.read.is_some();
        Ok(Self { supply: Simulated::new(cx.logger()), measures })
    }
}

impl Power for MockHttpPower {
    async fn on(&self) -> Result<()> {
        self.supply.switch(true);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.supply.switch(false);
        Ok(())
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        if self.measures { Ok(self.supply.read()) } else { Err(unreadable()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(path: Option<&str>, answer: &Value) -> Result<f64> {
        Place { configured: path.map(str::to_owned), usual: "voltage" }.number(answer)
    }

    #[test]
    fn a_number_is_found_where_the_path_leads() {
        let shelly = json!({"meters": [{"power": 11.5}, {"power": "12"}], "voltage": 230, "ison": true});
        for (path, wanted) in [
            (None, "230"),
            (Some("meters.0.power"), "11.5"),
            (Some("meters.-1.power"), "12"),
            (Some("ison"), "1"),
        ] {
            assert_eq!(number(path, &shelly).unwrap().to_string(), wanted, "{path:?}");
        }
        // Without a path, what is missing is not measured.
        assert_eq!(number(None, &json!([])).unwrap().to_string(), "0");
        for (path, message) in [
            ("meters.2.power", "the answer of `power_read` has nothing at `meters.2.power`"),
            ("meters.-3.power", "the answer of `power_read` has nothing at `meters.-3.power`"),
            (
                "meters",
                "the answer of `power_read` has no number at `meters`: [{\"power\":11.5},{\"power\":\"12\"}]",
            ),
        ] {
            assert_eq!(number(Some(path), &shelly).unwrap_err().message(), message);
        }
    }
}
