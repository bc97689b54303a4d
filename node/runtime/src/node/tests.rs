//! Nodes over real TCP on loopback.
