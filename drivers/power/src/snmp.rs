//! Outlets of power distribution units, over SNMPv3.

use std::net::SocketAddr;

use jumpstarter::{
    Context as _, Delay, Driver, Error, Open, Result, config, driver,
    log::Logger,
    sync::Mutex,
    time::{Duration, Instant, sleep, timeout},
};
use jumpstarter_interfaces::Power;
use snmp2::{
    AsyncSession, Oid, Value,
    v3::{self, Cipher, Security},
};
use tokio::net::lookup_host;

use crate::simulated::Simulated;

/// Longest list of numbers that an object identifier may have, from RFC 2578, section 3.5.
const LONGEST: usize = 128;
/// How often the agent is asked for its identity, which changes nothing there.
const DISCOVERIES: u32 = 3;
/// How often a request may be repeated because the agent told its time. It refuses the request until then.
const ROUNDS: usize = 3;
/// How often the state is looked at until it is the one that was asked for. Agents do not tell by themselves.
const LOOK: Duration = Duration::from_millis(100);

/// Which outlet of which unit.
#[config]
#[derive(Clone, Debug)]
pub struct SnmpPowerConfig {
    /// Name or address of the unit.
    #[schemars(length(min = 1), extend("examples" = ["192.0.2.11"]))]
    pub host: String,
    /// The user that is known there.
    #[schemars(length(min = 1), extend("examples" = ["jumpstarter"]))]
    pub user: String,
    /// The number of the outlet: the last number of the object identifier.
    #[unit = "outlet number"]
    #[schemars(extend("examples" = [1]))]
    pub plug: u32,
    /// Port of the agent.
    #[default = 161]
    #[unit = "UDP port"]
    pub port: u16,
    /// The object that switches an outlet, without the outlet's number. What it is set to is 1 for on, 0 for off. The
    /// default is that of Raritan's units (PDU2-MIB).
    #[default = "1.3.6.1.4.1.13742.6.4.1.2.1.2.1"]
    #[schemars(extend("pattern" = OID, "title" = OID_WORDS, "examples" = ["1.3.6.1.4.1.13742.6.4.1.2.1.3.1"]))]
    pub oid: String,
    /// The object that shows the state of an outlet, without the outlet's number: 1 for on, 0 for off. With it, a call ends
    /// when the outlet has the state; without it, when the agent has accepted the command.
    #[schemars(extend("pattern" = OID, "title" = OID_WORDS, "examples" = ["1.3.6.1.4.1.13742.6.4.1.2.1.3.1"]))]
    pub state_oid: Option<String>,
    /// How requests are authenticated.
    #[default = AuthProtocol::None]
    pub auth_protocol: AuthProtocol,
    /// The password for that.
    #[schemars(extend("examples" = ["a long password"]))]
    pub auth_key: Option<String>,
    /// How requests are encrypted.
    #[default = PrivProtocol::None]
    pub priv_protocol: PrivProtocol,
    /// The password for that.
    #[schemars(extend("examples" = ["another password"]))]
    pub priv_key: Option<String>,
    /// How long the unit may take.
    #[default = "5s"]
    pub timeout: Delay,
}

/// What an object identifier looks like.
const OID: &str = r"^\.?[0-9]+(\.[0-9]+)*$";

/// That, for people.
const OID_WORDS: &str = "an object identifier, such as 1.3.6.1.4.1.13742";

/// A way to authenticate.
#[config]
pub enum AuthProtocol {
    /// None at all.
    #[serde(rename = "NONE")]
    None,
    /// HMAC-MD5-96, from RFC 3414.
    #[serde(rename = "MD5")]
    Md5,
    /// HMAC-SHA-96, from RFC 3414.
    #[serde(rename = "SHA")]
    Sha,
    /// HMAC-SHA-256, from RFC 7860.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512, from RFC 7860.
    #[serde(rename = "SHA512")]
    Sha512,
}

/// A way to encrypt.
#[config]
pub enum PrivProtocol {
    /// None at all.
    #[serde(rename = "NONE")]
    None,
    /// CBC-DES, from RFC 3414.
    #[serde(rename = "DES")]
    Des,
    /// CFB128-AES-128, from RFC 3826.
    #[serde(rename = "AES")]
    Aes,
}

/// A configuration that was understood.
#[derive(Debug)]
struct Outlet {
    switch: Vec<u64>,
    state: Option<Vec<u64>>,
    security: Security,
}

impl Outlet {
    fn new(config: &SnmpPowerConfig) -> Result<Self> {
        if config.timeout == Delay::ZERO {
            return Err(Error::configuration("`timeout` has to be above 0"));
        }
        let state = config.state_oid.as_deref().map(|oid| numbers("state_oid", oid, config.plug));
        Ok(Self {
            switch: numbers("oid", &config.oid, config.plug)?,
            state: state.transpose()?,
            security: security(config)?,
        })
    }
}

