//! The situations: compiled here, and expanded by the test.

macro_rules! situations {
    ($($name:ident)*) => {
        $(mod $name;)*

        /// All of them.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

situations! {
    arguments
    blocking
    children
    commands
    config
    driver
    driver_life
    driver_made
    message
    message_enum
    message_list
    power
    renamed
    streams
}
