//! Bridges, leases, veth pairs, nftables, names, DNS, published ports.
