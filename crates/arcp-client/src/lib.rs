//! A client of ARCP runtimes: submit jobs, follow their events, await their results.
