//! The telnet protocol as far as RFC 2217 needs it: commands between the data, and what is agreed on (RFC 854, 855).

use bytes::{BufMut as _, BytesMut};

/// Interpret as command: begins every command; twice, it is a byte of data.
pub(crate) const IAC: u8 = 255;
/// End of a subnegotiation.
const SE: u8 = 240;
/// Begin of a subnegotiation.
const SB: u8 = 250;

/// Options (numbers assigned by IANA).
pub(crate) const BINARY: u8 = 0;
pub(crate) const ECHO: u8 = 1;
pub(crate) const SUPPRESS_GO_AHEAD: u8 = 3;
/// RFC 2217.
pub(crate) const COM_PORT: u8 = 44;

/// The longest subnegotiation that is kept; those of RFC 2217 have a few bytes, its signature a line of text.
const LONGEST: usize = 1024;

/// Who wants what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Will = 251,
    Wont = 252,
    Do = 253,
    Dont = 254,
}

impl Verb {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }
}

/// What is not data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The other side offers, asks, or refuses.
    Negotiate(Verb, u8),
    /// Something about an option: the option's number, and what comes behind it.
    About(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Data,
    /// Behind an IAC.
    Command,
    /// Behind a verb.
    Option(Verb),
    /// In a subnegotiation.
    Within,
    /// Behind an IAC in a subnegotiation.
    WithinCommand,
}

/// Takes data and commands apart, wherever the pieces are cut.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    within: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Data, within: Vec::new() }
    }
}

impl Decoder {
    /// Appends the data in `input` to `data`, and the rest to `events`.
    pub(crate) fn feed(&mut self, mut input: &[u8], data: &mut BytesMut, events: &mut Vec<Event>) {
        loop {
            if let State::Data = self.state {
                // Most of it is data: found at once, copied at once.
                let until = input.iter().position(|byte| *byte == IAC).unwrap_or(input.len());
                data.put_slice(&input[..until]);
                input = &input[until..];
            }
            let Some((byte, rest)) = input.split_first() else { return };
            input = rest;
            self.state = self.step(*byte, data, events);
        }
    }

    fn step(&mut self, byte: u8, data: &mut BytesMut, events: &mut Vec<Event>) -> State {
        match self.state {
            // Only an IAC ends the data.
            State::Data => State::Command,
            State::Command => match byte {
                IAC => {
                    data.put_u8(IAC);
                    State::Data
                }
                SB => {
                    self.within.clear();
                    State::Within
                }
                // Commands without an option mean nothing here.
                _ => Verb::of(byte).map_or(State::Data, State::Option),
            },
            State::Option(verb) => {
                events.push(Event::Negotiate(verb, byte));
                State::Data
            }
            State::Within if byte == IAC => State::WithinCommand,
            State::Within => {
                self.keep(byte);
                State::Within
            }
            State::WithinCommand => match byte {
                IAC => {
                    self.keep(IAC);
                    State::Within
                }
                SE => {
                    events.push(Event::About(std::mem::take(&mut self.within)));
                    State::Data
                }
                // A subnegotiation that is not ended properly: what comes now is a command.
                _ => {
                    self.within.clear();
                    self.state = State::Command;
                    self.step(byte, data, events)
                }
            },
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.within.len() < LONGEST {
            self.within.push(byte);
        }
    }
}

/// Appends data, so that none of it is a command.
pub(crate) fn escape(data: &[u8], into: &mut BytesMut) {
    for part in data.split_inclusive(|byte| *byte == IAC) {
        into.put_slice(part);
        if part.last() == Some(&IAC) {
            into.put_u8(IAC);
        }
    }
}

/// Appends an offer, a wish or a refusal.
pub(crate) fn negotiate(verb: Verb, option: u8, into: &mut BytesMut) {
    into.put_slice(&[IAC, verb as u8, option]);
}

/// Appends something about the option of RFC 2217.
pub(crate) fn about_port(command: u8, value: &[u8], into: &mut BytesMut) {
    into.put_slice(&[IAC, SB, COM_PORT, command]);
    escape(value, into);
    into.put_slice(&[IAC, SE]);
}

/// Where one side stands with one option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Agreed {
    #[default]
    Never,
    /// We have asked.
    Asked,
    Yes,
    /// It was refused or taken back.
    No,
}

/// What both sides have agreed on.
///
/// Answers only where something changes, and never withdraws or asks again by itself, so two sides that keep to RFC 854
/// come to rest. (The queue of RFC 1143 is for those who change their mind while an answer is under way; nobody here does.)
/// Whoever contradicts each answer would have another one for ever, with that queue as well: after [`MOST`] agreements, an
/// option is refused, and a refusal is said once.
#[derive(Debug)]
pub(crate) struct Options {
    /// What we do.
    ours: [Standing; ALL],
    /// What the server does.
    theirs: [Standing; ALL],
}

