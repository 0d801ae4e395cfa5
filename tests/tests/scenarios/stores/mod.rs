/// A box whose store is another box's disk.
mod box_as_store;
/// Clients that are not ours.
mod clients;
/// What objects can beyond what our own stores use.
mod objects;
/// Power cuts of a store while it is written to.
mod power_cuts;
/// One suite for every kind of store.
mod suite;
