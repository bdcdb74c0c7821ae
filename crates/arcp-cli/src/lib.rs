//! The program arcp: host agents, submit jobs, follow them.