/// Where one side stands with one option, and how that came about.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    agreed: Agreed,
    /// How often the other side's wish was granted.
    granted: u8,
    /// Whether it was refused for good.
    refused: bool,
}

/// How many options there can be.
const ALL: usize = 256;

/// How often a server may take an option back and want it again.
const MOST: u8 = 100;

impl Default for Options {
    fn default() -> Self {
        Self { ours: [Standing::default(); ALL], theirs: [Standing::default(); ALL] }
    }
}

/// What we may do, and what the server may do.
const OURS: [u8; 3] = [BINARY, SUPPRESS_GO_AHEAD, COM_PORT];
const THEIRS: [u8; 4] = [BINARY, ECHO, SUPPRESS_GO_AHEAD, COM_PORT];

impl Options {
    /// What a client says first.
    pub(crate) fn opening(&mut self, into: &mut BytesMut) {
        for option in OURS {
            self.ours[usize::from(option)].agreed = Agreed::Asked;
            negotiate(Verb::Will, option, into);
        }
        for option in [BINARY, SUPPRESS_GO_AHEAD] {
            self.theirs[usize::from(option)].agreed = Agreed::Asked;
            negotiate(Verb::Do, option, into);
        }
    }

    /// Whether we do this.
    pub(crate) fn ours(&self, option: u8) -> Agreed {
        self.ours[usize::from(option)].agreed
    }

    /// Takes what the server says, and answers it.
    pub(crate) fn receive(&mut self, verb: Verb, option: u8) -> Option<Verb> {
        let (side, known, agree, refuse) = match verb {
            Verb::Do | Verb::Dont => (&mut self.ours, &OURS[..], Verb::Will, Verb::Wont),
            Verb::Will | Verb::Wont => (&mut self.theirs, &THEIRS[..], Verb::Do, Verb::Dont),
        };
        let yes = matches!(verb, Verb::Do | Verb::Will);
        let standing = &mut side[usize::from(option)];
        match (standing.agreed, yes) {
            (Agreed::Never | Agreed::No, true) if !known.contains(&option) || standing.granted == MOST => {
                // Whoever asks once more knows it already.
                (!std::mem::replace(&mut standing.refused, true)).then_some(refuse)
            }
            (Agreed::Never | Agreed::No, true) => {
                standing.agreed = Agreed::Yes;
                standing.granted += 1;
                Some(agree)
            }
            (Agreed::Asked | Agreed::Yes, true) => {
                standing.agreed = Agreed::Yes;
                None
            }
            (Agreed::Yes, false) => {
                standing.agreed = Agreed::No;
                Some(refuse)
            }
            (Agreed::Never | Agreed::Asked | Agreed::No, false) => {
                standing.agreed = Agreed::No;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Event>) {
        let (mut decoder, mut data, mut events) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut data, &mut events);
        }
        (data.to_vec(), events)
    }

    /// The answer to `SET-BAUDRATE 115200` of RFC 2217, section 3, with data around it.
    #[test]
    fn data_and_commands_are_taken_apart() {
        let stream = b"ab\xff\xff\xff\xfa\x2c\x65\x00\x01\xc2\x00\xff\xf0c\xff\xfd\x2c\xff\xf1d";
        let wanted =
            vec![Event::About(vec![COM_PORT, 101, 0, 1, 0xc2, 0]), Event::Negotiate(Verb::Do, COM_PORT)];
        assert_eq!(decode(&[stream]), (b"ab\xffcd".to_vec(), wanted.clone()));
        let single: Vec<_> = stream.chunks(1).collect();
        assert_eq!(decode(&single), (b"ab\xffcd".to_vec(), wanted));
    }

    #[test]
    fn requests_are_those_of_the_standard() {
        let mut bytes = BytesMut::new();
        about_port(1, &255_u32.to_be_bytes(), &mut bytes);
        assert_eq!(bytes[..], *b"\xff\xfa\x2c\x01\x00\x00\x00\xff\xff\xff\xf0");
    }

    #[test]
    fn a_subnegotiation_is_bounded_and_one_without_an_end_is_left() {
        let long = [&[IAC, SB][..], &[7; 5000], &[IAC, SE]].concat();
        assert_eq!(decode(&[&long]).1, [Event::About(vec![7; LONGEST])]);
        assert_eq!(
            decode(&[b"\xff\xfa\x2c\x65\xff\xfd\x00x"]),
            (b"x".to_vec(), vec![Event::Negotiate(Verb::Do, BINARY)])
        );
    }

