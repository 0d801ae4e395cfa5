//! `tarn stores`: which stores a fleet has, and what lies where.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::json;
use tarn_common::{
    catalog::Catalog,
    clock::SystemClock,
    fleet::{Carried, ChangeError, Fleet, carry_out, placed},
    ids::{EdgeId, StoreName},
    keeper::Keeper,
    placement::{Change, Loads, Member, Placement, Plan, Rule, State, StoreSet, plan_to_rest},
    store::Store,
};

use crate::{exit::Failure, progress, store_args::StoreArgs};

/// How long a store may take for one operation.
const PATIENCE: Duration = Duration::from_secs(60);

/// `tarn stores`.
#[derive(Debug, Args)]
pub(crate) struct StoresCommand {
    #[command(flatten)]
    stores: StoreArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the stores: their shares, and what each holds by the log
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what would be moved, and what each store holds before and after; nothing is moved
    Plan {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a store, which must be empty or of this fleet; it gets its share of the chunks from there on
    Add {
        /// Its name: 1 to 32 of a-z, 0-9 and -
        name: StoreName,
        /// Where it is: file:///dir or s3://bucket/prefix?endpoint=…; its keys are in TARN_STORE_<NAME>_ACCESS_KEY_ID and TARN_STORE_<NAME>_SECRET_ACCESS_KEY, on each node
        url: String,
        /// Its share, beside the others'
        #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
        weight: f64,
        /// What may fail together: copies of a chunk go to different zones
        #[arg(long)]
        zone: Option<String>,
    },
    /// Have a store emptied: its chunks go to the others, and it takes no more
    Drain {
        /// Its name
        name: StoreName,
    },
    /// Take a store as lost: its chunks are made again from their other copies
    Lose {
        /// Its name
        name: StoreName,
    },
    /// Have a store take chunks again
    Restore {
        /// Its name
        name: StoreName,
    },
    /// Leave a store out that holds no chunks any more
    Remove {
        /// Its name
        name: StoreName,
    },
    /// Give a store another share
    Weigh {
        /// Its name
        name: StoreName,
        /// Its share, beside the others'
        #[arg(allow_negative_numbers = true)]
        weight: f64,
    },
    /// Say that a store is elsewhere now: it was moved, or replaced by an empty one
    Move {
        /// Its name
        name: StoreName,
        /// Where it is now
        url: String,
    },
    /// Have another number of copies of each chunk
    Copies {
        /// How many, each in another store
        copies: usize,
    },
    /// Move what there is to move, now; may be stopped and started again at any time
    Rebalance {
        /// Bytes a second at most [default: no limit]
        #[arg(long, value_name = "SIZE")]
        rate: Option<ByteSize>,
    },
}

pub(crate) async fn run(command: StoresCommand) -> Result<(), Failure> {
    // To look founds nothing.
    let only_looks = matches!(command.action, Action::List { .. } | Action::Plan { .. });
    let mut stores = Stores::open(command.stores.open_some()?, only_looks).await?;
    match command.action {
        Action::List { json } => stores.list(json),
        Action::Plan { json } => show_plan(&stores.plan(), json),
        Action::Add {
            name,
            url,
            weight,
            zone,
        } => {
            let member = Member {
                name,
                url,
                weight,
                zone,
                state: State::Active,
            };
            stores.change(Change::Add(member)).await
        }
        Action::Drain { name } => stores.change(Change::Drain(name)).await,
        Action::Lose { name } => stores.change(Change::Lose(name)).await,
        Action::Restore { name } => stores.change(Change::Restore(name)).await,
        Action::Remove { name } => {
            let held = stores.loads().of(&name).chunks;
            stores.change(Change::Remove(name, held)).await
        }
        Action::Weigh { name, weight } => stores.change(Change::Weigh(name, weight)).await,
        Action::Move { name, url } => stores.change(Change::Move(name, url)).await,
        Action::Copies { copies } => stores.change(Change::Copies(copies)).await,
        Action::Rebalance { rate } => stores.rebalance(rate.map(|rate| rate.as_u64())).await,
    }
}

/// The stores, and what the log says of them.
struct Stores {
    fleet: Fleet,
    catalog: Catalog,
}

impl Stores {
    async fn open(given: Vec<Store>, only_looks: bool) -> Result<Stores, Failure> {
        let mut fleet = Fleet::new(given, None, None, PATIENCE);
        if only_looks {
            fleet = fleet.reading_any();
        }
        let joined = fleet.join().await;
        joined.map_err(|reason| Failure::unreachable(anyhow::anyhow!(reason)))?;
        let catalog = read_log(&fleet).await?;
        Ok(Stores { fleet, catalog })
    }

    fn set(&self) -> StoreSet {
        self.fleet.agreed().set.clone()
    }

    fn loads(&self) -> Loads {
        Loads::of_chunks(self.catalog.snapshot().iter())
    }

    fn plan(&self) -> Plan {
        let chunks = placed(&self.catalog.snapshot());
        plan_to_rest(&self.set(), &chunks, &Rule::default())
    }

