//! Completion: the scripts that shells load, and answering them.
//!
//! The scripts call the program again with the line in the environment (`_JMP_COMPLETE=bash_complete`, `COMP_WORDS`,
//! `COMP_CWORD`) and read what can follow. The exchange is that of the existing implementation, because its scripts are in
//! people's start files. `_JMP_COMPLETE=bash_source` prints the script, as `jmp completion bash` does.

pub(crate) mod ask;

use std::fmt::Write as _;

use clap::{Arg, Command, ValueHint, builder::ValueRange};

use crate::{
    help::takes_value,
    output,
    report::Outcome,
    style,
    words::{self, Word},
};

/// A shell whose completion is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The names of all of them.
    pub(crate) const NAMES: [&'static str; 3] = ["bash", "zsh", "fish"];

    /// The shell of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }
}

/// What a script asks for.
#[derive(Debug)]
pub(crate) struct Request {
    shell: Shell,
    /// The script itself, for the program of this name; otherwise what can follow.
    script: Option<&'static str>,
    before: Vec<String>,
    incomplete: String,
}

/// One thing that can follow.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    kind: &'static str,
    value: String,
    help: String,
}

impl Request {
    /// The request in the environment, if there is one for this program.
    pub(crate) fn from_env(program: &'static str, lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let wanted = lookup(&format!("_{}_COMPLETE", program.to_uppercase()))?;
        let (shell, what) = wanted.split_once('_')?;
        let shell = Shell::named(shell)?;
        match what {
            "source" => {
                Some(Self { shell, script: Some(program), before: Vec::new(), incomplete: String::new() })
            }
            "complete" => {
                let mut words = split(&lookup("COMP_WORDS").unwrap_or_default());
                if !words.is_empty() {
                    words.remove(0);
                }
                let at = lookup("COMP_CWORD").unwrap_or_default();
                let incomplete = if shell == Shell::Fish {
                    // fish sends the word itself, which is the last of the line if it has been begun.
                    if !at.is_empty() && words.last() == Some(&at) {
                        words.pop();
                    }
                    at
                } else {
                    let at = at.parse::<usize>().unwrap_or(1).saturating_sub(1);
                    let incomplete = words.get(at).cloned().unwrap_or_default();
                    words.truncate(at);
                    incomplete
                };
                Some(Self { shell, script: None, before: words, incomplete })
            }
            _ => None,
        }
    }

    /// Whether this is one of the words that stand before.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.before.iter().any(|before| before == word)
    }

    /// Prints the answer.
    pub(crate) fn answer<W: Word>(&self, root: &W) -> Outcome {
        if let Some(program) = self.script {
            output::text(&script(self.shell, program))?;
            return Ok(0);
        }
        let mut text = String::new();
        for Item { kind, value, help } in follow(root, &self.before, &self.incomplete) {
            // A text takes everything.
            let _ = match self.shell {
                Shell::Bash => writeln!(text, "{kind},{value}"),
                Shell::Zsh => {
                    let help = if help.is_empty() { "_" } else { &help };
                    writeln!(text, "{kind}\n{value}\n{help}")
                }
                Shell::Fish if help.is_empty() => writeln!(text, "{kind},{value}"),
                Shell::Fish => writeln!(text, "{kind},{value}\t{help}"),
            };
        }
        output::text(&text)?;
        Ok(0)
    }
}

