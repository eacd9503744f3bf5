//! Formatted Rust, for golden files and documentation.

use proc_macro2::TokenStream;

/// Prints items as a formatter would. What is not a list of items is printed as bare tokens.
pub fn file(tokens: &TokenStream) -> String {
    match syn::parse2(tokens.clone()) {
        Ok(file) => blank_lines(&prettyplease::unparse(&file)),
        Err(_) => tokens.to_string(),
    }
}

/// Puts an empty line before each top-level item, so that a golden file reads like one that was written.
fn blank_lines(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 256);
    let mut after_item = false;
    for line in source.lines() {
        if after_item && !line.is_empty() {
            out.push('\n');
        }
        after_item = matches!(line, "}" | "};" | ");");
        out.push_str(line);
        out.push('\n');
    }
    out
}