    fn list(&self, json: bool) -> Result<(), Failure> {
        let (set, loads) = (self.set(), self.loads());
        if json {
            let said = json!({ "set": set, "loads": loads, "peak": loads.peak(Placement::of(&set).shares()) });
            println!(
                "{}",
                serde_json::to_string_pretty(&said).map_err(Failure::broken)?
            );
            return Ok(());
        }
        let total: f64 = set.weights().map(|(_, weight)| weight).sum();
        let mut table = table(
            &[
                "store", "state", "zone", "share", "chunks", "bytes", "where",
            ],
            3..6,
        );
        for member in &set.members {
            let load = loads.of(&member.name);
            let share = match member.state {
                State::Active => format!("{:.1} %", 100.0 * member.weight / total),
                State::Draining | State::Lost => "0 %".into(),
            };
            table.add_row([
                member.name.to_string(),
                format!("{:?}", member.state).to_lowercase(),
                member.zone.clone().unwrap_or_default(),
                share,
                load.chunks.to_string(),
                ByteSize(load.bytes).to_string(),
                member.url.clone(),
            ]);
        }
        println!("{table}");
        println!(
            "version {}  copies {}  fleet {}  fullest {:.2} × its share",
            set.version,
            set.copies,
            set.fleet,
            loads.peak(Placement::of(&set).shares())
        );
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<(), Failure> {
        match self.fleet.change(change).await {
            Ok(_) => {}
            Err(ChangeError::NoStore(reason)) => {
                return Err(Failure::unreachable(anyhow::anyhow!(reason)));
            }
            Err(overtaken @ ChangeError::Overtaken(_)) => return Err(Failure::broken(overtaken)),
            Err(refused) => return Err(Failure::usage(refused.to_string())),
        }
        self.list(false)?;
        let plan = self.plan();
        if !plan.is_empty() {
            println!(
                "{} copies, {}, are to be moved: the cloud does so by itself, `tarn stores rebalance` at once",
                plan.copies,
                ByteSize(plan.bytes)
            );
        }
        Ok(())
    }

    async fn rebalance(&mut self, rate: Option<u64>) -> Result<(), Failure> {
        let plan = self.plan();
        let keeper = Keeper::new(
            EdgeId(rand::random()),
            self.fleet.pool().clone(),
            Arc::new(SystemClock),
            None,
            BTreeMap::new(),
        );
        let total = plan.moves.iter().map(|step| step.bytes.max(1)).sum();
        let bar = progress::bytes(total);
        let mut failed = Vec::new();
        let now = |key: &_| self.catalog.placed(key);
        let done = carry_out(&keeper, &plan, rate, now, |step, carried| {
            if let Carried::Failed(error) = carried {
                failed.push(error.to_string());
            }
            bar.inc(step.bytes.max(1));
        });
        let done = done.await;
        self.catalog.apply_all(&done);
        bar.finish_and_clear();
        self.list(false)?;
        let surplus = keeper.surplus();
        if surplus > 0 {
            println!(
                "{surplus} copies at their old places stay until the cloud lets them go, or `tarn verify --repair --delete-unlogged`"
            );
        }
        match failed.first() {
            None => Ok(()),
            Some(first) => Err(Failure::broken(anyhow::anyhow!(
                "{} of {} moves failed, the first: {first}; run it again",
                failed.len(),
                plan.moves.len()
            ))),
        }
    }
}

/// What the logs of all stores of a fleet say together.
pub(crate) async fn read_log(fleet: &Fleet) -> Result<Catalog, Failure> {
    let mut catalog = Catalog::default();
    for member in fleet.pool().members() {
        let read = catalog.refresh(member.store()).await;
        let read = read.map_err(Failure::unreachable)?;
        if let Some(reason) = read.failed.first() {
            return Err(Failure::broken(anyhow::anyhow!("{reason}")));
        }
    }
    Ok(catalog)
}

fn show_plan(plan: &Plan, json: bool) -> Result<(), Failure> {
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(plan).map_err(Failure::broken)?
        );
        return Ok(());
    }
    let mut sums: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
    for step in &plan.moves {
        let name = |name: &Option<StoreName>| name.as_ref().map_or("-".into(), ToString::to_string);
        let key = (step.why.to_string(), name(&step.from), name(&step.to));
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1 + step.bytes);
    }
    if !sums.is_empty() {
        let mut moves = table(&["why", "from", "to", "chunks", "bytes"], 3..5);
        for ((why, from, to), (chunks, bytes)) in sums {
            moves.add_row([
                why,
                from,
                to,
                chunks.to_string(),
                ByteSize(bytes).to_string(),
            ]);
        }
        println!("{moves}");
    }
    println!("{}", before_and_after(&plan.before, &plan.after));
    println!(
        "{} copies, {}, are to be moved",
        plan.copies,
        ByteSize(plan.bytes)
    );
    Ok(())
}

/// What each store holds at two moments.
pub(crate) fn before_and_after(before: &Loads, after: &Loads) -> Table {
    let heads = ["store", "chunks before", "after", "bytes before", "after"];
    let mut table = table(&heads, 1..5);
    let names: std::collections::BTreeSet<&StoreName> =
        before.0.keys().chain(after.0.keys()).collect();
    for name in names {
        let (before, after) = (before.of(name), after.of(name));
        table.add_row([
            name.to_string(),
            before.chunks.to_string(),
            after.chunks.to_string(),
            ByteSize(before.bytes).to_string(),
            ByteSize(after.bytes).to_string(),
        ]);
    }
    table
}

/// A table with these heads; the columns of numbers are aligned to the right.
pub(crate) fn table(heads: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(heads.iter().copied());
    for at in numbers {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
