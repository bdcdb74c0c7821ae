//! Wire types of the Agent Runtime Control Protocol (ARCP) v1.1.
