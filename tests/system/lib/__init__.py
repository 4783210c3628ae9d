"""What the system tests share: namespaces, the daemon, peers, processes."""
