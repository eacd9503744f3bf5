//! Which drivers this program has.

use std::{collections::HashMap, sync::Arc};

use jumpstarter_core::{
    describe::Interface,
    driver::{DriverFactory, DriverSpec},
};

/// The drivers of a program, by name and alias.
#[derive(Clone, Default)]
pub struct Registry {
    drivers: Vec<&'static dyn DriverFactory>,
    by_name: HashMap<&'static str, usize>,
    absent: &'static [Known],
    commands: Option<Arc<dyn Fn(&'static DriverSpec) -> Commands + Send + Sync>>,
}

/// What people can call at a device with some driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// The names of its commands, as they are typed.
    pub names: Vec<String>,
    /// The key of its configuration that holds further ones, by name.
    pub configured: Option<&'static str>,
}

/// A driver that a file may name although this program does not have it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name in exporter files.
    pub name: &'static str,
    /// Its further names: the class paths of the existing implementation.
    pub aliases: &'static [&'static str],
    /// Names of the interfaces that it provides.
    pub provides: &'static [&'static str],
    /// The feature that a program has to be built with to have it; `None` for a driver that is not written yet.
    pub feature: Option<&'static str>,
}

impl Registry {
    /// The drivers of these lists. Where two claim the same name, the later one has it: whoever builds a program of
    /// their own puts their drivers last.
    pub fn new(lists: &[&[&'static dyn DriverFactory]]) -> Self {
        let mut registry = Self::default();
        for driver in lists.iter().flat_map(|list| list.iter()) {
            let spec = driver.spec();
            let index = registry.drivers.len();
            registry.drivers.push(*driver);
            for name in std::iter::once(&spec.type_name).chain(spec.aliases) {
                registry.by_name.insert(name, index);
            }
        }
        registry
    }

    /// Also knows drivers by name that are somewhere else, so that messages about them can say more.
    #[must_use]
    pub fn knowing(mut self, drivers: &'static [Known]) -> Self {
        self.absent = drivers;
        self
    }

    /// Also knows which commands clients have for a driver, so that help texts of others are told. What an interface has
    /// is not all of it: clients add commands of their own.
    #[must_use]
    pub fn with_commands(
        mut self,
        commands: impl Fn(&'static DriverSpec) -> Commands + Send + Sync + 'static,
    ) -> Self {
        self.commands = Some(Arc::new(commands));
        self
    }

    /// The commands of this driver, if they are known.
    pub(crate) fn commands(&self, driver: &'static dyn DriverFactory) -> Option<Commands> {
        self.commands.as_deref().map(|commands| commands(driver.spec()))
    }

    /// The drivers that are known by name only.
    pub fn absent(&self) -> impl Iterator<Item = &'static Known> {
        self.absent.iter().filter(|known| self.get(known.name).is_none())
    }

    /// The driver with this name or alias.
    pub fn get(&self, name: &str) -> Option<&'static dyn DriverFactory> {
        self.by_name.get(name).map(|index| self.drivers[*index])
    }

    /// All drivers in the order of the lists.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn DriverFactory> {
        self.drivers.iter().copied()
    }

    /// Every name and alias.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// Public names of the drivers that provide this interface.
    pub fn providing(&self, interface: &Interface) -> Vec<&'static str> {
        self.names_where(|provided| provided.full_service() == interface.full_service())
    }

    /// The same for an interface of which only the name is known.
    pub(crate) fn providing_by_name(&self, interface: &str) -> Vec<&'static str> {
        self.names_where(|provided| provided.name == interface)
    }

    fn names_where(&self, provides: impl Fn(&Interface) -> bool) -> Vec<&'static str> {
        let provider = |driver: &&'static dyn DriverFactory| {
            driver.spec().provides.iter().any(|provided| provides(provided))
        };
        let mut names: Vec<_> = self.iter().filter(provider).map(|driver| driver.spec().type_name).collect();
        names.sort_unstable();
        names
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|driver| driver.spec().type_name)).finish()
    }
}
