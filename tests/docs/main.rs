//! What the documentation says is true.
//!
//! | Module | Keeps true |
//! |---|---|
//! | `page` | reading pages: code blocks, and what the words behind their fences say |
//! | `console` | command lines on a page are run, and print what the page shows |
//! | `device` | `docs/using-a-device.md` |
//! | `outside` | `docs/writing-a-driver.md` and `README.md`: crates outside of the workspace are built from the text |
//! | `expansion` | `docs/expansion.md` |
//! | `exporter_file` | `docs/exporter-file.md`, and every exporter file on any page |
//! | `pages` | links lead somewhere, and every code block is checked or says why not |
//!
//! `JUMPSTARTER_UPDATE_DOCS=1 cargo test -p jumpstarter-tests --test docs` writes what commands print into the pages. Read
//! the difference before it is committed.

#![forbid(unsafe_code)]

mod console;
mod device;
mod expansion;
mod exporter_file;
mod outside;
mod page;
mod pages;
