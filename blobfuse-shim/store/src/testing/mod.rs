//! A store in memory with the service's rules, and one that fails on demand.

mod faulty;
mod memory;

pub use faulty::{Failure, Faulty, Operation};
pub use memory::MemoryStore;