/// The numbers of an object identifier, with that of the outlet.
fn numbers(key: &str, oid: &str, plug: u32) -> Result<Vec<u64>> {
    let wrong = || {
        Error::configuration(format!(
            "`{key}`: {oid:?} is no object identifier: write numbers with dots between them, such as 1.3.6.1.4.1.13742"
        ))
    };
    let parts = oid.strip_prefix('.').unwrap_or(oid).split('.');
    let mut numbers = parts
        .map(|part| part.parse::<u32>().map(u64::from))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong())?;
    numbers.push(plug.into());
    let fits = numbers.len() <= LONGEST && Oid::from(&numbers).is_ok();
    if numbers.len() < 3 || !fits { Err(wrong()) } else { Ok(numbers) }
}

fn security(config: &SnmpPowerConfig) -> Result<Security> {
    let key = |name: &str, key: &Option<String>, why: &str| match key.as_deref() {
        Some(key) if !key.is_empty() => Ok(key.as_bytes().to_vec()),
        _ => Err(Error::configuration(format!("`{why}`: needs `{name}`, which is missing"))),
    };
    let user = config.user.as_bytes();
    let auth = match config.auth_protocol {
        AuthProtocol::None if config.priv_protocol != PrivProtocol::None => {
            return Err(Error::configuration(
                "`priv_protocol` needs an `auth_protocol`: nothing is encrypted without one",
            ));
        }
        AuthProtocol::None => return Ok(Security::new(user, b"").with_auth(v3::Auth::NoAuthNoPriv)),
        AuthProtocol::Md5 => v3::AuthProtocol::Md5,
        AuthProtocol::Sha => v3::AuthProtocol::Sha1,
        AuthProtocol::Sha256 => v3::AuthProtocol::Sha256,
        AuthProtocol::Sha512 => v3::AuthProtocol::Sha512,
    };
    let security =
        Security::new(user, &key("auth_key", &config.auth_key, "auth_protocol")?).with_auth_protocol(auth);
    let cipher = match config.priv_protocol {
        PrivProtocol::None => return Ok(security.with_auth(v3::Auth::AuthNoPriv)),
        PrivProtocol::Des => Cipher::Des,
        PrivProtocol::Aes => Cipher::Aes128,
    };
    let privacy_password = key("priv_key", &config.priv_key, "priv_protocol")?;
    Ok(security.with_auth(v3::Auth::AuthPriv { cipher, privacy_password }))
}

/// An outlet of a power distribution unit. It cannot measure.
#[driver(
    type = "snmp-power",
    provides(Power),
    config = SnmpPowerConfig,
    client = "jumpstarter_driver_snmp.client.SNMPServerClient",
    aliases("jumpstarter_driver_snmp.driver.SNMPServer")
)]
#[derive(Debug)]
pub struct SnmpPower {
    outlet: Outlet,
    address: SocketAddr,
    timeout: Duration,
    /// Commands for one outlet do not overtake each other.
    turn: Mutex<()>,
    logger: Logger,
}

impl Driver for SnmpPower {
    fn check(config: &SnmpPowerConfig) -> Vec<Error> {
        Outlet::new(config).err().into_iter().collect()
    }

    async fn open(config: SnmpPowerConfig, cx: &mut Open) -> Result<Self> {
        let outlet = Outlet::new(&config)?;
        let place = (config.host.as_str(), config.port);
        let what = format!("`host`: looking up {}", config.host);
        let mut addresses = lookup_host(place).await.context(&what)?;
        let address =
            addresses.next().ok_or_else(|| Error::configuration(format!("{what}: it has no address")))?;
        Ok(Self { outlet, address, timeout: config.timeout.get(), turn: Mutex::new(()), logger: cx.logger() })
    }
}

impl SnmpPower {
    async fn switch(&self, on: bool) -> Result<()> {
        let _turn = self.turn.lock().await;
        let name = if on { "on" } else { "off" };
        self.logger.info(format!("switching the outlet {name}"));
        let deadline = Instant::now() + self.timeout;
        match timeout(self.timeout, self.talk(i64::from(on), deadline)).await {
            Ok(outcome) => outcome.map_err(|error| error.context("SNMP set failed")),
            Err(_) => Err(Error::timeout(format!(
                "SNMP set failed: {} does not answer within {:?}",
                self.address, self.timeout
            ))),
        }
    }

