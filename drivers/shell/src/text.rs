//! Output in pieces as text.

/// Turns bytes into text piece by piece. What is not UTF-8 becomes U+FFFD; a character that is cut by the end of a piece
/// comes with the next one.
#[derive(Debug, Default)]
pub(crate) struct Text {
    begun: Vec<u8>,
}

impl Text {
    /// The text that this piece completes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        self.begun.extend_from_slice(piece);
        let mut text = String::with_capacity(self.begun.len());
        let mut rest = self.begun.as_slice();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, bad) = rest.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            let Some(len) = error.error_len() else {
                rest = bad;
                break;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &bad[len..];
        }
        self.begun = rest.to_vec();
        text
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> String {
        let cut = !std::mem::take(&mut self.begun).is_empty();
        if cut { char::REPLACEMENT_CHARACTER.into() } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_give_the_same_text_as_the_whole(
            pieces in prop::collection::vec(
                prop_oneof![prop::collection::vec(any::<u8>(), 0..8), "[aä€😀]{0,4}".prop_map(String::into_bytes)],
                0..8,
            ),
            size in 1_usize..5,
        ) {
            let whole = pieces.concat();
            let mut text = Text::default();
            let mut found: String = whole.chunks(size).map(|piece| text.push(piece)).collect();
            found.push_str(&text.finish());
            prop_assert_eq!(found, String::from_utf8_lossy(&whole).into_owned());
        }
    }
}
