//! Which drivers this program has.

use std::collections::HashMap;

use jumpstarter_core::{describe::Interface, driver::DriverFactory};

/// The drivers of a program, by name and alias.
#[derive(Clone, Default)]
pub struct Registry {
    drivers: Vec<&'static dyn DriverFactory>,
    by_name: HashMap<&'static str, usize>,
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
        let provides = |driver: &&'static dyn DriverFactory| {
            driver.spec().provides.iter().any(|provided| provided.full_service() == interface.full_service())
        };
        let mut names: Vec<_> = self.iter().filter(provides).map(|driver| driver.spec().type_name).collect();
        names.sort_unstable();
        names
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|driver| driver.spec().type_name)).finish()
    }
}