    async fn talk(&self, wanted: i64, deadline: Instant) -> Result<()> {
        let mut session = self.session().await?;
        let answer = ask(&mut session, &self.outlet.switch, Some(wanted)).await?;
        if answer != Answer::Number(wanted) {
            return Err(Error::device(format!("the agent was told {wanted} and answers {answer}")));
        }
        let Some(state) = &self.outlet.state else { return Ok(()) };
        loop {
            let seen = ask(&mut session, state, None).await?;
            if seen == Answer::Number(wanted) {
                return Ok(());
            }
            if Instant::now() + LOOK >= deadline {
                return Err(Error::timeout(format!(
                    "the outlet does not reach the state {wanted} within {:?}: it shows {seen}",
                    self.timeout
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// A session with an agent whose identity is known. A lost datagram is asked for again, from another port: what comes
    /// late on the first one must not be taken for the answer to something else.
    async fn session(&self) -> Result<AsyncSession> {
        for _ in 1..DISCOVERIES {
            let mut session = self.unknown().await?;
            if let Ok(outcome) = timeout(self.timeout / DISCOVERIES, session.init()).await {
                return outcome.map(|()| session).map_err(|error| self.failed(&error));
            }
        }
        let mut session = self.unknown().await?;
        session.init().await.map_err(|error| self.failed(&error))?;
        Ok(session)
    }

    async fn unknown(&self) -> Result<AsyncSession> {
        let session = AsyncSession::new_v3(self.address, 1, self.outlet.security.clone()).await;
        session.context(format_args!("asking {}", self.address))
    }

    fn failed(&self, error: &snmp2::Error) -> Error {
        explain(error).context(self.address)
    }
}

/// What an agent has for an object.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Number(i64),
    Other(String),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Other(other) => f.write_str(other),
        }
    }
}

/// Sets an object, or asks for it.
async fn ask(session: &mut AsyncSession, object: &[u64], set: Option<i64>) -> Result<Answer> {
    let oid =
        Oid::from(object).map_err(|_| Error::internal("an object identifier that was checked is none"))?;
    for _ in 0..ROUNDS {
        let answer = match set {
            Some(number) => session.set(&[(&oid, Value::Integer(number))]).await,
            None => session.get(&oid).await,
        };
        let answer = match answer {
            // The agent has told its time, and has not looked at the request.
            Err(snmp2::Error::AuthUpdated) => continue,
            Err(error) => return Err(explain(&error)),
            Ok(answer) => answer,
        };
        if answer.error_status != 0 {
            return Err(Error::device(format!("the agent refuses: {}", status(answer.error_status))));
        }
        let mut objects = answer.varbinds;
        return match objects.next() {
            Some((_, Value::Integer(number))) => Ok(Answer::Number(number)),
            Some((_, Value::Unsigned32(number))) => Ok(Answer::Number(number.into())),
            Some((_, Value::NoSuchObject | Value::NoSuchInstance)) => {
                Err(Error::device(format!("the agent has no object {oid}")))
            }
            Some((_, other)) => Ok(Answer::Other(format!("{other:?}"))),
            None => Err(Error::device("the agent answers nothing")),
        };
    }
    Err(Error::device("the agent does not accept the time that it told"))
}

/// The names of error statuses, from RFC 3416, section 3.
fn status(number: u32) -> String {
    const NAMES: [&str; 19] = [
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
        "undoFailed",
        "authorizationError",
        "notWritable",
        "inconsistentName",
    ];
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    name.map_or_else(|| format!("status {number}"), |name| (*name).to_owned())
}

fn explain(error: &snmp2::Error) -> Error {
    use snmp2::Error as E;
    match error {
        // The socket is connected: a closed port is reported here.
        E::Send | E::Receive => Error::disconnected("nobody listens there"),
        E::AuthFailure(reason) => disagreed(&reason.to_string().to_lowercase()),
        // The library expects a response and gets a report, which is how an agent refuses a user.
        E::AsnWrongType => disagreed("the agent answers with a report"),
        other => {
            Error::device(format!("the agent's answer cannot be read ({})", other.to_string().to_lowercase()))
        }
    }
}

fn disagreed(reason: &str) -> Error {
    let what = "the agent and this driver do not agree on the user, its keys or its protocols";
    Error::device(format!("{what} ({reason})"))
}

impl Power for SnmpPower {
    async fn on(&self) -> Result<()> {
        self.switch(true).await
    }

    async fn off(&self) -> Result<()> {
        self.switch(false).await
    }
}

/// An outlet with the configuration of `snmp-power` that exists in memory.
#[driver(
    type = "mock-snmp-power",
    provides(Power),
    config = SnmpPowerConfig,
    client = "jumpstarter_driver_snmp.client.SNMPServerClient"
)]
#[derive(Debug)]
pub struct MockSnmpPower {
    supply: Simulated,
}

impl Driver for MockSnmpPower {
    fn check(config: &SnmpPowerConfig) -> Vec<Error> {
        Outlet::new(config).err().into_iter().collect()
    }

    async fn open(config: SnmpPowerConfig, cx: &mut Open) -> Result<Self> {
        Outlet::new(&config)?;
        Ok(Self { supply: Simulated::new(cx.logger()) })
    }
}

impl Power for MockSnmpPower {
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
    fn an_object_identifier_has_the_outlet_at_its_end() {
        assert_eq!(numbers("oid", "1.3.6.1", 4).unwrap(), [1, 3, 6, 1, 4]);
        assert_eq!(numbers("oid", ".1.3.6.1", 4).unwrap(), [1, 3, 6, 1, 4]);
        for text in ["", "1", "1..3", "1.3.x", "1.3.-1", "9.9.9", "1.3.99999999999"] {
            let error = numbers("oid", text, 1).unwrap_err();
            assert!(error.message().contains("is no object identifier"), "{text}: {error}");
        }
    }

    #[test]
    fn statuses_have_the_names_of_the_standard() {
        assert_eq!(
            (status(6).as_str(), status(17).as_str(), status(99).as_str()),
            ("noAccess", "notWritable", "status 99")
        );
    }
}
