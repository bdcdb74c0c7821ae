//! Host AI agents behind the Agent Runtime Control Protocol (ARCP).
