//! What carries ARCP envelopes: the Transport, Connector and Listener traits, and an in-memory pair.
