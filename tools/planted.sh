#!/bin/sh
# A compiler wrapper that builds the workspace's own crates with planted bugs (spec/invariants.md, "under simulation"):
#   RUSTC_WORKSPACE_WRAPPER=tools/planted.sh cargo build --release -p cosmicsync-sim --example planted
# Dependencies are shared with ordinary builds; without the wrapper no planted bug exists.
exec "$@" --cfg planted
