//! Twins: what is slow and shared of a home, as documents that two sides may change while the line is cut.
//!
//! There is one [`document`] for the home and one for each device, merged by Automerge. What a value is, where several
//! were written at once, is computed by [`resolve`]. A [`replica`] is a home's documents on one node; replicas are made
//! equal by [`sync`]. All of these are pure: they take data and `now` and give what to store and what to send. A
//! [`home`] joins a replica to the [`store`] that keeps it.

/// What became of what is wanted of a device.
pub mod command;
/// One document.
pub mod document;
/// What is changed, in words of the home.
pub mod edit;
/// Who changed what, when.
pub mod history;
/// A replica with its store.
pub mod home;
/// A home's documents on one node.
pub mod replica;
/// What holds where several wrote at once.
pub mod resolve;
/// The hybrid logical clock that orders writes.
pub mod stamp;
/// Where documents are kept.
pub mod store;
/// Messages that make two replicas equal.
pub mod sync;
/// A value with its author and its time.
pub mod write;

#[cfg(test)]
mod tests;
