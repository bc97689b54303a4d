//! Checks that a plan can be run: everything that it refers to exists.

use super::{Act, Ask, Bounds, Core, Disk, FORMAT, Image, Link, Peer, Plan, When};

/// Reason why a plan cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// The plan has another format version.
    Format(u32),
    /// An action or link names a peer that does not exist.
    NoPeer(usize),
    /// An action names a link that does not exist.
    NoLink(usize),
    /// A link leads from a peer to itself.
    SelfLink(usize),
    /// Two actions have the same id.
    SameId(u32),
    /// An action waits for a logical point that does not exist.
    NoPoint(String),
    /// An expected mark does not exist.
    NoMark(String),
    /// The documents of a transaction are in two partitions.
    TwoPartitions(u32),
    /// An action asks databases that peers do not run, or edits documents directly that databases hold.
    Databases(u32),
    /// An action is a step of an app, and no app runs.
    NoApp(u32),
    /// There is no peer, or there are too many.
    Peers(usize),
    /// The peers of the core are not connected by links.
    Core,
}

impl core::fmt::Display for PlanError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Format(found) => write!(f, "format {found}; this version reads format {FORMAT}"),
            Self::NoPeer(peer) => write!(f, "there is no peer {peer}"),
            Self::NoLink(link) => write!(f, "there is no link {link}"),
            Self::SelfLink(link) => write!(f, "link {link} leads from a peer to itself"),
            Self::SameId(id) => write!(f, "two actions have id {id}"),
            Self::NoPoint(name) => write!(f, "there is no event `{name}` to wait for"),
            Self::NoMark(name) => write!(f, "there is no mark `{name}`"),
            Self::TwoPartitions(id) => write!(f, "action {id} edits documents of two partitions in one transaction"),
            Self::Databases(id) => write!(f, "action {id} is not what the peers run: see `databases`"),
            Self::NoApp(id) => write!(f, "action {id} is a step of an app: run the plan with the app's own test"),
            Self::Peers(count) => write!(f, "{count} peers: there must be 1 to {}", Plan::PEERS_MAX),
            Self::Core => f.write_str("the peers that live on are not connected by links that stay"),
        }
    }
}

impl core::error::Error for PlanError {}

impl Plan {
    /// Most peers of a plan.
    pub const PEERS_MAX: usize = 1_024;

    /// Makes a plan of peers in a chain, without actions.
    pub fn quiet(seed: u64, peers: usize) -> Self {
        Self {
            format: FORMAT,
            name: "quiet".to_owned(),
            seed,
            core: Core::default(),
            partitions: 0,
            databases: false,
            bounds: Bounds::default(),
            sometimes: Vec::new(),
            peers: vec![Peer::default(); peers],
            links: (1..peers).map(|peer| Link::new(peer, peer - 1)).collect(),
            actions: Vec::new(),
        }
    }

    /// Checks whether it can be run.
    ///
    /// # Errors
    /// Fails if it refers to something that does not exist.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.format != FORMAT {
            return Err(PlanError::Format(self.format));
        }
        if !(1..=Self::PEERS_MAX).contains(&self.peers.len()) {
            return Err(PlanError::Peers(self.peers.len()));
        }
        let peer = |peer: usize| if peer < self.peers.len() { Ok(()) } else { Err(PlanError::NoPeer(peer)) };
        for (at, link) in self.links.iter().enumerate() {
            peer(link.from)?;
            peer(link.to)?;
            if link.from == link.to {
                return Err(PlanError::SelfLink(at));
            }
        }
        self.bounds.core.iter().try_for_each(|member| peer(*member))?;
        if let Some(mark) = self.sometimes.iter().find(|mark| !crate::coverage::is_mark(mark)) {
            return Err(PlanError::NoMark(mark.clone()));
        }
        let mut ids = std::collections::BTreeSet::new();
        for action in &self.actions {
            if !ids.insert(action.id) {
                return Err(PlanError::SameId(action.id));
            }
            if let When::After(after) = &action.when {
                peer(after.peer)?;
                if !crate::coverage::is_point(&after.event) {
                    return Err(PlanError::NoPoint(after.event.clone()));
                }
            }
            action.act.peers().into_iter().try_for_each(peer)?;
            if let Some(link) = action.act.link().filter(|link| *link >= self.links.len()) {
                return Err(PlanError::NoLink(link));
            }
            if !action.act.is_fault() && self.databases != action.act.is_for_databases().unwrap_or(self.databases) {
                return Err(PlanError::Databases(action.id));
            }
            if let Act::Both { docs: [a, b], .. } | Act::Ask { what: Ask::Both { docs: [a, b] }, .. } = &action.act
                && self.partition(*a) != self.partition(*b)
            {
                return Err(PlanError::TwoPartitions(action.id));
            }
        }
        if self.hangs_together() { Ok(()) } else { Err(PlanError::Core) }
    }

    /// Checks that no action is a step of an app.
    pub(crate) fn check_own(&self) -> Result<(), PlanError> {
        let step = self.actions.iter().find(|action| matches!(action.act, Act::Ask { what: Ask::Step, .. }));
        step.map_or(Ok(()), |step| Err(PlanError::NoApp(step.id)))
    }

    /// Returns whether the peers of the core reach one another without the others: otherwise they cannot converge.
    fn hangs_together(&self) -> bool {
        let lives = |peer: usize| self.bounds.core.is_empty() || self.bounds.core.contains(&peer);
        let core: Vec<usize> = (0..self.peers.len()).filter(|peer| lives(*peer)).collect();
        let mut reached = std::collections::BTreeSet::from_iter(core.first().copied());
        let links = || self.links.iter().filter(|link| lives(link.from) && lives(link.to));
        while let Some(next) =
            links().find_map(|link| match (reached.contains(&link.from), reached.contains(&link.to)) {
                (true, false) => Some(link.to),
                (false, true) => Some(link.from),
                (true, true) | (false, false) => None,
            })
        {
            reached.insert(next);
        }
        reached.len() == core.len()
    }

    /// Returns the number of the partition in which a document lives.
    pub const fn partition(&self, doc: u32) -> u32 {
        doc % (self.partitions + 1)
    }
}