    #[test]
    fn agreements_end_and_strange_options_are_refused() {
        let mut options = Options::default();
        options.opening(&mut BytesMut::new());
        assert_eq!(options.receive(Verb::Do, COM_PORT), None, "it is the answer");
        assert_eq!(options.ours(COM_PORT), Agreed::Yes);
        assert_eq!(options.receive(Verb::Do, COM_PORT), None);
        assert_eq!(options.receive(Verb::Will, ECHO), Some(Verb::Do));
        assert_eq!(options.receive(Verb::Wont, ECHO), Some(Verb::Dont));
        assert_eq!(options.receive(Verb::Wont, ECHO), None);
        for strange in [24, 31, 200] {
            assert_eq!(options.receive(Verb::Do, strange), Some(Verb::Wont));
            assert_eq!(options.receive(Verb::Will, strange), Some(Verb::Dont));
            assert_eq!(options.receive(Verb::Dont, strange), None);
        }
        assert_eq!(options.receive(Verb::Dont, BINARY), None, "a refusal of what we asked");
        assert_eq!(options.ours(BINARY), Agreed::No);
    }

    /// No protocol has an answer to that.
    #[test]
    fn whoever_contradicts_every_answer_has_the_last_word() {
        let contradicted = |verb| match verb {
            Verb::Will => Verb::Dont,
            Verb::Wont => Verb::Do,
            Verb::Do => Verb::Wont,
            Verb::Dont => Verb::Will,
        };
        for first in [Verb::Will, Verb::Wont, Verb::Do, Verb::Dont] {
            for option in 0..=255 {
                let (mut options, mut said, mut answers) = (Options::default(), first, 0);
                options.opening(&mut BytesMut::new());
                while let Some(answer) = options.receive(said, option) {
                    answers += 1;
                    assert!(answers <= 2 * usize::from(MOST) + 2, "{first:?} {option}");
                    said = contradicted(answer);
                }
            }
        }
    }

    /// Some servers do so with each user who comes and goes.
    #[test]
    fn an_option_may_be_taken_back_and_wanted_again_many_times() {
        let mut options = Options::default();
        for _ in 0..50 {
            assert_eq!(options.receive(Verb::Will, ECHO), Some(Verb::Do));
            assert_eq!(options.receive(Verb::Wont, ECHO), Some(Verb::Dont));
        }
    }

    proptest! {
        #[test]
        fn escaped_data_is_decoded_however_it_is_cut(
            data in proptest::collection::vec(prop_oneof![Just(IAC), any::<u8>()], 0..200),
            size in 1_usize..20,
        ) {
            let mut sent = BytesMut::new();
            escape(&data, &mut sent);
            let pieces: Vec<_> = sent.chunks(size).collect();
            prop_assert_eq!(decode(&pieces), (data, Vec::new()));
        }

        #[test]
        fn values_are_decoded_however_they_are_cut(
            value in proptest::collection::vec(prop_oneof![Just(IAC), any::<u8>()], 0..50),
            size in 1_usize..9,
        ) {
            let mut sent = BytesMut::from(&b"x"[..]);
            about_port(9, &value, &mut sent);
            let pieces: Vec<_> = sent.chunks(size).collect();
            let about = [&[COM_PORT, 9][..], &value].concat();
            prop_assert_eq!(decode(&pieces), (b"x".to_vec(), vec![Event::About(about)]));
        }

        #[test]
        fn no_stream_is_too_strange(bytes in proptest::collection::vec(prop_oneof![240_u8.., any::<u8>()], 0..300)) {
            decode(&[&bytes]);
        }

        /// Two sides that answer each other come to rest, whatever was said first. (An offer and its withdrawal that are
        /// both under way chase each other, as RFC 1143 explains, until one side has had enough.)
        #[test]
        fn nobody_talks_for_ever(first in proptest::collection::vec((251_u8..=254, 0_u8..50), 1..20)) {
            let (mut client, mut server) = (Options::default(), Options::default());
            let mut to_client: Vec<_> = first.into_iter().filter_map(|(verb, option)| Some((Verb::of(verb)?, option))).collect();
            for _ in 0..3 * u16::from(MOST) {
                if to_client.is_empty() {
                    break;
                }
                let to_server: Vec<_> = to_client.drain(..).filter_map(|(verb, option)| Some((client.receive(verb, option)?, option))).collect();
                to_client = to_server.into_iter().filter_map(|(verb, option)| Some((server.receive(verb, option)?, option))).collect();
            }
            prop_assert!(to_client.is_empty());
        }
    }
}
