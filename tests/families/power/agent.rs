//! An SNMP agent with one outlet: Net-SNMP's `snmpd`.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use jumpstarter_tests::counterparts::counterpart;
use tempfile::TempDir;

use super::Counterpart;

/// The object that switches an outlet, without the outlet's number.
pub(crate) const SWITCH: &str = "1.3.6.1.4.1.13742.6.4.1.2.1.2.1";
/// An object that cannot be written and is always 7.
pub(crate) const FIXED: &str = "1.3.6.1.4.1.13742.6.4.1.2.1.2.2";
/// An object whose script takes its time.
pub(crate) const SLOW: &str = "1.3.6.1.4.1.13742.6.4.1.2.1.2.3";

/// Users, and the keys of the driver's configuration that go with them.
pub(crate) const USERS: [(&str, &str); 6] = [
    ("nobody", ""),
    ("md5", "auth_protocol: MD5\nauth_key: secret-of-auth\n"),
    ("sha", "auth_protocol: SHA\nauth_key: secret-of-auth\n"),
    ("des", "auth_protocol: MD5\nauth_key: secret-of-auth\npriv_protocol: DES\npriv_key: secret-of-priv\n"),
    ("aes", "auth_protocol: SHA\nauth_key: secret-of-auth\npriv_protocol: AES\npriv_key: secret-of-priv\n"),
    (
        "sha256",
        "auth_protocol: SHA256\nauth_key: secret-of-auth\npriv_protocol: AES\npriv_key: secret-of-priv\n",
    ),
];

/// The agent.
pub(crate) struct Agent {
    pub(crate) program: Counterpart,
    port: u16,
    folder: TempDir,
}

impl Agent {
    /// Starts it; `None` when the user left out programs of the system.
    pub(crate) fn start() -> Option<Self> {
        let snmpd = counterpart("snmpd", "snmpd")?;
        let folder = tempfile::tempdir().expect("a folder");
        // Nobody else takes it in the moment between.
        let port =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let script = format!(
            "case $1 in\n-s) echo \"$4\" >> {0}; echo DONE ;;\n-g) echo \"$2\"; echo integer; tail -n 1 {0} ;;\nesac\n",
            at("told")
        );
        fs::write(at("outlet.sh"), script).expect("a script");
        fs::write(at("slow.sh"), "sleep 3\necho DONE\n").expect("a script");
        let config = format!(
            "agentaddress udp:127.0.0.1:{port}\n\
             createUser nobody\nrwuser nobody noauth\n\
             createUser md5 MD5 secret-of-auth\nrwuser md5 auth\n\
             createUser sha SHA secret-of-auth\nrwuser sha auth\n\
             createUser des MD5 secret-of-auth DES secret-of-priv\nrwuser des priv\n\
             createUser aes SHA secret-of-auth AES secret-of-priv\nrwuser aes priv\n\
             createUser sha256 SHA-256 secret-of-auth AES secret-of-priv\nrwuser sha256 priv\n\
             pass .{SWITCH} /bin/sh {}\n\
             pass .{SLOW} /bin/sh {}\n\
             override -rw .{SWITCH}.9 integer 0\n\
             override .{FIXED}.4 integer 7\n",
            at("outlet.sh"),
            at("slow.sh"),
        );
        fs::write(at("snmpd.conf"), config).expect("a configuration");
        let file = at("snmpd.conf");
        let arguments = ["-f", "-r", "-Le", "-C", "-c", &file];
        let program = Counterpart::start(&snmpd, &arguments, folder.path(), "NET-SNMP version");
        Some(Self { program, port, folder })
    }

    /// The driver's configuration for the outlet, as a user who encrypts.
    pub(crate) fn keys(&self) -> String {
        self.keys_of(USERS[4].0, USERS[4].1)
    }

    /// The same as this user, whose keys are these.
    pub(crate) fn keys_of(&self, user: &str, level: &str) -> String {
        format!("host: 127.0.0.1\nport: {}\nuser: {user}\nplug: 4\n{level}", self.port)
    }

    /// What the outlet was told since it was asked last.
    pub(crate) fn told(&self) -> Box<dyn Fn() -> Vec<String>> {
        let file: PathBuf = self.folder.path().join("told");
        Box::new(move || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            fs::remove_file(&file).ok();
            text.lines().map(str::to_owned).collect()
        })
    }
}