impl Act {
    /// Returns the peers that the action names.
    pub fn peers(&self) -> Vec<usize> {
        match self {
            Self::Create { peer, .. }
            | Self::Insert { peer, .. }
            | Self::Item { peer, .. }
            | Self::Make { peer, .. }
            | Self::Member { peer, .. }
            | Self::Scribble { peer, .. }
            | Self::Set { peer, .. }
            | Self::Both { peer, .. }
            | Self::Delete { peer, .. }
            | Self::Import { peer, .. }
            | Self::Open { peer, .. }
            | Self::Close { peer, .. }
            | Self::Hold { peer, .. }
            | Self::Ask { peer, .. }
            | Self::Bodies { peer, .. }
            | Self::Crash { peer, .. }
            | Self::Stop { peer, .. }
            | Self::Snapshot { peer }
            | Self::Pause { peer, .. }
            | Self::SlowStore { peer, .. }
            | Self::FailStore { peer, .. }
            | Self::Clock { peer, .. } => vec![*peer],
            Self::Restart { peer, store: Disk::CloneOf(other) } | Self::Resume { peer, of: Image::Now(other), .. } => {
                vec![*peer, *other]
            }
            Self::Restart { peer, .. } | Self::Resume { peer, .. } => vec![*peer],
            Self::Partition { sides, .. } => sides.iter().flatten().copied().collect(),
            Self::Dial { .. }
            | Self::Hang { .. }
            | Self::Reset { .. }
            | Self::Stall { .. }
            | Self::Quality { .. }
            | Self::Split { .. }
            | Self::Gather { .. }
            | Self::Flap { .. }
            | Self::Refuse { .. }
            | Self::Unanswered { .. }
            | Self::Tamper { .. } => Vec::new(),
        }
    }

    /// Returns the link that the action names.
    pub const fn link(&self) -> Option<usize> {
        match self {
            Self::Dial { link }
            | Self::Hang { link }
            | Self::Reset { link, .. }
            | Self::Stall { link, .. }
            | Self::Quality { link, .. }
            | Self::Split { link, .. }
            | Self::Gather { link, .. }
            | Self::Flap { link, .. }
            | Self::Refuse { link, .. }
            | Self::Unanswered { link, .. }
            | Self::Tamper { link, .. } => Some(*link),
            Self::Create { .. }
            | Self::Insert { .. }
            | Self::Item { .. }
            | Self::Make { .. }
            | Self::Member { .. }
            | Self::Scribble { .. }
            | Self::Set { .. }
            | Self::Both { .. }
            | Self::Delete { .. }
            | Self::Import { .. }
            | Self::Open { .. }
            | Self::Close { .. }
            | Self::Hold { .. }
            | Self::Ask { .. }
            | Self::Bodies { .. }
            | Self::Partition { .. }
            | Self::Crash { .. }
            | Self::Stop { .. }
            | Self::Snapshot { .. }
            | Self::Restart { .. }
            | Self::Resume { .. }
            | Self::Pause { .. }
            | Self::SlowStore { .. }
            | Self::FailStore { .. }
            | Self::Clock { .. } => None,
        }
    }

    /// Returns whether databases carry the action out, or bare endpoints; `None` if both do.
    pub const fn is_for_databases(&self) -> Option<bool> {
        if self.is_fault() || matches!(self, Self::Bodies { .. } | Self::Dial { .. } | Self::Snapshot { .. }) {
            None
        } else {
            Some(matches!(self, Self::Ask { .. }))
        }
    }

    /// Returns whether the action is a fault, not work of users.
    pub const fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Create { .. }
                | Self::Insert { .. }
                | Self::Item { .. }
                | Self::Make { .. }
                | Self::Member { .. }
                | Self::Scribble { .. }
                | Self::Set { .. }
                | Self::Both { .. }
                | Self::Delete { .. }
                | Self::Import { .. }
                | Self::Open { .. }
                | Self::Close { .. }
                | Self::Hold { .. }
                | Self::Ask { .. }
                | Self::Bodies { .. }
                | Self::Dial { .. }
                | Self::Snapshot { .. }
        )
    }
}
