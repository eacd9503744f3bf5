//! Commands of the exporter's host that a configuration gives names to.

use std::collections::BTreeMap;

use jumpstarter::{Error, Result, Stream, interface, message};

/// Runs commands that the exporter's configuration names.
#[interface(name = "shell", version = 1, python = "jumpstarter_driver_shell.client.ShellClient")]
pub trait Shell {
    /// The names of the methods, in the order of the configuration.
    async fn get_methods(&self) -> Result<Vec<String>>;

    /// Run a method. Its output comes as it appears; the last piece has the exit code.
    async fn call_method(
        &self,
        /// Its name.
        method: String,
        /// Environment variables beside those of the exporter.
        env: Option<BTreeMap<String, String>>,
        /// Its arguments: `$1` and so on.
        #[rest]
        args: Vec<String>,
    ) -> Result<Stream<ShellOutput>>;
}

/// A piece of what a method printed. Invalid UTF-8 in it was replaced.
#[message(list)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellOutput {
    /// On its standard output.
    pub stdout: String,
    /// On its standard error output.
    pub stderr: String,
    /// Its exit code, in the last piece only: negative for a signal, 199 when its time was over.
    pub returncode: Option<i32>,
}

/// Exit code of a method whose time was over, as upstream's driver reports it.
pub const TIMED_OUT: i32 = 199;

/// All that a method printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellResult {
    /// On its standard output.
    pub stdout: String,
    /// On its standard error output.
    pub stderr: String,
    /// Its exit code: negative for a signal, [`TIMED_OUT`] when its time was over.
    pub returncode: i32,
}

impl ShellClient {
    /// Runs a method to its end and keeps what it printed.
    ///
    /// # Errors
    /// When there is no such method, or the connection is lost before its end. A method that fails is no error here.
    pub async fn run<'a>(
        &self,
        method: &str,
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<ShellResult> {
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let args = args.into_iter().map(str::to_owned).collect();
        let mut pieces = self.call_method(method.to_owned(), Some(env), args).await?;
        let mut result = ShellResult::default();
        let mut code = None;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            result.stdout.push_str(&piece.stdout);
            result.stderr.push_str(&piece.stderr);
            code = piece.returncode.or(code);
        }
        result.returncode = code.ok_or_else(|| {
            Error::truncated(format!("the output of `{method}` ended without an exit code"))
        })?;
        Ok(result)
    }
}
