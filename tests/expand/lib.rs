//! Nothing: the tests are in `main.rs`, and trybuild wants a package with a library.