/// What can follow these words.
fn follow<W: Word>(root: &W, before: &[String], incomplete: &str) -> Vec<Item> {
    let mut word = root;
    let mut command = words::with_help(word.arguments());
    let mut waiting: Option<Arg> = None;
    // The value that was the last word, and whose it is.
    let mut given: Option<(Arg, String)> = None;
    let mut positionals = 0;
    let mut only_arguments = false;
    for text in before {
        // bash takes an equals sign for a word of its own, behind an option as well as in the middle of its value.
        if text == "=" && waiting.is_some() {
            continue;
        }
        if text == "="
            && let Some((arg, _)) = &given
        {
            waiting = Some(arg.clone());
            continue;
        }
        if let Some(arg) = waiting.take() {
            let begun = match given.take() {
                Some((_, begun)) => format!("{begun}={text}"),
                None => text.clone(),
            };
            given = Some((arg, begun));
            continue;
        }
        given = None;
        if !only_arguments && text == "--" {
            only_arguments = true;
        } else if !only_arguments && text.len() > 1 && text.starts_with('-') {
            waiting = option(&command, text).filter(|arg| takes_value(arg) && !text.contains('=')).cloned();
        } else if let Some(known) = word.words() {
            let Ok(next) = words::resolve(known, text) else { return Vec::new() };
            word = next;
            command = words::with_help(word.arguments());
        } else {
            positionals += 1;
        }
    }
    let typed = |arg: &Arg, incomplete: &str, prefix: &str| values(word, arg, before, incomplete, prefix);
    // In the middle of a value, the shell has the first part already.
    let middle = |arg: &Arg, begun: &str, incomplete: &str| {
        let begun = format!("{begun}=");
        let all = typed(arg, &format!("{begun}{incomplete}"), "").into_iter();
        all.filter_map(|item| Some(Item { value: item.value.strip_prefix(&begun)?.to_owned(), ..item }))
            .collect()
    };
    match (waiting, &given) {
        (Some(arg), Some((_, begun))) => return middle(&arg, begun, incomplete),
        (Some(arg), None) => return typed(&arg, incomplete.strip_prefix('=').unwrap_or(incomplete), ""),
        (None, Some((arg, begun))) if incomplete == "=" => return middle(arg, begun, ""),
        (None, _) => {}
    }
    if !only_arguments
        && let Some((name, value)) = incomplete.split_once('=')
        && name.starts_with("--")
    {
        return option(&command, name).map(|arg| typed(arg, value, &format!("{name}="))).unwrap_or_default();
    }
    if !only_arguments && incomplete.starts_with('-') {
        return options(&command, incomplete);
    }
    if let Some(known) = word.words() {
        let matching = known.iter().filter(|word| word.name().starts_with(incomplete));
        return matching.map(|word| plain(word.name(), &word.about())).collect();
    }
    let many = |arg: &&Arg| arg.get_num_args().unwrap_or(ValueRange::SINGLE).max_values() > 1;
    let arg = command.get_positionals().nth(positionals);
    let arg = arg.or_else(|| command.get_positionals().last().filter(many));
    arg.map(|arg| typed(arg, incomplete, "")).unwrap_or_default()
}

fn plain(value: &str, help: &str) -> Item {
    let help = style::unwrap(help).lines().next().unwrap_or_default().to_owned();
    Item { kind: "plain", value: value.to_owned(), help }
}

fn option<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    let name = text.split('=').next().unwrap_or_default();
    if let Some(long) = name.strip_prefix("--") {
        return command.get_arguments().find(|arg| arg.get_long() == Some(long));
    }
    // Of several letters in one word, only the last one can want a value in the next word.
    let last = name.chars().next_back()?;
    command.get_arguments().find(|arg| arg.get_short() == Some(last))
}

fn options(command: &Command, incomplete: &str) -> Vec<Item> {
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    let spelled = options.flat_map(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        long.into_iter().chain(short).map(move |name| plain(&name, &help))
    });
    spelled.filter(|item| item.value.starts_with(incomplete)).collect()
}

fn values<W: Word>(word: &W, arg: &Arg, before: &[String], incomplete: &str, prefix: &str) -> Vec<Item> {
    let listed: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let listed = if listed.is_empty() { word.values(arg.get_id().as_str(), before) } else { listed };
    if !listed.is_empty() {
        // Of several with commas between them, the last one is typed.
        let (there, last) = match incomplete.rsplit_once(',') {
            Some((there, last)) if arg.get_id() == "selector" => (format!("{there},"), last),
            _ => (String::new(), incomplete),
        };
        let begins = |value: &&String| value.to_lowercase().starts_with(&last.to_lowercase());
        let whole = |value: &String| plain(&format!("{prefix}{there}{value}"), "");
        let found: Vec<_> = listed.iter().filter(begins).map(whole).collect();
        // Where a file will do as well as a name, it is one if no name begins like this.
        if !found.is_empty() || arg.get_value_hint() == ValueHint::Unknown {
            return found;
        }
    }
    let kind = match arg.get_value_hint() {
        ValueHint::FilePath | ValueHint::AnyPath | ValueHint::ExecutablePath => "file",
        ValueHint::DirPath => "dir",
        _ => return Vec::new(),
    };
    vec![Item { kind, value: format!("{prefix}{incomplete}"), help: String::new() }]
}

/// Splits a line as a shell does: blanks between words, quotes around them, backslashes before characters.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                // A line may end in the middle of a word.
                let next = characters.next();
                word.get_or_insert_default().extend(next);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The script that makes a shell ask.
