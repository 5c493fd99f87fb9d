//! A store in memory with the service's rules, one that fails on demand, and the rules of every store as a check.

pub mod conformance;
mod faulty;
mod memory;

pub use faulty::{Failure, Faulty, Operation};
pub use memory::MemoryStore;
