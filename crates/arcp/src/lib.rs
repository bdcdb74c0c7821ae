//! The Agent Runtime Control Protocol (ARCP) v1.1, both sides of the wire.