pub(crate) fn script(shell: Shell, program: &str) -> String {
    let script = match shell {
        Shell::Bash => include_str!("complete/bash.sh"),
        Shell::Zsh => include_str!("complete/zsh.sh"),
        Shell::Fish => include_str!("complete/fish.fish"),
    };
    script.replace("PROGRAM", program).replace("VARIABLE", &format!("_{}_COMPLETE", program.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::JMP;

    fn request(shell: &str, line: &'static str, at: &'static str) -> Request {
        let shell = format!("{shell}_complete");
        let lookup = move |name: &str| match name {
            "_JMP_COMPLETE" => Some(shell.clone()),
            "COMP_WORDS" => Some(line.to_owned()),
            "COMP_CWORD" => Some(at.to_owned()),
            _ => None,
        };
        Request::from_env("jmp", lookup).unwrap()
    }

    fn answers(request: &Request) -> Vec<String> {
        follow(&JMP, &request.before, &request.incomplete)
            .into_iter()
            .map(|item| format!("{},{}", item.kind, item.value))
            .collect()
    }

    #[test]
    fn commands_options_and_values_are_completed() {
        assert_eq!(answers(&request("bash", "jmp\nsh", "1")), ["plain,shell"]);
        assert_eq!(answers(&request("bash", "jmp\n", "1")).len(), 14);
        assert_eq!(answers(&request("zsh", "jmp shell --exporter-c", "2")), ["plain,--exporter-config"]);
        assert_eq!(
            answers(&request("bash", "jmp\nversion\n-o\n", "3")),
            ["plain,json", "plain,yaml", "plain,name"]
        );
        assert_eq!(answers(&request("bash", "jmp\nversion\n--output\n=\ny", "4")), ["plain,yaml"]);
        assert_eq!(
            answers(&request("fish", "jmp version --output=j", "--output=j")),
            ["plain,--output=json"]
        );
        assert_eq!(answers(&request("bash", "jmp\nrun\n--exporter-config\nx", "3")), ["file,x"]);
        assert_eq!(answers(&request("bash", "jmp\ncompletion\nz", "2")), ["plain,zsh"]);
    }

    /// A command whose option has values that need an equals sign.
    struct Labelled;

    impl Word for Labelled {
        fn name(&self) -> &'static str {
            "labelled"
        }

        fn about(&self) -> String {
            String::new()
        }

        fn words(&self) -> Option<&[Self]> {
            None
        }

        fn values(&self, argument: &str, _: &[String]) -> Vec<String> {
            assert_eq!(argument, "selector");
            ["board=demo", "board=rpi4", "site=lab"].map(str::to_owned).to_vec()
        }

        fn arguments(&self) -> Command {
            Command::new("labelled").arg(words::option("selector", "SELECTOR", "").short('l'))
        }
    }

    #[test]
    fn labels_are_completed_on_both_sides_of_their_equals_sign_and_behind_a_comma() {
        for (before, incomplete, expected) in [
            (&["-l"][..], "b", &["board=demo", "board=rpi4"][..]),
            (&["-l"], "board=r", &["board=rpi4"]),
            (&["-l"], "board=demo,s", &["board=demo,site=lab"]),
            // As bash splits it.
            (&["-l", "board"], "=", &["demo", "rpi4"]),
            (&["-l", "board", "="], "r", &["rpi4"]),
            (&["--selector", "="], "s", &["site=lab"]),
            (&["--selector", "=", "board", "="], "d", &["demo"]),
            (&["-l", "board", "=", "demo"], "x", &[]),
        ] {
            let before: Vec<_> = before.iter().map(ToString::to_string).collect();
            let found: Vec<_> =
                follow(&Labelled, &before, incomplete).into_iter().map(|item| item.value).collect();
            assert_eq!(found, expected, "{before:?} {incomplete:?}");
        }
    }

    #[test]
    fn fish_sends_the_word_itself() {
        let request = request("fish", "jmp sh", "sh");
        assert_eq!((request.before.len(), request.incomplete.as_str()), (0, "sh"));
    }

    #[test]
    fn lines_are_split_as_shells_do() {
        assert_eq!(split("a 'b c' \"d\\\"e\" f\\ g ''"), ["a", "b c", "d\"e", "f g", ""]);
        assert_eq!(split("a 'open"), ["a", "open"]);
    }

    #[test]
    fn an_unknown_request_is_none() {
        assert!(Request::from_env("jmp", |_| Some("tcsh_complete".to_owned())).is_none());
        assert!(Request::from_env("jmp", |_| None).is_none());
    }
}
