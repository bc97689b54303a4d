//! Plans the replay of a trace of the editing-traces collection: the device of each transaction, and the transactions
//! that it must have received before.
//!
//! A device types one transaction after the other, so its transactions form a chain, each after all earlier ones. While
//! there are few authors, each has a separate device. A further author uses a device whose whole chain the author had
//! seen.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Number of authors that get a device of their own.
const OWN_DEVICES: usize = 8;
/// Largest number of devices, each of which is a process.
const DEVICES_MAX: usize = 64;

/// A recorded session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub(super) start_content: String,
    pub(super) end_content: String,
    pub(super) txns: Vec<Txn>,
}

/// A transaction. Without parents, it follows the one before it.
#[derive(Debug, Deserialize)]
pub(super) struct Txn {
    parents: Option<Vec<usize>>,
    #[serde(default)]
    agent: usize,
    pub(super) patches: Vec<Patch>,
}

/// `[position, deleted, inserted]`, in Unicode characters.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Patch(u64, u64, String);

impl Trace {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let trace: Self = serde_json::from_slice(bytes)?;
        if trace.txns.is_empty() {
            return Err("the trace has no transaction".into());
        }
        Ok(trace)
    }

    pub(super) fn is_concurrent(&self) -> bool {
        self.kind == "concurrent" || self.txns.iter().any(|txn| txn.parents.is_some() || txn.agent > 0)
    }

    pub(super) fn authors(&self) -> usize {
        self.txns.iter().map(|txn| txn.agent).collect::<BTreeSet<_>>().len()
    }
}

/// One command: transactions that a device types without receiving anything in between.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) device: usize,
    pub(super) txns: Vec<usize>,
    /// Other devices, each with the number of its transactions that must have been received before.
    pub(super) receives: Vec<(usize, usize)>,
    /// Number of transactions that the device has typed after this step.
    pub(super) typed: usize,
}

/// The steps, in an order in which nothing is received before it is typed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) devices: usize,
    pub(super) steps: Vec<Step>,
}

/// Number of transactions of each device.
type Version = Vec<usize>;

/// A transaction's device and place there, and the version that its author had seen.
#[derive(Debug)]
struct Placed {
    device: usize,
    typed: usize,
    receives: Vec<(usize, usize)>,
}

impl Plan {
    pub(super) fn new(trace: &Trace) -> Result<Self, Failure> {
        let placed = place(trace)?;
        // A command must end at each point up to which another device receives.
        let ends: BTreeSet<(usize, usize)> = placed.iter().flat_map(|placed| placed.receives.iter().copied()).collect();
        let devices = placed.iter().map(|placed| placed.device + 1).max().unwrap_or_default();
        let mut open: Vec<Option<usize>> = vec![None; devices];
        let mut steps: Vec<Step> = Vec::new();
        for (txn, placed) in placed.into_iter().enumerate() {
            let Placed { device, typed, receives } = placed;
            let at = open[device].filter(|_| receives.is_empty());
            match at {
                Some(at) => {
                    steps[at].txns.push(txn);
                    steps[at].typed = typed;
                }
                None => {
                    open[device] = Some(steps.len());
                    steps.push(Step { device, txns: vec![txn], receives, typed });
                }
            }
            if ends.contains(&(device, typed)) {
                open[device] = None;
            }
        }
        Ok(Self { devices, steps })
    }
}

/// Assigns a device to each transaction.
fn place(trace: &Trace) -> Result<Vec<Placed>, Failure> {
    let mut versions: Vec<Version> = Vec::new();
    // For each device: the version of its last transaction, itself included.
    let mut devices: Vec<Version> = Vec::new();
    let mut homes = std::collections::BTreeMap::new();
    let mut placed = Vec::new();
    for (number, txn) in trace.txns.iter().enumerate() {
        let before = number.checked_sub(1).into_iter().collect();
        let mut version = Version::new();
        for parent in txn.parents.as_ref().unwrap_or(&before) {
            join(
                &mut version,
                versions.get(*parent).ok_or_else(|| format!("transaction {number} precedes its parent"))?,
            );
        }
        let at = |version: &Version, device: usize| version.get(device).copied().unwrap_or(0);
        let follows =
            |device: &usize| devices.get(*device).is_some_and(|last| at(last, *device) == at(&version, *device));
        let home = homes.get(&txn.agent).copied();
        let own = home.filter(|device| follows(device));
        let is_new = home.is_none() && devices.len() < OWN_DEVICES;
        let device = own.or_else(|| (0..devices.len()).find(|device| !is_new && follows(device)));
        let device = device.unwrap_or(devices.len());
        if device >= DEVICES_MAX {
            return Err(format!("transaction {number} needs a device more than the {DEVICES_MAX} that are run").into());
        }
        devices.resize(devices.len().max(device + 1), Version::new());
        homes.insert(txn.agent, device);
        let last = &devices[device];
        let news = (0..version.len()).filter(|other| *other != device && at(last, *other) < at(&version, *other));
        let receives = news.map(|other| (other, at(&version, other))).collect();
        version.resize(version.len().max(device + 1), 0);
        version[device] += 1;
        placed.push(Placed { device, typed: version[device], receives });
        devices[device].clone_from(&version);
        versions.push(version);
    }
    Ok(placed)
}

fn join(version: &mut Version, other: &Version) {
    version.resize(version.len().max(other.len()), 0);
    for (known, also) in version.iter_mut().zip(other) {
        *known = (*known).max(*also);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(txns: &[(usize, &[usize])]) -> Plan {
        let txn = |(agent, parents): &(usize, &[usize])| Txn {
            parents: Some(parents.to_vec()),
            agent: *agent,
            patches: vec![],
        };
        let trace = Trace {
            kind: String::new(),
            start_content: String::new(),
            end_content: String::new(),
            txns: txns.iter().map(txn).collect(),
        };
        Plan::new(&trace).unwrap()
    }

    /// The device, the transactions, and the received ones of each step.
    type Shape = (usize, Vec<usize>, Vec<(usize, usize)>);

    fn shape(plan: &Plan) -> Vec<Shape> {
        plan.steps.iter().map(|step| (step.device, step.txns.clone(), step.receives.clone())).collect()
    }

    #[test]
    fn a_command_ends_where_another_author_joined_in() {
        let plan = plan(&[(0, &[]), (0, &[0]), (1, &[0]), (0, &[1]), (1, &[2]), (0, &[3, 4])]);
        let expected =
            [(0, vec![0], vec![]), (0, vec![1, 3], vec![]), (1, vec![2, 4], vec![(0, 1)]), (0, vec![5], vec![(1, 2)])];
        assert_eq!((plan.devices, shape(&plan)), (2, expected.to_vec()));
    }

    #[test]
    fn an_author_who_typed_on_two_branches_has_two_devices() {
        let plan = plan(&[(0, &[]), (0, &[0]), (0, &[0]), (0, &[1, 2])]);
        assert_eq!(plan.devices, 2);
        assert_eq!(plan.steps.iter().map(|step| step.txns.len()).sum::<usize>(), 4);
    }

    #[test]
    fn authors_beyond_the_limit_share_a_device() {
        let txns: Vec<(usize, Vec<usize>)> =
            (0..40).map(|at: usize| (at, at.checked_sub(1).into_iter().collect())).collect();
        let txns: Vec<_> = txns.iter().map(|(agent, parents)| (*agent, parents.as_slice())).collect();
        assert_eq!(plan(&txns).devices, OWN_DEVICES);
    }
}
