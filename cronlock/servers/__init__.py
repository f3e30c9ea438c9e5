"""Redis servers: addresses, connections, discovery and the script calls that make them voters."""
