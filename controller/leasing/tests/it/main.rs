//! Leasing with a store around it: scenarios with every word of their conditions, random schedules, and what it costs.

mod clients;
mod exporters;
mod golden;
mod random;
mod requests;
mod scale;
mod store;
mod world;
