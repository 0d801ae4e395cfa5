/// How much each store holds, and how it does.
mod load;
/// What to move, as pure data.
mod plan;
/// Hash ring, and hash modulo beside it.
mod ring;
/// Which stores there are, with their weights and zones.
mod set;
/// What part of all bytes each store should have.
mod shares;
#[cfg(test)]
mod tests;

pub use self::{
    load::{Load, Loads},
    plan::{Move, Placed, Plan, Rule, Why, plan, plan_to_rest},
    ring::{Placement, PlacementKey},
    set::{
        COPIES_MAX, Change, EPSILON_MAX, EPSILON_MIN, MEMBERS_MAX, Member, Method, SetError, State,
        StoreSet, VERSION_MAX, VIRTUAL_NODES_MAX, WEIGHT_MAX, WEIGHT_MIN, ZONE_LENGTH_MAX,
    },
};
