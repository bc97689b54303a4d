//! Commands about peers, devices, spaces and partitions.

use clap::Subcommand;
use cosmicsync_node::service::Bodies;

use super::SpaceOption;

#[derive(Debug, Subcommand)]
pub(crate) enum PeerVerb {
    /// Add an address, which this node dials from now on
    Add {
        /// Address of the other node
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// List peers
    List,
    /// Remove an address
    Remove {
        /// Address as it was added
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// Go offline: close all links and open none
    Pause,
    /// Go online again
    Resume,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceVerb {
    /// List the devices of a space
    List {
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Rename this device
    Rename {
        /// New name of this device
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpaceVerb {
    /// Create a space
    Create {
        /// Name of the space
        name: String,
    },
    /// List spaces
    List,
    /// Print an invite, one line that lets one device join the space, once
    Invite {
        #[command(flatten)]
        space: SpaceOption,
        /// Lifetime of the invite, such as 90s, 10m, 2h, 1d
        #[arg(long, default_value = "10m", value_parser = parse_duration_ms, value_name = "TIME")]
        expires: u64,
    },
    /// Join a space by an invite
    Join {
        /// Line of the invite; - reads it from stdin
        invite: String,
    },
    /// Choose how much content this device downloads (all, none, newest)
    Fetch {
        /// all, none or newest:N (entries of each device)
        #[arg(value_parser = parse_bodies)]
        bodies: Bodies,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Print a hash of all documents, to compare devices
    Digest {
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Wait until all connected peers are in sync
    Wait {
        #[command(flatten)]
        space: SpaceOption,
        /// Longest wait, such as 90s, 10m, 2h, 1d
        #[arg(long, default_value = "30s", value_parser = parse_duration_ms, value_name = "TIME")]
        timeout: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionVerb {
    /// Create a partition
    Create {
        /// Name of the partition
        name: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List partitions
    List {
        #[command(flatten)]
        space: SpaceOption,
    },
}

/// Parses `90s`, `10m`, `2h` or `1d` into milliseconds.
pub(super) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let hint = || format!("'{text}' is not a time such as 90s, 10m, 2h or 1d");
    let unit_ms = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(hint()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| hint())?;
    count.checked_mul(unit_ms).ok_or_else(hint)
}

fn parse_bodies(text: &str) -> Result<Bodies, String> {
    let newest = || text.strip_prefix("newest:")?.parse().ok().map(Bodies::Newest);
    match text {
        "all" => Ok(Bodies::All),
        "none" => Ok(Bodies::None),
        _ => newest().ok_or_else(|| format!("'{text}' is not one of all, none, newest:N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_may_not_overflow() {
        assert_eq!(parse_duration_ms("90s"), Ok(90_000));
        assert_eq!(parse_duration_ms("1d"), Ok(86_400_000));
        for wrong in ["", "s", "5", "1.5h", "-1s", "10µ", "99999999999999999d"] {
            assert!(parse_duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bodies_are_all_none_or_a_number() {
        assert_eq!(parse_bodies("newest:7"), Ok(Bodies::Newest(7)));
        assert!(parse_bodies("newest:").is_err());
        assert!(parse_bodies("some").is_err());
    }
}
