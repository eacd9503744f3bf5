//! Where gRPC messages begin and end in a body, without reading what is in them.
//!
//! Each message has five bytes in front: whether it is compressed, and its length as four bytes, most significant first
//! (gRPC over HTTP/2, "Length-Prefixed-Message"). They may be cut anywhere.

/// Bytes in front of each message.
pub const PREFIX: usize = 5;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A message announces more bytes than anybody takes.
    TooLarge(u32),
    /// A message is compressed although the call did not say how.
    Compressed,
    /// The byte that says whether a message is compressed is neither 0 nor 1.
    Flag(u8),
}

/// A message that must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// What is wrong with it.
    pub wrong: Wrong,
    /// How many bytes of the piece are before it.
    pub before: usize,
}

/// Follows a body piece by piece.
#[derive(Clone, Debug)]
pub struct Scan {
    limit: u32,
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix are known.
    known: usize,
    /// How many bytes of the message are still to come.
    rest: usize,
}

impl Scan {
    /// At the beginning of a body whose messages have at most `limit` bytes.
    pub fn new(limit: u32) -> Self {
        Self { limit, prefix: [0; PREFIX], known: 0, rest: 0 }
    }

    /// The most bytes of a message.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.known > 0 || self.rest > 0
    }

    /// Follows one more piece.
    ///
    /// # Errors
    /// When a message in it must not be passed on. The prefix says so, before the message itself has come. The body is inside
    /// of that message then only if its prefix had begun in an earlier piece.
    pub fn advance(&mut self, mut piece: &[u8]) -> Result<(), Bad> {
        let length_of_all = piece.len();
        let mut begun_here = None;
        while !piece.is_empty() {
            if self.rest > 0 {
                let step = self.rest.min(piece.len());
                self.rest -= step;
                piece = &piece[step..];
                continue;
            }
            if self.known == 0 {
                begun_here = Some(length_of_all - piece.len());
            }
            let step = (PREFIX - self.known).min(piece.len());
            self.prefix[self.known..self.known + step].copy_from_slice(&piece[..step]);
            self.known += step;
            piece = &piece[step..];
            if self.known == PREFIX {
                let [flag, length @ ..] = self.prefix;
                let length = u32::from_be_bytes(length);
                let wrong = match flag {
                    0 if length <= self.limit => None,
                    0 => Some(Wrong::TooLarge(length)),
                    1 => Some(Wrong::Compressed),
                    other => Some(Wrong::Flag(other)),
                };
                if let Some(wrong) = wrong {
                    if begun_here.is_some() {
                        self.known = 0;
                    }
                    return Err(Bad { wrong, before: begun_here.unwrap_or(0) });
                }
                self.known = 0;
                self.rest = length as usize;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(flag: u8, length: u32, content: usize) -> Vec<u8> {
        let mut bytes = vec![flag];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![7; content]);
        bytes
    }

    #[test]
    fn a_message_is_refused_before_it_has_come() {
        let bad = |wrong| Err(Bad { wrong, before: 0 });
        assert_eq!(Scan::new(10).advance(&message(0, 11, 0)), bad(Wrong::TooLarge(11)));
        assert_eq!(Scan::new(10).advance(&message(0, u32::MAX, 0)), bad(Wrong::TooLarge(u32::MAX)));
        assert_eq!(Scan::new(10).advance(&message(0, 10, 10)), Ok(()));
        assert_eq!(Scan::new(10).advance(&message(1, 3, 0)), bad(Wrong::Compressed));
        assert_eq!(Scan::new(10).advance(&message(9, 3, 0)), bad(Wrong::Flag(9)));
    }

    #[test]
    fn what_is_before_a_bad_message_is_known() {
        let mut body = message(0, 3, 3);
        body.extend(message(0, 11, 4));
        let mut scan = Scan::new(10);
        assert_eq!(scan.advance(&body), Err(Bad { wrong: Wrong::TooLarge(11), before: 8 }));
        assert!(!scan.is_inside(), "nothing of it has to be passed on");
        let mut scan = Scan::new(10);
        assert_eq!(scan.advance(&body[..10]), Ok(()));
        assert_eq!(scan.advance(&body[10..]), Err(Bad { wrong: Wrong::TooLarge(11), before: 0 }));
        assert!(scan.is_inside(), "two bytes of it were passed on");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            lengths in prop::collection::vec(0u32..300, 0..20),
            cuts in prop::collection::vec(1usize..50, 1..100),
            missing in 0usize..20,
        ) {
            let mut body: Vec<u8> = lengths.iter().flat_map(|length| message(0, *length, *length as usize)).collect();
            // The ends of messages, counted from the front.
            let mut ends = vec![0];
            for length in &lengths {
                ends.push(ends.last().unwrap() + PREFIX + *length as usize);
            }
            body.truncate(body.len() - missing.min(body.len()));
            let mut scan = Scan::new(300);
            let (mut at, mut cut) = (0, 0);
            while at < body.len() {
                let next = (at + cuts[cut % cuts.len()]).min(body.len());
                prop_assert_eq!(scan.advance(&body[at..next]), Ok(()));
                prop_assert_eq!(scan.is_inside(), !ends.contains(&next));
                (at, cut) = (next, cut + 1);
            }
        }

        #[test]
        fn noise_is_refused_or_followed(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = Scan::new(1000).advance(&noise);
        }
    }
}
