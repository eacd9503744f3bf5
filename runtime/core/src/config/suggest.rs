//! The nearest known word to one that is not known.

/// At most this many known words are listed in a help text.
const LISTED: usize = 24;

/// Most slips of the keyboard in one word, however long it is.
const SLIPS: usize = 4;

/// The candidate that was most likely meant by `word`, if one comes close.
///
/// Spelling that differs only in case, `-` or `_` wins; then few slips of the keyboard; then a word
/// that was cut short (`baud` for `baudrate`).
///
/// ```
/// use jumpstarter_core::config::nearest;
/// assert_eq!(nearest("tpye", ["type", "ref"]), Some("type"));
/// assert_eq!(nearest("baud", ["url", "baudrate"]), Some("baudrate"));
/// assert_eq!(nearest("colour", ["type", "ref"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(word);
    let length = wanted.chars().count();
    if length == 0 || length > 200 {
        // The comparison is quadratic, and a word that long is no slip of the keyboard.
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = folded(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let allowed = (length.min(other.chars().count()) / 3).clamp(1, SLIPS);
            let cut_short = length >= 3
                && (other.starts_with(&wanted) || (other.len() >= 3 && wanted.starts_with(&other)));
            if distance <= allowed && distance < length {
                Some((distance, candidate))
            } else if cut_short {
                Some((allowed + distance, candidate))
            } else {
                None
            }
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A help text: the nearest word, if one is near, and the words that are known.
pub fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    list_title: &str,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return None;
    }
    let list = format!("{list_title}: {}", listed(&known));
    Some(match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    })
}

/// Words with commas between them, cut where a list stops being helpful.
pub fn listed<S: AsRef<str>>(words: &[S]) -> String {
    let mut text = words.iter().take(LISTED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if words.len() > LISTED {
        text.push_str(", …");
    }
    text
}

/// A word of a file as it may stand in a message: between backticks, harmless and not too long.
pub fn quoted(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut text = harmless(&word.chars().take(LONGEST).collect::<String>());
    if word.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

/// The text with everything escaped that would disturb a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if disturbs(character) {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Control characters, and those that change the direction of text: neither belongs in output.
pub(crate) fn disturbs(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{2028}' | '\u{2029}')
}

/// A word without what people mix up: case, hyphen, underscore.
pub(crate) fn folded(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}
