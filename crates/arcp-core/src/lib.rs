//! The protocol as sans-IO state machines: client and runtime of ARCP v1.1.
